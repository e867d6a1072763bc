"""Questions of one's own into demonstrations, validation and test questions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from medbench_local.errors import InputError
from medbench_local.tasks.parts import SPLIT_SEED
from medbench_local.tasks.question import SPLITS, SplitName
from medbench_local.tasks.tables.kinship import OwnQuestion, families

FEWEST = 8
"""Questions below which nothing is split: five are shown, one or two choose the prompt, and some must be left."""

_OTHERWISE = 'A column "split" that says test, validation or demonstrations decides it, whatever the number.'

Splits = dict[SplitName, tuple[OwnQuestion, ...]]


def split_as_said(path: str | Path, asked: Sequence[OwnQuestion]) -> tuple[Splits, str]:
    """The questions by the split that their rows name, in their order, and a sentence that says so.

    Raises:
        InputError: a split is empty.
    """
    chosen: Splits = {name: tuple(one for one in asked if one.row.split == name) for name in SPLITS}
    empty = [name for name in SPLITS if not chosen[name]]
    if empty:
        problem = (
            f"no question belongs to {' and '.join(empty)}; test, validation and demonstrations are needed"
        )
        raise InputError(path, "", problem)
    return chosen, f"Split as the table says: {counts(chosen)}."


def split_at_random(
    path: str | Path, asked: Sequence[OwnQuestion], among: Sequence[SplitName]
) -> tuple[Splits, list[str]]:
    """The questions of each of several splits in their order, and sentences that say how they were chosen.

    A tenth become demonstrations (5 to 25), a fifth validation questions (up to 200) and the others test questions;
    without a test split the others are demonstrations. Questions that belong together, see `families`, stay in one
    split, so that no test question was seen before.

    Args:
        path: what errors call the file.
        asked: the questions.
        among: the splits, at least two.

    Raises:
        InputError: there are too few questions.
    """
    if len(asked) < FEWEST:
        count = "1 question is" if len(asked) == 1 else f"{len(asked)} questions are"
        problem = f"{count} too few to be split; at least {FEWEST} are needed, and a hundred or more to find anything"
        raise InputError(path, "", problem, advice=_OTHERWISE)
    lots = families(asked)
    order = np.random.default_rng(SPLIT_SEED).permutation(len(lots)).tolist()
    left = [lots[number] for number in order]
    last: SplitName = "test" if "test" in among else "demonstrations"
    places: dict[SplitName, list[int]] = {}
    for name, wanted in _sizes(len(asked)).items():
        if name in among and name != last:
            places[name], left = _taken(left, wanted)
    places[last] = [place for lot in left for place in lot]
    if not places[last]:
        problem = f"so many of its questions are the same, or about the same, that none is left for {last}"
        raise InputError(path, "", problem, advice=_OTHERWISE)
    chosen: Splits = {name: tuple(asked[place] for place in sorted(places[name])) for name in among}
    said = [f"Split at random with seed {SPLIT_SEED}: {counts(chosen)}."]
    together = [len(lot) for lot in lots if len(lot) > 1]
    if together:
        said.append(
            f"{sum(together):,} questions that are the same, about the same picture or with the same passage as "
            "another are in one split with it."
        )
    return chosen, said


def counts(splits: Splits) -> str:
    """How many questions each split has: "70 test, 20 validation, 10 demonstrations"."""
    return ", ".join(f"{len(splits[name]):,} {name}" for name in reversed(SPLITS) if name in splits)


def _taken(lots: list[list[int]], wanted: int) -> tuple[list[int], list[list[int]]]:
    """Places of lots that are at least so many together, few more if that can be, and the lots that are left."""
    found: list[int] = []
    left = []
    for lot in lots:
        if len(found) + len(lot) <= wanted:
            found += lot
        else:
            left.append(lot)
    while len(found) < wanted and left:
        found += left.pop(left.index(min(left, key=len)))
    return found, left


def _sizes(count: int) -> dict[SplitName, int]:
    return {
        "demonstrations": min(max(round(count / 10), 5), 25),
        "validation": min(max(round(count / 5), 1), 200),
    }
