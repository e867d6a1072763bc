"""``check``: is a quantised model equivalent with the full one?"""

from __future__ import annotations

from typing import Annotated

import typer

from medbench_local.cli import complete
from medbench_local.cli.errors import DOES_NOT_HOLD, UNSETTLED
from medbench_local.cli.options import MODEL_HELP, Json, given, takes
from medbench_local.cli.output import out, print_json
from medbench_local.cli.progress import progress
from medbench_local.study.options import CheckOptions


@takes(CheckOptions)
def check(
    model: Annotated[str, typer.Argument(help=MODEL_HELP, autocompletion=complete.models)],
    asked: CheckOptions,
    json: Json = False,
) -> None:
    """Check that quantisation does not change a model's answers.

    Exit code 1 if it changes them, 3 if too few questions were asked to tell.

    Example: medbench-local check demo-med --quant q8_0
    """
    from medbench_local import api
    from medbench_local.report.terminal import show_check

    found = api.check(model, **given(asked), progress=progress())
    if json:
        print_json(found.to_dict())
    else:
        out().print(show_check(found))
    if found.outcome != "equivalent":
        raise typer.Exit(DOES_NOT_HOLD if found.outcome == "different" else UNSETTLED)
