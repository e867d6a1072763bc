"""``report``: a run or a sweep once more, on the screen, as a file, or as figures."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medbench_local.cli import complete
from medbench_local.cli.inputs import report_files
from medbench_local.cli.output import err, out
from medbench_local.errors import UsageError
from medbench_local.report.files import ENDINGS, FORMATS, SWEEP_FORMATS, report_text

if TYPE_CHECKING:
    from rich.console import RenderableType

    from medbench_local.results.folder import Run
    from medbench_local.results.sweep import Sweep

BADGE = "badge"
"""Beside the formats: one line, not a report."""

_ALSO_PARTIAL = (None, "html", "md", "json")
"""What shows a run that is not finished: all that has a place to say so."""


def report(
    run: Annotated[
        str,
        typer.Argument(
            help="The folder of a run or a sweep, or its name (or the beginning or end of it).",
            autocompletion=complete.reports,
        ),
    ],
    format: Annotated[
        str | None,
        typer.Option(
            help=f"One of {', '.join([*FORMATS, BADGE])}.  \\[default: what --output ends with, else the screen]",
            autocompletion=complete.formats,
        ),
    ] = None,
    output: Annotated[Path | None, typer.Option(help="File to write, instead of stdout.")] = None,
    figures: Annotated[
        Path | None,
        typer.Option(help="Folder for the figures of a paper as SVG and PDF: a heat map, a forest plot."),
    ] = None,
    link: Annotated[str | None, typer.Option(help="Where a badge leads.  [default: report.html]")] = None,
    folder: Annotated[Path, typer.Option(help="Where runs and sweeps lie.")] = Path("runs"),
    questions: Annotated[
        bool,
        typer.Option(
            "--questions/--no-questions",
            help="Of html: show the questions, the chosen prompts and what the models wrote, if the run kept them.",
        ),
    ] = True,
    pictures: Annotated[
        bool,
        typer.Option(
            "--pictures/--no-pictures", help="Of html: show small copies of the questions' pictures."
        ),
    ] = True,
) -> None:
    """Show a run or a sweep again, or write it as a file.

    Every finished run has report.md and report.html in its folder already, a sweep also report.csv, rates.csv,
    report.tex and figures. csv has one row a comparison with every number; latex has tables for a paper, for booktabs;
    json is results.json itself, of a sweep all of them; badge is a line for a README.

    Of a run that goes on or was interrupted it shows the comparisons that are finished and names those that are
    missing, on the screen and as html, md or json; csv, latex, badge and figures are of finished runs.

    Example: medbench-local report demo-med-vs-demo-base --format latex --output table.tex
    """
    from medbench_local.files.atomic import output_file, output_folder, write_atomic
    from medbench_local.results.sweep_folder import find_report

    chosen = _ending(output) if format is None else _known(format)
    if link is not None and chosen != BADGE:
        raise UsageError("--link is of --format badge.")
    if figures is not None and chosen is not None and output is None:
        raise UsageError("--figures and --format go together with --output only.")
    place = find_report(run, folder)
    target = None if output is None else output_file(output, inputs=report_files(place))
    drawn = None if figures is None else output_folder(figures, inputs=report_files(place))
    found = place.so_far() if figures is None and chosen in _ALSO_PARTIAL else place.read()
    if drawn is not None:
        from medbench_local.report.files import write_figures

        for path in write_figures(drawn, _as_sweep(found)):
            err().print(f"wrote {path}", markup=False, soft_wrap=True)
    if chosen is None:
        if drawn is None:
            out().print(_shown(found))
        return
    text = _text(found, chosen, link, questions=questions, pictures=pictures)
    if target is None:
        sys.stdout.write(text)
    else:
        write_atomic(target, text)
        err().print(f"wrote {output}", markup=False, soft_wrap=True)


def _text(found: Run | Sweep, chosen: str, link: str | None, *, questions: bool, pictures: bool) -> str:
    from medbench_local.results.folder import Run

    if chosen == BADGE:
        from medbench_local.report.badge import LINK, badge, sweep_badge

        to = LINK if link is None else link
        return (badge(found.results, to) if isinstance(found, Run) else sweep_badge(found, to)) + "\n"
    if not isinstance(found, Run):
        return SWEEP_FORMATS[chosen](found)
    if chosen != "html":
        return FORMATS[chosen](found.results)
    from medbench_local.results.evidence_reading import read_evidence

    evidence = read_evidence(found.folder, found.results, questions=questions, pictures=pictures)
    return report_text(chosen, found.results, evidence)


def _shown(found: Run | Sweep) -> RenderableType:
    from medbench_local.report.sweep import show_sweep
    from medbench_local.report.terminal import show_results
    from medbench_local.results.folder import Run

    return show_results(found.results, found.folder.path) if isinstance(found, Run) else show_sweep(found)


def _as_sweep(found: Run | Sweep) -> Sweep:
    """A run as a sweep of one pair, which figures are drawn of."""
    from medbench_local.results.folder import Run
    from medbench_local.results.sweep import of_one

    return of_one(found) if isinstance(found, Run) else found


def _known(format: str) -> str:
    formats = [*FORMATS, BADGE]
    if format not in formats:
        raise UsageError(f"--format must be one of {', '.join(formats)}, not {format!r}.")
    return format


def _ending(output: Path | None) -> str | None:
    if output is None:
        return None
    ending = output.suffix.lower().lstrip(".")
    if ending not in ENDINGS:
        raise UsageError(
            f"{output}: its ending does not say which format is meant.",
            advice=f"Give --format with one of {', '.join(FORMATS)}.",
        )
    return ENDINGS[ending]
