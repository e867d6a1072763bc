"""In which order a comparison's work is done: a list of steps, known before the first of them.

Comparisons are finished one after the other, both models each, so that work that is cut short leaves whole results.
Loading a model is not free: where both models do not stay loaded, comparisons are taken together until their own work
is worth the loading, the models take turns in going first, so that each is loaded once for two groups, and the check
waits likewise. Results do not depend on the order: each cell is answered, and each check ends, by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from medbench_local.results.record import ROLES, Role
from medbench_local.study.plan import CellKey

LOADING_SHARE = 0.01
"""Seconds of loading for a second of answering, at most: once for the models' taking turns, once for the checks."""

Action = Literal["answer", "share", "judge", "check"]
T = TypeVar("T")


@dataclass(frozen=True)
class Step:
    """One thing to do with some cells.

    Attributes:
        action: "answer": a model chooses its prompts and takes the test; "share": it takes the test with the prompts of
            the medical model; "judge": the verdicts of the scored precision are drawn; "check": these are held against
            full precision.
        cells: which ones, in the order of the plan.
        role: who answers; None where no single model does.
    """

    action: Action
    cells: tuple[CellKey, ...]
    role: Role | None = None


@dataclass(frozen=True)
class Loading:
    """What it costs to go from one model to the other, in seconds.

    Attributes:
        turn: to load what answers next, once; 0 where both models stay loaded.
        check: to load all that a check needs, and what was loaded before it again; 0 where everything stays loaded.
    """

    turn: float = 0.0
    check: float = 0.0


def schedule(
    cells: Sequence[CellKey],
    seconds: Mapping[CellKey, float],
    loading: Loading,
    *,
    shared: bool = False,
    checked: bool = True,
) -> tuple[Step, ...]:
    """The steps of all comparisons at one precision.

    Args:
        cells: in the order in which they are reported.
        seconds: that both models work on a cell, about; 0 for what is known already.
        loading: what going from one model to the other costs.
        shared: the base model is asked with the medical model's prompts, too: then it always goes second.
        checked: verdicts are held against full precision.
    """
    turns = 2 if shared else 1
    tasks = runs_of(
        cells, lambda key: key[:2]
    )  # cells of one task differ in who thinks, and share their answers
    groups = _worth(tasks, seconds, turns * loading.turn / LOADING_SHARE)
    rounds = _runs_worth(groups, seconds, loading.check / LOADING_SHARE)
    steps: list[Step] = []
    order: tuple[Role, ...] = ROLES
    for together in rounds:
        for group in together:
            steps += [Step("answer", group, role) for role in order]
            if shared:
                steps.append(Step("share", group, "base"))
            elif loading.turn:
                order = order[::-1]  # who is loaded goes on
            steps.append(Step("judge", group))
        if checked:
            steps.append(Step("check", tuple(key for group in together for key in group)))
    return tuple(steps)


def runs_of(items: Sequence[T], of: Callable[[T], object]) -> list[tuple[T, ...]]:
    """Neighbours of which ``of`` says the same, together."""
    found: list[tuple[T, ...]] = []
    for item in items:
        if found and of(found[-1][-1]) == of(item):
            found[-1] = (*found[-1], item)
        else:
            found.append((item,))
    return found


def _worth(
    parts: Sequence[tuple[CellKey, ...]], seconds: Mapping[CellKey, float], least: float
) -> list[tuple[CellKey, ...]]:
    """Neighbouring parts joined until each is ``least`` seconds of work."""
    return [tuple(key for part in run for key in part) for run in _runs_worth(parts, seconds, least)]


def _runs_worth(
    parts: Sequence[tuple[CellKey, ...]], seconds: Mapping[CellKey, float], least: float
) -> list[tuple[tuple[CellKey, ...], ...]]:
    """Neighbouring parts, together until they are ``least`` seconds of work; a rest goes with those before it."""
    found: list[tuple[tuple[CellKey, ...], ...]] = []
    open_parts: tuple[tuple[CellKey, ...], ...] = ()
    for part in parts:
        open_parts = (*open_parts, part)
        if sum(seconds[key] for one in open_parts for key in one) >= least:
            found.append(open_parts)
            open_parts = ()
    if open_parts:
        rest = (*found.pop(), *open_parts) if found else open_parts
        found.append(rest)
    return found
