"""A sweep on the terminal and as JSON: rates of each pair, pooled and mean, the ablations, the published figures."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from medbench_local.reference.published import published_rates
from medbench_local.report import sweep_sections, words
from medbench_local.report.identity import sweep_signature
from medbench_local.report.study import beside_the_study
from medbench_local.report.terminal import FittedTable, copied, show_results
from medbench_local.results.sweep import Sweep


def show_sweep(found: Sweep) -> RenderableType:
    """Every pair's comparisons, then the study's tables."""
    parts: list[RenderableType] = []
    for run in found.runs:
        parts += [show_results(run.results, run.folder.path, brief=True), Text("")]
    for section in (
        *sweep_sections.rates(found),
        *sweep_sections.ablations(found),
        sweep_sections.study(found),
    ):
        parts += [Text(section.title, style="bold underline"), FittedTable(section)]
        if section.note:
            parts.append(Text(section.note, style="yellow" if "bounds" in section.note else "dim"))
        parts.append(Text(""))
    if found.missing:
        parts.append(Text(sweep_sections.state_of(found), style="yellow"))
    if found.folder is not None:
        parts.append(copied(f"files: {words.plain(str(found.folder))}"))
    parts.append(copied(f"signature: {sweep_signature(found)}"))
    return Group(*parts)


def sweep_dict(found: Sweep) -> dict[str, Any]:
    """The same as JSON has it."""
    beside = beside_the_study(found)
    return {
        "identity": found.identity,
        "folder": None if found.folder is None else str(found.folder),
        "pairs": [
            {"pair": label, "run": str(run.folder.path), "results": run.results.to_dict()}
            for label, run in zip(found.labels, found.runs, strict=True)
        ],
        "not_finished": list(found.missing),
        "summary": [asdict(summary) for summary in found.summaries],
        "published": [rate.model_dump(mode="json") for rate in published_rates()],
        "differs_from_study": list(beside.differences),
        "signature": sweep_signature(found),
    }


def sweep_json(found: Sweep) -> str:
    """The text of it."""
    return json.dumps(sweep_dict(found), indent=1, ensure_ascii=False) + "\n"
