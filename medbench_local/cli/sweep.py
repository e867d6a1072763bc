"""``sweep``: several comparisons and the study's summary table."""

from __future__ import annotations

from typing import Annotated

import typer

from medbench_local.cli import complete
from medbench_local.cli.asking import Yes
from medbench_local.cli.compare import DryRun
from medbench_local.cli.options import Json, given, takes
from medbench_local.cli.output import out, print_json
from medbench_local.cli.progress import progress
from medbench_local.cli.wording import on_command_line
from medbench_local.results.sweep_cost import GPU_RATE
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
    yes: Yes = False,
    gpu_rate: Annotated[
        float,
        typer.Option(
            help="For --dry-run: tokens a second that a GPU is taken to read of a model with 7 billion weights; what "
            "stands here is an assumption.",
            min=1,
            metavar="TOKENS_PER_SECOND_OF_7B",
        ),
    ] = GPU_RATE,
    json: Json = False,
) -> None:
    """Compare several pairs and print win, tie and loss rates beside the published ones.

    Example: medbench-local sweep meditron-7b biomistral-7b --tasks mmlu
    """
    from medbench_local import api
    from medbench_local.report.sweep import show_sweep, sweep_dict
    from medbench_local.report.sweep_plan import show_sweep_plan

    named = [*(["all"] if all_pairs else ()), *(["catalog"] if catalog else ()), *(pairs or ())]
    if dry_run:
        cost = api.plan_sweep(named, **given(asked), progress=progress())
        if json:
            print_json(cost.to_dict(gpu_rate=gpu_rate))
        else:
            out().print(show_sweep_plan(cost, rate=gpu_rate, worded=on_command_line))
        return
    found = api.sweep(named, **given(asked), progress=progress(yes=yes))
    if json:
        print_json(sweep_dict(found))
    else:
        out().print(show_sweep(found))
