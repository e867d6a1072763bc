"""A plan as plain lines, as wide as the terminal."""

from __future__ import annotations

import io
import shutil

from rich.console import Console

from medbench_local.report.sweep_plan import show_sweep_plan
from medbench_local.report.terminal import show_plan
from medbench_local.results.cost import ComparisonCost
from medbench_local.results.sweep_cost import SweepCost


def plan_text(cost: ComparisonCost | SweepCost) -> str:
    """What is fetched, made and computed, without colours."""
    console = Console(file=io.StringIO(), width=shutil.get_terminal_size().columns, color_system=None)
    with console.capture() as written:
        console.print(show_sweep_plan(cost) if isinstance(cost, SweepCost) else show_plan(cost))
    return written.get()
