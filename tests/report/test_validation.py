"""A validation on the terminal: every number that a conclusion rests on is there, and nothing is cut."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from rich.cells import cell_len
from rich.console import Console

from medbench_local.catalog.protocol import BootstrapSettings, ReferenceSettings
from medbench_local.reference.rows import ResultRow
from medbench_local.reference.validate import validate
from medbench_local.reference.validation import Validation
from medbench_local.report.validation import show_validation, validation_dict
from tests.reference.written import result


def run_of(n: int = 40, model: str = "demo", scoring: str = "constrained") -> list[ResultRow]:
    return [
        result(
            model=f"{model}-{role}",
            role=role,
            task="mmlu-professional-medicine",
            shots=3,
            scoring=scoring,
            id=str(i),
            prompt_sha256=f"{role}{i}",
            logprobs=(-1.0, -1.01, -4.0),
            prediction=0,
            answer=i % 2,
        )
        for role in ("medical", "base")
        for i in range(n)
    ]


def validated(samples: list[ResultRow], reference: list[ResultRow]) -> Validation:
    return validate(samples, reference, thresholds=ReferenceSettings(), bootstrap=BootstrapSettings())


def half() -> Validation:
    """One near-tie turned, two other prompts, one model only."""
    reference = run_of()[:40]
    reference[0] = replace(reference[0], logprobs=(-1.01, -1.0, -4.0), prediction=1)
    for i in (1, 2):
        reference[i] = replace(reference[i], prompt_sha256="other")
    return validated(run_of(), reference)


CASES: dict[str, Callable[[], Validation]] = {
    "agrees": lambda: validated(run_of(), run_of()),
    "one model": half,
    "too little": lambda: validated(run_of(), run_of()[:3]),
    "nothing": lambda: validated(run_of(), [result(id="x")]),
    "contradicted": lambda: validated(
        run_of(), [replace(row, logprobs=None, prediction=2) for row in run_of()]
    ),
    "open verdict": lambda: validated(
        run_of(), [row for row in run_of() if row.id not in ("0", "1", "2", "3")]
    ),
    "long names": lambda: validated(
        run_of(model="a-model-with-quite-a-long-name-7b-instruct-v0.2"),
        run_of(model="a-model-with-quite-a-long-name-7b-instruct-v0.2"),
    ),
}


def shown(found: Validation, width: int = 1000) -> str:
    file = io.StringIO()
    Console(file=file, width=width, highlight=False).print(show_validation(found))
    return file.getvalue()


@pytest.mark.parametrize("width", [80, 100, 1000])
@pytest.mark.parametrize("case", CASES)
def test_nothing_is_cut_and_nothing_is_too_wide(case: str, width: int) -> None:
    text = shown(CASES[case](), width)
    assert "…" not in text
    assert max(cell_len(line) for line in text.splitlines()) <= width


@pytest.mark.parametrize("case", CASES)
def test_every_statement_threshold_and_the_conclusion_are_shown(case: str) -> None:
    found = CASES[case]()
    lines = shown(found).splitlines()
    assert lines[-1] == found.conclusion
    for part in (*found.statements, *map(str, found.verdicts), *(check.name for check in found.checks)):
        assert any(line.startswith(part) for line in lines), part


def test_what_was_compared_and_excused() -> None:
    text = shown(half())
    (row,) = (line for line in text.splitlines() if line.startswith("demo-medical mmlu"))
    assert "38 of 40" in row
    assert "2.6 %" in row
    assert "38 near-ties, of which 1 differ and are excused; 0 of the others differ." in text


def test_a_limit_that_is_not_kept_says_what_follows() -> None:
    few, against = (shown(CASES[case]()).splitlines() for case in ("too little", "contradicted"))
    assert any(line.startswith("smallest share") and line.rstrip().endswith("too little") for line in few)
    assert any(
        line.startswith("share of equal") and line.rstrip().endswith("contradicted") for line in against
    )


def test_a_name_from_outside_acts_on_no_screen() -> None:
    samples = run_of(model="\x1b[31mred\u202e")
    assert "\x1b" not in shown(validated(samples, samples[:3]))
    assert "\u202e" not in shown(validated(samples, samples[:40]))


@pytest.mark.parametrize("case", CASES)
def test_json_holds_the_same(case: str) -> None:
    found = CASES[case]()
    data = json.loads(json.dumps(validation_dict(found)))
    assert (data["outcome"], data["conclusion"]) == (found.outcome, found.conclusion)
    assert data["statements"] == list(found.statements)
    assert sum(data["matches"]["by"].values()) == sum(data["matches"]["prompts"].values())
    assert [check["passed"] for check in data["checks"]] == [check.passed for check in found.checks]
    assert [(v["run"], tuple(v["reference"]), v["same"]) for v in data["verdicts"]] == [
        (v.run, v.reference, v.same) for v in found.verdicts
    ]
    assert data["verdicts_compared"] == sum(v.same is not None for v in found.verdicts)
    for written, cell in zip(data["cells"], found.cells, strict=True):
        assert (written["model"], written["compared"]) == (cell.cell.model, cell.compared)
        assert (written["judged"], written["share_compared"]) == (cell.judged, cell.share_compared)
