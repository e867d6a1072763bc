"""When a quantised verdict may be reported."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from medbench_local.catalog.protocol import load_protocol
from medbench_local.catalog.quantisation import load_quant
from medbench_local.study.checking import (
    CheckSettings,
    check_settings,
    checked_rows,
    compare_precisions,
    compare_verdicts,
    record,
)
from medbench_local.study.results import ComparisonEquivalence
from tests.study.material import answer_of, answers_of, questions

LAPTOP = load_protocol("laptop")
SETTINGS = CheckSettings(
    questions=None, margin=0.02, confidence=0.9, seed=42, reference_precision="full", near_tie=0.05
)
N = 1000
ASKED = questions("test", N)
RIGHT = [q.answer for q in ASKED]


def _wrong(rows: set[int]) -> list[int]:
    return [(a + 1) % 4 if i in rows else a for i, a in enumerate(RIGHT)]


def _check(
    medical: tuple[set[int], set[int]],
    base: tuple[set[int], set[int]],
    *,
    asked: int = N,
    settings: CheckSettings = SETTINGS,
) -> ComparisonEquivalence:
    """Each model by the rows it gets wrong at full precision and quantised."""
    return compare_verdicts(
        ASKED,
        medical_full=answers_of(_wrong(medical[0])),
        medical_quantised=answers_of(_wrong(medical[1])),
        base_full=answers_of(_wrong(base[0])),
        base_quantised=answers_of(_wrong(base[1])),
        asked=asked,
        protocol=LAPTOP,
        settings=settings,
    )


FEW, MANY = set(range(200)), set(range(500))


def test_equal_answers_are_verified() -> None:
    found = _check((FEW, FEW), (MANY, MANY), asked=5000)
    assert found.verified
    assert found.reason == ""
    assert (found.verdict_full_precision, found.verdict_quantised) == ("win", "win")
    assert found.medical is not None
    assert (found.medical.outcome, found.medical.flips, found.medical.kl_mean) == ("equivalent", 0, 0.0)


def test_a_changed_model_is_not_verified_even_if_the_verdict_stays() -> None:
    found = _check((FEW, set(range(300))), (MANY, MANY))
    assert not found.verified
    assert found.verdict_full_precision == found.verdict_quantised == "win"
    assert found.medical is not None
    assert found.medical.outcome == "different"
    assert "Quantisation changed the medical model" in found.reason
    assert "base" not in found.reason


def test_a_changed_verdict_is_not_verified() -> None:
    base = set(range(480))
    found = _check((set(range(455)), set(range(462))), (base, base))
    assert (found.verdict_full_precision, found.verdict_quantised) == ("win", "win")
    found = _check((set(range(479)), set(range(472))), (base, base))
    assert (found.verdict_full_precision, found.verdict_quantised) == ("tie", "win")
    assert not found.verified
    assert "the verdict is tie at full and win quantised" in found.reason


def test_an_open_check_says_how_many_questions_would_settle_it() -> None:
    wrong_now = {*range(100), *range(300, 400)}  # 100 lost, 100 won: no difference, but much noise
    found = _check((FEW, wrong_now), (MANY, MANY), asked=5000)
    assert found.medical is not None
    assert found.medical.outcome == "inconclusive"
    assert not found.verified
    assert f"about {found.medical.questions_needed} questions would settle it" in found.reason
    assert found.medical.questions_needed is not None
    assert found.medical.questions_needed > N
    assert "--check full" in found.reason


def test_once_every_question_is_checked_an_open_margin_does_not_stand_against_a_known_verdict() -> None:
    wrong_now = {*range(100), *range(300, 400)}
    found = _check((FEW, wrong_now), (MANY, MANY), asked=N)
    assert found.medical is not None
    assert found.medical.outcome == "inconclusive"
    assert found.verified, "the verdict at full precision is known"
    assert not _check((FEW, set(range(300))), (MANY, MANY), asked=N).verified
    wrong_now = {*range(100, 200), *range(300, 425)}  # 100 won, 125 lost
    moved = _check((FEW, wrong_now), (MANY, MANY), asked=N)
    assert moved.medical is not None
    assert moved.medical.outcome == "inconclusive"
    assert not moved.verified, "the accuracy is known to have moved by more than the margin"
    assert "beyond" in moved.reason


def test_checked_rows_are_a_fixed_subset_of_the_asked_ones() -> None:
    some = replace(SETTINGS, questions=100)
    rows = checked_rows(500, some)
    assert rows == checked_rows(500, some)
    assert list(rows) == sorted(set(rows))
    assert (len(rows), min(rows) >= 0, max(rows) < 500) == (100, True, True)
    assert rows != checked_rows(500, replace(some, seed=1))
    assert checked_rows(60, some) == tuple(range(60))
    assert checked_rows(500, SETTINGS) == tuple(range(500))
    counts = np.zeros(20)
    for seed in range(400):
        counts[list(checked_rows(20, replace(SETTINGS, questions=5, seed=seed)))] += 1
    assert counts.min() > 60, "every question can be drawn (100 expected)"


def test_settings_come_from_the_protocol_and_else_from_the_config() -> None:
    quant = load_quant("q4_k_m")
    found = check_settings(LAPTOP, quant, scope="config", reference_precision="full")
    rule = quant.equivalence
    assert (found.questions, found.margin, found.confidence) == (rule.questions, rule.margin, rule.confidence)
    own = LAPTOP.model_copy(
        update={"check": LAPTOP.check.model_copy(update={"questions": 77, "margin": 0.1, "seed": 3})}
    )
    found = check_settings(own, quant, scope="config", reference_precision="q8_0")
    assert (found.questions, found.margin, found.seed, found.reference_precision) == (77, 0.1, 3, "q8_0")
    assert check_settings(own, quant, scope="full", reference_precision="full").questions is None


def test_prompts_that_fit_neither_precision_are_left_out() -> None:
    full = (*answers_of(RIGHT[:10]), *(answer_of(None) for _ in range(5)))
    found = compare_precisions(ASKED[:15], full, full, SETTINGS)
    assert found.n == 10
    nothing = tuple(answer_of(None) for _ in range(15))
    assert compare_precisions(ASKED[:15], nothing, nothing, SETTINGS).flips == 0


def test_greedy_answers_are_compared_without_logprobs() -> None:
    answers = tuple(replace(a, logprobs=(), text="A") for a in answers_of(RIGHT[:50]))
    found = record(compare_precisions(ASKED[:50], answers, answers, SETTINGS), SETTINGS)
    assert (found.kl_mean, found.kl_max, found.flip_margins) == (None, None, ())


def test_the_record_has_the_divergence_of_the_options_and_the_margins_of_flips() -> None:
    full = answers_of(RIGHT[:20], gap=0.5)
    quantised = (*answers_of([(RIGHT[0] + 1) % 4], gap=0.5), *full[1:])
    found = record(compare_precisions(ASKED[:20], full, quantised, SETTINGS), SETTINGS)
    assert found.flips == 1
    assert (found.correct_to_wrong, found.wrong_to_correct) == (1, 0)
    assert found.flip_margins == pytest.approx((0.5,))
    best = math.exp(0.5) / (math.exp(0.5) + 3)
    other = (1 - best) / 3
    assert found.kl_max == pytest.approx((best - other) * 0.5)
    assert found.kl_mean == pytest.approx((best - other) * 0.5 / 20)
    assert found.difference == pytest.approx(-1 / 20)


def test_an_infinite_divergence_is_kept_as_unknown() -> None:
    full = answers_of(RIGHT[:20])
    impossible = replace(full[0], logprobs=(-1.0, -math.inf, -2.0, -2.0))
    found = record(compare_precisions(ASKED[:20], full, (impossible, *full[1:]), SETTINGS), SETTINGS)
    assert found.kl_max is None
