"""``import``: a file with questions of one's own becomes a task."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from medbench_local.cli.errors import BAD_INPUT
from medbench_local.cli.options import Json
from medbench_local.cli.output import err, out, print_json, warn
from medbench_local.cli.progress import progress
from medbench_local.cli.wording import on_command_line

PRINTED = 50
"""How many defects are printed; nobody mends thousands by hand, and the first would be gone from the screen."""


class Answers(str, Enum):
    """How answers are written."""

    letters = "letters"
    from_0 = "from 0"
    from_1 = "from 1"
    texts = "texts"


def import_(
    questions: Annotated[
        Path,
        typer.Argument(
            help="CSV, Excel (.xlsx), JSON, JSON Lines or Parquet: question, options and answer in a row; or YAML "
            "that describes a data set of the hub."
        ),
    ],
    output: Annotated[
        Path | None, typer.Option(help="The task's folder.  \\[default: beside the file, called as it]")
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option(help="Which column is what, such as question=Frage or options=A,B,C; once for each."),
    ] = None,
    answers: Annotated[
        Answers | None, typer.Option(help="How answers are written, where the file does not show it.")
    ] = None,
    sheet: Annotated[str | None, typer.Option(help="Which sheet of a workbook.")] = None,
    encoding: Annotated[str | None, typer.Option(help="Of a CSV that is not UTF-8.")] = None,
    offline: Annotated[
        bool | None,
        typer.Option("--offline/--no-offline", help="Never touch the network, for data of the hub."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the questions in the folder.")] = False,
    json: Json = False,
) -> None:
    """Make a task of a file with your own questions: says how it was read, and all that is wrong with it.

    The columns are found by their names. Without a column "split" the questions are split at random into test,
    validation and demonstrations. Excel needs medbench-local\\[excel].

    Example: medbench-local import questions.csv --output cardiology
    """
    from medbench_local import api
    from medbench_local.errors import QuestionsError
    from medbench_local.prompts.template import letter
    from medbench_local.text import plain, plain_lines

    try:
        found = api.import_questions(
            questions,
            output=output,
            columns=_named(columns or ()),
            answers=None if answers is None else answers.value,
            sheet=sheet,
            encoding=encoding,
            offline=offline,
            force=force,
            progress=progress(),
        )
    except QuestionsError as error:
        if json:
            print_json({"file": error.path, "defects": error.defects})
        console = err()
        count = "1 defect" if len(error.defects) == 1 else f"{len(error.defects):,} defects"
        console.print("[red]error:[/] ", end="")
        console.print(f"{plain(error.path)}: {count}; nothing was written.", markup=False)
        for defect in error.defects[:PRINTED]:
            console.print(f"  {plain(defect)}", markup=False)
        if len(error.defects) > PRINTED:
            console.print(f"and {len(error.defects) - PRINTED:,} more; --json has all of them.", markup=False)
        raise typer.Exit(BAD_INPUT) from None
    for warning in found.warnings:
        warn(warning)
    if json:
        print_json(
            {
                "task": str(found.task),
                "sizes": found.sizes,
                "notes": found.notes,
                "warnings": found.warnings,
                "detectable": found.detectable,
            }
        )
        return
    console = out()
    for line in (*found.notes, found.detectable):
        console.print(plain(on_command_line(line)), markup=False)
    question = found.example
    console.print(
        f"\nThe first test question ({plain(question.id)}):\n{plain_lines(question.text)}", markup=False
    )
    for place, option in enumerate(question.options):
        mark = "*" if place == question.answer else " "
        console.print(f"{mark} {letter(place)}. {plain_lines(option)}", markup=False)
    console.print(f"\nTo compare on it: --tasks {plain(str(found.task))}", markup=False)


def _named(values: list[str] | tuple[()]) -> dict[str, list[str]]:
    """``question=Frage`` and ``options=A,B`` as columns by role.

    Raises:
        UsageError: it is not written so, or there is no such role.
    """
    from medbench_local.errors import UsageError
    from medbench_local.tasks.tables.columns import ROLES

    found = {}
    for value in values:
        role, mark, names = value.partition("=")
        if not mark or role not in ROLES or not names:
            raise UsageError(
                f"--columns needs a role and a name, not '{value}'.", advice=f"Roles: {', '.join(ROLES)}."
            )
        found[role] = names.split(",") if role in ("options", "answer") else [names]
    return found
