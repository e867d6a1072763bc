"""Runs that were begun before the engine's mode was chosen by the weights: in the exact mode, and they go on in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from medbench_local.progress import Progress
from medbench_local.study.plan import Outline
from medbench_local.study.planner import Planner

Outlined = TypeVar("Outlined", bound=Outline)


def in_begun_mode(
    planner: Planner, first: Outlined, is_begun: Callable[[Outlined], bool], progress: Progress
) -> Planner:
    """The planner of the run that is meant.

    Where no mode is asked for and nothing of the run is there, but there is a run that is like it except for the exact
    mode, that one is meant: what it has computed is not computed again.

    Args:
        planner: of the run.
        first: its plan or outline at the first precision.
        is_begun: whether there is a run of a plan already.
        progress: told if the exact mode is kept.
    """
    if first.options.mode is not None or is_begun(first):
        return planner
    if not is_begun(replace(first, options=replace(first.options, mode="exact"))):
        return planner
    progress.note(
        'This run was begun in the exact mode and keeps it; `mode="reproducible"` begins another one.'
    )
    return planner.in_mode("exact")
