"""Runs that were begun, those in the exact mode before the engine's mode was chosen by the weights among them."""

from __future__ import annotations

import glob
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from medbench_local.progress import Progress
from medbench_local.results.folder import RUNS, RunFolder
from medbench_local.study.options import ResolvedOptions
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


def any_begun(names: tuple[str, str], options: ResolvedOptions) -> bool:
    """Whether there is any run of two models, which may be the one that is asked for.

    Args:
        names: of the medical model and of its base.
        options: name the folder that is looked into, if one is named.
    """
    medical, base = names
    folders = (
        [options.output] if options.output else RUNS.glob(f"{glob.escape(medical)}-vs-{glob.escape(base)}-*")
    )
    return any(RunFolder(folder).manifest_file.is_file() for folder in folders)
