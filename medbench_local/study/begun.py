"""Runs that were begun before the engine's mode was chosen by the weights: in the exact mode, and they go on in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from medbench_local.catalog.quantisation import QuantConfig
from medbench_local.progress import Progress
from medbench_local.study.plan import Plan
from medbench_local.study.planner import Planner


def first_plan(
    planner: Planner, quant: QuantConfig, is_begun: Callable[[Plan], bool], progress: Progress
) -> tuple[Planner, Plan]:
    """The plan at the first precision, and the planner of the following ones in the same mode.

    Where no mode is asked for and nothing of the run is there, but there is a run that is like it except for the exact
    mode, that one is meant: what it has computed is not computed again.

    Args:
        planner: of the run.
        quant: the first precision.
        is_begun: whether there is a run of a plan already.
        progress: told if the exact mode is kept.
    """
    first = planner.plan(quant)
    if first.options.mode is not None or is_begun(first):
        return planner, first
    exact = replace(first, options=replace(first.options, mode="exact"))
    if not is_begun(exact):
        return planner, first
    progress.note(
        'This run was begun in the exact mode and keeps it; `mode="reproducible"` begins another one.'
    )
    return planner.in_mode("exact"), exact
