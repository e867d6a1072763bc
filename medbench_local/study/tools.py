"""What a study works with and is handed: it neither chooses an engine nor knows how reports are made."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock
from typing import Any

from medbench_local.engine.several import Engines
from medbench_local.progress import Progress, Silent
from medbench_local.results.cost import ComparisonCost
from medbench_local.results.schema import Results
from medbench_local.results.sweep import Sweep
from medbench_local.results.sweep_cost import SweepCost
from medbench_local.scoring.session import StartEngine
from medbench_local.study.crew_models import Turns

WriteReports = Callable[[Path, Results], None]
"""Makes the reports of a run in its folder."""


def no_reports(folder: Path, results: Results) -> None:
    """For who wants no reports."""


WriteSweepReports = Callable[[Path, Sweep], None]
"""Makes the reports of a sweep in its folder."""

ShowPlan = Callable[[ComparisonCost | SweepCost], str]
"""A plan as lines of text, for who is asked about it."""


def no_sweep_reports(folder: Path, found: Sweep) -> None:
    """For who wants no reports."""


@dataclass(frozen=True)
class Tools:
    """What is handed in.

    Attributes:
        start_engine: loads a model; see `medbench_local.engine.base.Engine`.
        progress: listens.
        write_reports: makes the reports of a finished run.
        write_sweep_reports: makes those of a sweep, also of one that is not finished yet.
        show_plan: writes down a plan that takes long.
        agreed: the pairs, as a user named them, about whose long work nobody is to be asked any more.
        engines: answer questions in the place of this machine; None without a cluster.
        preparing: held by the one comparison that makes its models ready.
        turns: keep apart comparisons that would ask a model the same at the same time.
    """

    start_engine: StartEngine
    progress: Progress = field(default_factory=Silent)
    write_reports: WriteReports = no_reports
    write_sweep_reports: WriteSweepReports = no_sweep_reports
    show_plan: ShowPlan = str
    agreed: frozenset[tuple[str, str]] = frozenset()
    engines: Engines | None = None
    preparing: AbstractContextManager[Any] = field(default_factory=RLock)
    turns: Turns = field(default_factory=Turns)
