"""``compare``: the main command."""

from __future__ import annotations

from typing import Annotated

import typer

from medbench_local.cli import complete
from medbench_local.cli.asking import Yes, chosen, somebody_is_there
from medbench_local.cli.options import MODEL_HELP, Json, given, takes
from medbench_local.cli.output import err, out, print_json
from medbench_local.cli.progress import progress
from medbench_local.cli.wording import on_command_line
from medbench_local.study.options import CompareOptions

DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the plan and its cost; compute nothing.")]


@takes(CompareOptions)
def compare(
    medical: Annotated[
        str, typer.Argument(help=f"The medical model. {MODEL_HELP}", autocompletion=complete.medical)
    ],
    asked: CompareOptions,
    base: Annotated[
        str | None,
        typer.Argument(
            help="The model it was built from; likewise. Without it the medical model's partner in the catalog.",
            autocompletion=complete.base,
        ),
    ] = None,
    dry_run: DryRun = False,
    yes: Yes = False,
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

    if base is None and not yes and somebody_is_there():
        base = _chosen_partner(medical)
    if dry_run:
        cost = api.plan(medical, base, **given(asked), progress=progress())
        if json:
            print_json(cost.to_dict())
        else:
            out().print(show_plan(cost, worded=on_command_line))
        return
    run = api.compare(medical, base, **given(asked), progress=progress(yes=yes))
    if not run.computed:
        err().print(f"found the finished run {run.folder.path}", markup=False, soft_wrap=True)
    if json:
        out().file.write(run.results.to_json())
    else:
        out().print(show_results(run.results, run.folder.path))


def _chosen_partner(medical: str) -> str | None:
    """Which of several partners of the catalog a person at a terminal wants; None where there is no choice."""
    from medbench_local.catalog.model import PARTNER_WORDS, partners

    known = partners(medical)
    if len(known) < 2:
        return None
    err().print(f"{medical} can be compared with:", markup=False)
    offered = [f"{pair.base}, {PARTNER_WORDS[pair.partner]}" for pair in known]
    return known[chosen("Which", offered)].base
