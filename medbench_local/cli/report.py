"""``report``: a finished run once more, on the screen or as a file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from medbench_local.cli import complete
from medbench_local.cli.inputs import run_files
from medbench_local.cli.output import err, out
from medbench_local.errors import UsageError
from medbench_local.report.files import FORMATS


def report(
    run: Annotated[
        str,
        typer.Argument(
            help="A run's folder, or its name (or the beginning or end of it).", autocompletion=complete.runs
        ),
    ],
    format: Annotated[
        str | None,
        typer.Option(
            help=f"One of {', '.join(FORMATS)}.  \\[default: what --output ends with, else the screen]",
            autocompletion=complete.formats,
        ),
    ] = None,
    output: Annotated[Path | None, typer.Option(help="File to write, instead of stdout.")] = None,
    folder: Annotated[Path, typer.Option(help="Where runs lie.")] = Path("runs"),
) -> None:
    """Show a finished run again, or write it as a file.

    Every finished run has report.md and report.html in its folder already; csv has one row a comparison with
    every number, json is results.json itself.

    Example: medbench-local report demo-med-vs-demo-base --format html --output report.html
    """
    from medbench_local.files.atomic import output_file, write_atomic
    from medbench_local.report.terminal import show_results
    from medbench_local.results.folder import find_run

    found = find_run(run, folder)
    target = None if output is None else output_file(output, inputs=run_files(found))
    results = found.results()
    if results is None:
        raise UsageError(
            f"{found.path} is not finished.",
            advice="Run its command again: it resumes. Then ask for the report.",
        )
    chosen = _ending(output) if format is None else _known(format)
    if chosen is None:
        out().print(show_results(results, found.path))
        return
    text = FORMATS[chosen](results)
    if target is None:
        sys.stdout.write(text)
    else:
        write_atomic(target, text)
        err().print(f"wrote {output}", markup=False, soft_wrap=True)


def _known(format: str) -> str:
    if format not in FORMATS:
        raise UsageError(f"--format must be one of {', '.join(FORMATS)}, not {format!r}.")
    return format


def _ending(output: Path | None) -> str | None:
    if output is None:
        return None
    ending = output.suffix.lower().lstrip(".")
    if ending not in FORMATS:
        raise UsageError(
            f"{output}: its ending does not say which format is meant.",
            advice=f"Give --format with one of {', '.join(FORMATS)}.",
        )
    return ending
