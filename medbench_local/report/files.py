"""The report files of a run or a sweep, and a report in any format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medbench_local.files.atomic import own_folder, whole_file, write_atomic

if TYPE_CHECKING:
    from medbench_local.results.evidence import Evidence
    from medbench_local.results.schema import Results
    from medbench_local.results.sweep import Sweep


def _made_by(module: str, function: str) -> Callable[[Any], str]:
    """A function of a module of this room, imported when it is needed: help shows the formats without it."""

    def text(found: Any) -> str:
        made: str = getattr(import_module(f"medbench_local.report.{module}"), function)(found)
        return made

    return text


FORMATS: Mapping[str, Callable[[Results], str]] = {
    "html": _made_by("page", "html"),
    "md": _made_by("markdown", "markdown"),
    "csv": _made_by("tabular", "as_csv"),
    "latex": _made_by("latex", "latex"),
    "json": lambda results: results.to_json(),
}
"""What makes the text of a run's report, by the name of the format."""

SWEEP_FORMATS: Mapping[str, Callable[[Sweep], str]] = {
    "html": _made_by("sweep_page", "html"),
    "md": _made_by("sweep_markdown", "markdown"),
    "csv": _made_by("tabular", "sweep_csv"),
    "latex": _made_by("latex", "sweep_latex"),
    "json": _made_by("sweep", "sweep_json"),
}
"""The same of a sweep's."""

ENDINGS = {"html": "html", "htm": "html", "md": "md", "csv": "csv", "tex": "latex", "json": "json"}
"""The format that a file's ending means."""


def report_text(format: str, results: Results, evidence: Evidence | None = None) -> str:
    """The text of a report in one of `FORMATS`; a page shows the evidence, if there is any."""
    if format != "html" or evidence is None:
        return FORMATS[format](results)
    from medbench_local.report.page import html  # slow to import

    return html(results, evidence)


def write_reports(folder: Path, results: Results) -> None:
    """Write ``report.md`` and ``report.html`` into a run's folder, with the evidence that lies there.

    Raises:
        StoreError: the folder cannot be written.
        InputError: a file of the evidence is damaged.
    """
    from medbench_local.results.evidence_reading import read_evidence  # not needed to name formats
    from medbench_local.results.folder import RunFolder

    evidence = read_evidence(RunFolder(folder), results)
    for ending in ("md", "html"):
        write_atomic(folder / f"report.{ending}", report_text(ending, results, evidence))


def write_sweep_reports(folder: Path, found: Sweep) -> None:
    """Write a sweep's reports into its folder: a page, Markdown, CSV, LaTeX, and the figures as SVG and PDF.

    Raises:
        StoreError: the folder cannot be written.
    """
    for ending in ("html", "md", "csv", "tex"):
        write_atomic(folder / f"report.{ending}", SWEEP_FORMATS[ENDINGS[ending]](found))
    write_atomic(folder / "rates.csv", _made_by("tabular", "rates_csv")(found))
    write_figures(own_folder(folder / "figures"), found)


def write_figures(folder: Path, found: Sweep) -> list[Path]:
    """Write the figures of a sweep, or of a run taken as a sweep of one pair, as SVG and PDF.

    Returns:
        The files.

    Raises:
        StoreError: the folder cannot be written.
    """
    from medbench_local.report.paper_figures import (
        paper_figures,  # draws with matplotlib, which is slow to import
    )

    written = []
    for figure in paper_figures(found):
        for ending, content in (("svg", figure.svg), ("pdf", figure.pdf)):
            path = folder / f"{figure.name}.{ending}"
            with whole_file(path) as temporary:
                temporary.write_bytes(content)
            written.append(path)
    return written
