"""``compare``: the main command."""

from __future__ import annotations

from typing import Annotated

import typer

from medbench_local.cli.options import MODEL_HELP, Json, given, takes
from medbench_local.cli.output import err, out, print_json
from medbench_local.cli.progress import progress
from medbench_local.study.options import CompareOptions

DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the plan and its cost; compute nothing.")]


@takes(CompareOptions)
def compare(
    medical: Annotated[str, typer.Argument(help=f"The medical model. {MODEL_HELP}")],
    base: Annotated[str, typer.Argument(help="The model it was built from; likewise.")],
    asked: CompareOptions,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Compare a medical model with the model it was built from.

    Fetches, converts and quantises both, chooses the best prompt for each on validation questions, scores the
    test questions, checks the quantised verdicts against full precision, and reports win, tie or loss. The same
    command finds its finished run, and resumes an interrupted one.

    Example: medbench-local compare meditron-7b llama-2-7b --tasks medqa,pubmedqa
    """
    from medbench_local import api
    from medbench_local.report.terminal import show_plan, show_results

    if dry_run:
        cost = api.plan(medical, base, **given(asked), progress=progress())
        if json:
            print_json(cost.to_dict())
        else:
            out().print(show_plan(cost))
        return
    run = api.compare(medical, base, **given(asked), progress=progress())
    if not run.computed:
        err().print(f"found the finished run {run.folder.path}", markup=False)
    if json:
        out().file.write(run.results.to_json())
    else:
        out().print(show_results(run.results, run.folder.path))
