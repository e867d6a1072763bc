"""A validation on the terminal: what was compared, what agreed, what did not, and every threshold."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from medbench_local.reference.validation import CellAgreement, Check, Validation
from medbench_local.report import words
from medbench_local.report.grid import Grid, GridColumn
from medbench_local.report.section import Column, Section
from medbench_local.report.terminal import FittedTable


def show_validation(found: Validation) -> RenderableType:
    """Everything a validation found, for people."""
    parts: list[RenderableType] = [Text(words.plain(sentence)) for sentence in found.statements]
    if found.answer_conflicts:
        count = found.answer_conflicts
        parts.append(
            Text(
                f"{count:,} question{'' if count == 1 else 's'} with another correct option in the reference."
            )
        )
    if found.agreement is not None:
        a = found.agreement
        parts.append(
            Text(
                f"Same prediction on {a.same:,} of {a.n:,} questions "
                f"[{words.percent(a.low)}, {words.percent(a.high)}]; {a.near_ties:,} near-ties, of which "
                f"{a.excused:,} differ and are excused; {a.differing:,} of the others differ."
            )
        )
    if found.logprobs is not None:
        d = found.logprobs
        parts.append(
            Text(
                f"Log-probabilities of {d.n:,} options differ by {d.median:.2g} (median), {d.p99:.2g} "
                f"(99th percentile), {d.largest:.2g} (largest) nats."
            )
        )
    if found.cells:
        parts.append(_cells(found))
    parts += [Text(words.plain(str(verdict))) for verdict in found.verdicts]
    parts += [_checks(found), Text(found.conclusion, style="bold")]
    return Group(*parts)


def validation_dict(found: Validation) -> dict[str, Any]:
    """The same as JSON has it, without the matched rows themselves."""
    data = asdict(found)
    matches = found.matches
    data["matches"] = {
        "matched": len(matches.matches),
        "by": {
            by: sum(m.by == by for m in matches.matches) for by in ("id and prompt", "prompt", "text", "id")
        },
        "prompts": {
            kind: sum(m.prompt == kind for m in matches.matches) for kind in ("same", "other", "unknown")
        },
        "unmatched_samples": matches.unmatched_samples,
        "unmatched_reference": matches.unmatched_reference,
        "duplicates": matches.duplicates,
        "conflicting": matches.conflicting,
        "ambiguous": matches.ambiguous,
        "cells_of_run": len(matches.cells),
        "cells_judged": found.judged,
    }
    data["cells"] = [
        asdict(cell.cell)
        | {name: value for name, value in asdict(cell).items() if name != "cell"}
        | {
            "share_compared": cell.share_compared,
            "share_excused": cell.share_excused,
            "judged": cell.judged,
        }
        for cell in found.cells
    ]
    data["verdicts"] = [asdict(verdict) | {"same": verdict.same} for verdict in found.verdicts]
    return data | {"verdicts_compared": found.verdicts_compared, "conclusion": found.conclusion}


def _judgement(check: Check) -> Text:
    if check.value is None or check.limit is None:
        return Text("")
    if check.passed:
        return Text("kept", style="green")
    return Text("contradicted" if check.about == "agreement" else "too little", style="bold red")


def _cells(found: Validation) -> FittedTable:
    numbers = ("compared", "differ", "excused", "run", "reference", "difference")
    columns = (Column("cell", name_of_row=True), *(Column(name, numeric=True) for name in numbers))
    rows = [
        (
            words.plain(str(cell.cell)),
            f"{cell.compared:,} of {cell.answerable:,}",
            f"{cell.differing:,}",
            words.percent(cell.share_excused),
            *_accuracies(cell),
        )
        for cell in found.cells
    ]
    return FittedTable(Section("", "", columns, tuple(rows)))


def _accuracies(cell: CellAgreement) -> tuple[str, str, str]:
    if cell.run is None or cell.reference is None or cell.low is None or cell.high is None:
        return "", "", ""
    difference = f"{words.points(cell.run - cell.reference)} {words.interval((cell.low, cell.high))}"
    return words.percent(cell.run), words.percent(cell.reference), difference


def _checks(found: Validation) -> Grid:
    columns = [GridColumn(name) for name in ("threshold", "observed", "limit", "outcome")]
    rows = [
        [
            Text(words.plain(check.name)),
            Text("nothing to judge" if check.value is None else f"{check.value:.4g}"),
            Text("reported only" if check.limit is None else f"{check.limit:.4g}"),
            _judgement(check),
        ]
        for check in found.checks
    ]
    return Grid(columns, rows, head_style="bold")
