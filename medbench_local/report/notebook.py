"""Results in a notebook: one table for each number of shots, and what a careful reader must know."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from typing import Any

from medbench_local.report import checked, clusters, sections, sweep_sections, words
from medbench_local.report.section import Section
from medbench_local.report.tabular import of_run, raw_cells
from medbench_local.results.folder import Run
from medbench_local.results.model_check import ModelCheck
from medbench_local.results.schema import Results
from medbench_local.results.sweep import Sweep

_COLOURS = {
    "win": "#1a7f37",
    "equivalent": "#1a7f37",
    "loss": "#c0262d",
    "different": "#c0262d",
    "not verified": "#9a5b00",
    "inconclusive": "#9a5b00",
}


def html(found: Run | ModelCheck | Sweep) -> str:
    """A piece of a page; no script, nothing from outside, every text escaped."""
    if isinstance(found, Run):
        return _div(_run(found.results, found.folder.path))
    if isinstance(found, ModelCheck):
        return _div(_check(found))
    parts = [part for run in found.runs for part in _run(run.results, run.folder.path)]
    return _div([*parts, *(part for section in sweep_sections.rates(found) for part in _table(section))])


def rows(found: Run | ModelCheck | Sweep) -> list[Mapping[str, Any]]:
    """One row a comparison, of a check one a task and one over all."""
    if isinstance(found, Run):
        return _comparisons(found.results)
    if isinstance(found, ModelCheck):
        return list(checked.rows(found))
    pairs = zip(found.labels, found.runs, strict=True)
    return [{"pair": label, **row} for label, run in pairs for row in _comparisons(run.results)]


def _comparisons(results: Results) -> list[Mapping[str, Any]]:
    run = of_run(results)
    return [
        run | {"reported": comparison.reported} | dict(raw_cells(comparison))
        for comparison in results.comparisons
    ]


def _run(results: Results, folder: Path) -> Iterable[str]:
    yield f"<p><b>{_text(words.headline(results))}</b></p>"
    yield from (f"<p><b>{_text(line)}</b></p>" for line in words.unfinished(results))
    for section in sections.verdicts(results):
        yield from _table(section)
    facts = [*words.rates(results), *words.verification(results), *clusters.differences(results)]
    yield from (f"<p>{_text(line)}</p>" for line in facts)
    yield from (f"<p><b>warning:</b> {_text(words.plain(line))}</p>" for line in results.warnings)
    yield f"<p><small>files: {_text(words.plain(str(folder)))}</small></p>"


def _check(found: ModelCheck) -> Iterable[str]:
    yield f"<p><b>{_text(checked.headline(found))}</b></p>"
    yield from _table(checked.section(found))
    yield from (f"<p>{_text(line)}</p>" for line in checked.meaning(found))


def _table(section: Section) -> Iterable[str]:
    yield f"<p><b>{_text(section.title)}</b></p>" if section.title else ""
    heads = "".join(f"<th>{_text(column.name)}</th>" for column in section.columns)
    yield f"<table><thead><tr>{heads}</tr></thead><tbody>"
    for row in section.rows:
        cells = zip(section.columns, row, strict=True)
        yield "<tr>" + "".join(_cell(text, state=column.state) for column, text in cells) + "</tr>"
    yield "</tbody></table>"
    if section.note:
        yield f"<p><small>{_text(section.note)}</small></p>"


def _cell(text: str, *, state: bool) -> str:
    colour = _COLOURS.get(words.state(text)) if state else None
    style = f' style="color:{colour};font-weight:600"' if colour else ""
    return f"<td{style}>{_text(text)}</td>"


def _div(parts: Iterable[str]) -> str:
    return f"<div>{''.join(parts)}</div>"


def _text(text: str) -> str:
    return escape(text, quote=True)
