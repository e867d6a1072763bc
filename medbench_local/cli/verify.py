"""``verify``: does a finished run hold?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medbench_local.cli import complete
from medbench_local.cli.errors import DOES_NOT_HOLD, UNSETTLED
from medbench_local.cli.options import Json
from medbench_local.cli.output import out, print_json
from medbench_local.cli.progress import progress


def verify(
    run: Annotated[
        str,
        typer.Argument(
            help="A run's folder, or its name (or the beginning or end of it).", autocompletion=complete.runs
        ),
    ],
    data_dir: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the data sets' official files.  [default: MEDBENCH_DATA, or the hub's cache]"
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Compute a finished run's verdicts again from its samples, and compare hashes with the files at hand.

    Nothing is fetched and no model is loaded; what could not be checked is said. Exit code 0: the run holds; 1:
    something in it does not; 3: its verdicts could not all be computed again.

    Example: medbench-local verify demo-med-vs-demo-base
    """
    from medbench_local import api
    from medbench_local.report.verification import show_verification

    found = api.verify(run, data_dir=data_dir, progress=progress())
    if json:
        print_json(found.to_dict())
    else:
        out().print(show_verification(found))
    if found.outcome != "holds":
        raise typer.Exit(DOES_NOT_HOLD if found.outcome == "does not hold" else UNSETTLED)
