"""The report files of a run, and a report in any format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from medbench_local.files.atomic import write_atomic
from medbench_local.report.markdown import markdown
from medbench_local.report.page import html
from medbench_local.report.tabular import as_csv
from medbench_local.results.schema import Results

FORMATS: Mapping[str, Callable[[Results], str]] = {
    "html": html,
    "md": markdown,
    "csv": as_csv,
    "json": Results.to_json,
}
"""What makes the text of a report, by the ending of its file."""


def write_reports(folder: Path, results: Results) -> None:
    """Write ``report.md`` and ``report.html`` into a run's folder.

    Raises:
        StoreError: the folder cannot be written.
    """
    for ending in ("md", "html"):
        write_atomic(folder / f"report.{ending}", FORMATS[ending](results))
