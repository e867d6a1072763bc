"""A validation on the terminal: what agreed, what did not, and every threshold."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from medbench_local.reference.validate import Validation
from medbench_local.report import words


def show_validation(found: Validation) -> RenderableType:
    """Everything a validation found, for people."""
    parts: list[RenderableType] = [Text(line) for line in _matching(found)]
    if found.agreement is not None:
        a = found.agreement
        parts.append(
            Text(
                f"same prediction on {a.same:,} of {a.n:,} questions "
                f"[{words.percent(a.low)}, {words.percent(a.high)}]; "
                f"{a.near_ties:,} near-ties, of which {a.disagreements_near_ties:,} differ; "
                f"{a.disagreements_elsewhere:,} of the others differ"
            )
        )
    if found.logprobs is not None:
        d = found.logprobs
        parts.append(
            Text(
                f"log-probabilities of {d.n:,} options differ by {d.median:.2g} (median), {d.p99:.2g} "
                f"(99th percentile), {d.largest:.2g} (largest) nats"
            )
        )
    if found.cells:
        parts.append(_cells(found))
    parts += [
        Text(
            f"{_cell(v.task, v.shots, v.scoring)}: {v.run} here, {v.reference} by the reference ({v.n:,} questions)"
        )
        for v in found.verdicts
    ]
    parts.append(_checks(found))
    parts.append(
        Text("the run agrees with the reference" if found.passed else "the run does not agree", style="bold")
    )
    return Group(*parts)


def validation_dict(found: Validation) -> dict[str, Any]:
    """The same as JSON has it, without the matched rows themselves."""
    data = asdict(found)
    data["matches"] = {name: value for name, value in data["matches"].items() if name != "matches"} | {
        "matched": len(found.matches.matches)
    }
    return data | {"passed": found.passed}


def _matching(found: Validation) -> list[str]:
    m = found.matches
    lines = [f"{len(m.matches):,} questions matched"]
    for count, text in (
        (m.unmatched_samples, "samples of the run have no reference row"),
        (m.unmatched_reference, "reference rows belong to no sample"),
        (m.duplicates, "reference rows repeat an earlier one"),
        (m.conflicting, "reference rows contradict an earlier one"),
        (m.ambiguous, "reference rows could belong to several cells"),
        (found.answer_conflicts, "questions have another correct option in the reference"),
    ):
        if count:
            lines.append(f"{count:,} {text}")
    return lines


def _cells(found: Validation) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("cell")
    for name in ("n", "run", "reference", "difference", "interval"):
        table.add_column(name, justify="right", no_wrap=True)
    for c in found.cells:
        table.add_row(
            Text(f"{words.plain(c.model or '')} {_cell(c.task, c.shots, c.scoring)}".strip()),
            f"{c.n:,}",
            words.percent(c.run),
            words.percent(c.reference),
            words.points(c.run - c.reference),
            words.interval((c.low, c.high)),
        )
    return table


def _checks(found: Validation) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for name in ("threshold", "found", "allowed", ""):
        table.add_column(name)
    for check in found.checks:
        table.add_row(
            Text(words.plain(check.name)),
            "nothing to judge" if check.value is None else f"{check.value:.4g}",
            "reported only" if check.limit is None else f"{check.limit:.4g}",
            Text("kept", style="green") if check.passed else Text("not kept", style="bold red"),
        )
    return table


def _cell(task: str | None, shots: int | None, scoring: str | None) -> str:
    parts = [words.plain(task or "") or "all questions"]
    if shots is not None:
        parts.append(f"{shots}-shot")
    if scoring is not None:
        parts.append(words.plain(scoring))
    return ", ".join(parts)
