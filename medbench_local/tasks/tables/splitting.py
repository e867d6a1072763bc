"""Questions of one's own into demonstrations, validation and test questions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medbench_local.errors import InputError
from medbench_local.files.rows import SourceFile
from medbench_local.tasks.parts import SPLIT_SEED
from medbench_local.tasks.question import SPLITS, SplitName
from medbench_local.tasks.repeats import normal
from medbench_local.tasks.tables.understanding import OwnRow

FEWEST = 8
"""Questions below which nothing is split: five are shown, one or two choose the prompt, and some must be left."""

Splits = dict[SplitName, tuple[OwnRow, ...]]


def split_rows(file: SourceFile, rows: Sequence[OwnRow]) -> tuple[Splits, str]:
    """The questions of each split in the file's order, and a sentence that says how they were chosen.

    Where the table does not say, a tenth become demonstrations (5 to 25), a fifth validation questions (up to 200) and
    the others test questions. What stands twice stays in one split, so that no test question is seen before.

    Raises:
        InputError: there are too few questions, or the table leaves a split empty.
    """
    if rows and all(row.split is not None for row in rows):
        chosen: Splits = {name: tuple(row for row in rows if row.split == name) for name in SPLITS}
        empty = [name for name in SPLITS if not chosen[name]]
        if empty:
            problem = f"no question belongs to {' and '.join(empty)}; test, validation and demonstrations are needed"
            raise InputError(str(file), "", problem)
        return chosen, f"Split as the table says: {_counts(chosen)}."
    if len(rows) < FEWEST:
        problem = f"{len(rows)} questions are too few to be split; at least {FEWEST} are needed"
        raise InputError(str(file), "", problem)
    groups: dict[object, list[int]] = {}
    for place, row in enumerate(rows):
        groups.setdefault(_key(row), []).append(place)
    wanted = _sizes(len(rows))
    order = np.random.default_rng(SPLIT_SEED).permutation(len(groups)).tolist()
    lots = list(groups.values())
    places: dict[SplitName, list[int]] = {name: [] for name in SPLITS}
    for number in order:
        name = next((name for name in SPLITS[:2] if len(places[name]) < wanted[name]), SPLITS[2])
        places[name] += lots[number]
    if not places["test"]:
        raise InputError(str(file), "", "its questions are so often the same that none is left for the test")
    chosen = {name: tuple(rows[place] for place in sorted(found)) for name, found in places.items()}
    return chosen, f"Split at random with seed {SPLIT_SEED}: {_counts(chosen)}."


def _sizes(count: int) -> dict[SplitName, int]:
    return {
        "demonstrations": min(max(round(count / 10), 5), 25),
        "validation": min(max(round(count / 5), 1), 200),
    }


def _key(row: OwnRow) -> object:
    options, images = row.fields["options"], row.fields.get("images")
    texts = frozenset(map(normal, options)) if isinstance(options, list) else frozenset()
    return normal(str(row.fields["question"])), texts, tuple(images) if isinstance(images, list) else ()


def _counts(splits: Splits) -> str:
    return ", ".join(f"{len(splits[name]):,} {name}" for name in reversed(SPLITS))
