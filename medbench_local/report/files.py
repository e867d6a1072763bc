"""The report files of a run, and a report in any format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from medbench_local.files.atomic import write_atomic

if TYPE_CHECKING:
    from medbench_local.results.evidence import Evidence
    from medbench_local.results.schema import Results


def _made_by(module: str, function: str) -> Callable[[Results], str]:
    """A function of a module of this room, imported when it is needed: help shows the formats without it."""

    def text(results: Results) -> str:
        made: str = getattr(import_module(f"medbench_local.report.{module}"), function)(results)
        return made

    return text


FORMATS: Mapping[str, Callable[[Results], str]] = {
    "html": _made_by("page", "html"),
    "md": _made_by("markdown", "markdown"),
    "csv": _made_by("tabular", "as_csv"),
    "json": lambda results: results.to_json(),
}
"""What makes the text of a report, by the ending of its file."""


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
