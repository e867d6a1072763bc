"""``sweep``: several comparisons and the study's summary table."""

from __future__ import annotations

from typing import Annotated

import typer

from medbench_local.cli import complete
from medbench_local.cli.compare import DryRun
from medbench_local.cli.options import Json, given, takes
from medbench_local.cli.output import out, print_json
from medbench_local.cli.progress import progress
from medbench_local.study.options import SweepOptions


@takes(SweepOptions)
def sweep(
    asked: SweepOptions,
    pairs: Annotated[
        list[str] | None,
        typer.Argument(
            help="Medical models of the catalog, MEDICAL-vs-BASE, or MEDICAL=BASE for your own.",
            autocompletion=complete.pairs,
        ),
    ] = None,
    all_pairs: Annotated[bool, typer.Option("--all", help="The ten pairs of the study.")] = False,
    catalog: Annotated[
        bool, typer.Option("--catalog", help="Every medical model of the catalog; see --partner.")
    ] = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Compare several pairs and print win, tie and loss rates beside the published ones.

    Example: medbench-local sweep meditron-7b biomistral-7b --tasks mmlu
    """
    from medbench_local import api
    from medbench_local.report.sweep import show_sweep, sweep_dict
    from medbench_local.report.terminal import show_plan

    named = [*(["all"] if all_pairs else ()), *(["catalog"] if catalog else ()), *(pairs or ())]
    if dry_run:
        costs = api.plan_sweep(named, **given(asked), progress=progress())
        if json:
            print_json([cost.to_dict() for cost in costs])
        else:
            for cost in costs:
                out().print(show_plan(cost))
        return
    found = api.sweep(named, **given(asked), progress=progress())
    if json:
        print_json(sweep_dict(found))
    else:
        out().print(show_sweep(found))
