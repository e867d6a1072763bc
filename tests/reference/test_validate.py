"""Validation of runs made up so that the right answer is known."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import numpy as np
import pytest

from medbench_local.catalog.protocol import BootstrapSettings, ReferenceSettings
from medbench_local.reference.rows import ResultRow
from medbench_local.reference.validate import Validation, validate
from tests.reference.written import result


def run_of(n: int = 200) -> list[ResultRow]:
    """A run on one task: the medical model clearly better, its answers 0, the base model's mostly 1."""
    rows = []
    for role, wrong in (("medical", n // 10), ("base", n // 2)):
        for i in range(n):
            logprobs = (-1.5, -0.5, -4.0) if i < wrong else (-0.5, -1.5, -4.0)
            rows.append(
                result(
                    model=f"demo-{role}",
                    role=role,
                    task="demo-a",
                    shots=0,
                    scoring="constrained",
                    id=str(i),
                    prompt_sha256=f"{role}{i}",
                    logprobs=logprobs,
                    prediction=int(np.argmax(logprobs)),
                    answer=0,
                )
            )
    return rows


def check(samples: list[ResultRow], reference: list[ResultRow], **changes: float) -> Validation:
    return validate(
        samples,
        reference,
        thresholds=ReferenceSettings().model_copy(update=changes),
        bootstrap=BootstrapSettings(),
    )


def failed(validation: Validation) -> list[str]:
    return [c.name for c in validation.checks if not c.passed]


def shifted(row: ResultRow, by: float) -> ResultRow:
    assert row.logprobs is not None
    return replace(row, logprobs=tuple(value - by for value in row.logprobs))


def test_a_run_agrees_with_itself() -> None:
    got = check(run_of(), run_of())
    assert got.passed
    assert got.agreement is not None
    assert (got.agreement.n, got.agreement.same, got.agreement.near_ties) == (400, 400, 0)
    assert got.logprobs is not None
    assert (got.logprobs.n, got.logprobs.largest) == (1200, 0.0)
    assert [(v.n, v.run, v.reference) for v in got.verdicts] == [(200, "win", "win")]
    assert [(c.model, c.run, c.reference, c.low, c.high) for c in got.cells] == [
        ("demo-medical", 0.9, 0.9, 0.0, 0.0),
        ("demo-base", 0.5, 0.5, 0.0, 0.0),
    ]


def test_differences_of_log_probabilities() -> None:
    reference = [shifted(row, 0.001 if i % 50 else 0.5) for i, row in enumerate(run_of())]
    got = check(run_of(), reference)
    assert got.logprobs is not None
    assert got.logprobs.median == pytest.approx(0.001)
    assert got.logprobs.p99 == pytest.approx(0.5)
    assert failed(got) == ["99th percentile of these differences"]
    assert check(run_of(), reference, logprob_p99=0.6).passed
    assert "largest of these differences" in failed(check(run_of(), reference, logprob_largest=0.4))


def test_an_impossible_option_is_an_infinite_difference() -> None:
    reference = run_of()
    reference[0] = replace(reference[0], logprobs=(-0.5, -1.5, -inf))
    got = check(run_of(), reference)
    assert got.logprobs is not None
    assert got.logprobs.largest == inf
    both = check(reference, reference)
    assert both.logprobs is not None
    assert both.logprobs.largest == 0.0


def test_disagreements_within_near_ties_are_forgiven() -> None:
    samples, reference = run_of(), run_of()
    for i in range(30):
        samples[i] = replace(samples[i], logprobs=(-0.99, -1.0, -4.0), prediction=0)
        reference[i] = replace(reference[i], logprobs=(-1.0, -0.99, -4.0), prediction=1)
    got = check(samples, reference)
    assert got.passed
    assert got.agreement is not None
    assert (got.agreement.near_ties, got.agreement.disagreements_near_ties) == (30, 30)
    assert got.agreement.disagreements_elsewhere == 0
    assert got.agreement.same == 370
    assert got.agreement.low < 370 / 400 < got.agreement.high


def test_disagreements_elsewhere_are_not() -> None:
    reference = run_of()
    for i in range(30):
        reference[i] = replace(reference[i], prediction=2)
    got = check(run_of(), reference)
    assert got.agreement is not None
    assert got.agreement.share_elsewhere == pytest.approx(370 / 400)
    assert failed(got) == ["share of equal predictions outside near-ties"]


def test_another_verdict() -> None:
    reference = [replace(row, prediction=0) for row in run_of()]
    got = check(run_of(), reference)
    assert [(v.run, v.reference) for v in got.verdicts] == [("win", "tie")]
    assert "comparisons with different verdicts" in failed(got)
    assert "comparisons with different verdicts" not in failed(
        check(run_of(), reference, same_verdicts=False)
    )


def test_the_accuracy_difference_has_a_paired_interval() -> None:
    reference = [replace(row, prediction=2) if i < 60 else row for i, row in enumerate(run_of())]
    (medical, _) = check(run_of(), reference).cells
    assert medical.run - medical.reference == pytest.approx(40 / 200)
    assert 0.1 < medical.low < 0.2 < medical.high < 0.3


def test_contradictions_fail() -> None:
    reference = [*run_of(), replace(run_of()[0], prediction=2)]
    assert failed(check(run_of(), reference)) == ["contradictory or ambiguous reference rows"]
    reference = [replace(run_of()[0], answer=2), *run_of()[1:]]
    got = check(run_of(), reference)
    assert got.answer_conflicts == 1
    assert failed(got) == ["questions with different correct options"]


def test_nothing_in_common_fails() -> None:
    got = check(run_of(), [result(prompt_sha256="another")])
    assert failed(got) == ["questions on both sides"]
    assert (got.agreement, got.logprobs, got.cells, got.verdicts) == (None, None, (), ())


def test_other_prompts_are_compared_by_prediction_only() -> None:
    samples = [replace(row, text_sha256=f"text {i}") for i, row in enumerate(run_of())]
    reference = [replace(shifted(row, 3.0), prompt_sha256="other") for row in samples]
    got = check(samples, reference)
    assert got.passed
    assert got.logprobs is None
    assert {match.by for match in got.matches.matches} == {"text"}
