"""How one model's answers differ between two precisions."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from medbench_local.catalog.protocol import load_protocol
from medbench_local.catalog.quantisation import load_quant
from medbench_local.study.equivalence import (
    CheckSettings,
    check_settings,
    checked_rows,
    compare_precisions,
    precision_changes,
    record,
)
from tests.study.material import answer_of, answers_of, questions

LAPTOP = load_protocol("laptop")
SETTINGS = CheckSettings(
    questions=None, margin=0.02, confidence=0.9, seed=42, reference_precision="full", near_tie=0.05
)
N = 1000
ASKED = questions("test", N)
RIGHT = [q.answer for q in ASKED]


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
    found = check_settings(LAPTOP, quant, scope="sample", reference_precision="full", near_tie=0.01)
    rule = quant.equivalence
    assert (found.questions, found.margin, found.confidence) == (rule.questions, rule.margin, rule.confidence)
    own = LAPTOP.model_copy(
        update={"check": LAPTOP.check.model_copy(update={"questions": 77, "margin": 0.1, "seed": 3})}
    )
    found = check_settings(own, quant, scope="sample", reference_precision="q8_0", near_tie=0.01)
    assert (found.questions, found.margin, found.seed, found.reference_precision) == (77, 0.1, 3, "q8_0")
    assert (
        check_settings(own, quant, scope="full", reference_precision="full", near_tie=0.01).questions is None
    )


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


def test_changes_are_counted_and_prompts_that_fit_nowhere_left_out() -> None:
    changed = [(RIGHT[0] + 1) % 4, (RIGHT[1] + 2) % 4, *RIGHT[2:20]]
    full = (*answers_of([*RIGHT[:19], (RIGHT[19] + 1) % 4], gap=0.5), answer_of(None))
    found = precision_changes(ASKED[:21], full, (*answers_of(changed, gap=0.5), answer_of(None)))
    assert (found.n, found.flips, found.correct_to_wrong, found.wrong_to_correct) == (20, 3, 2, 1)
    best = math.exp(0.5) / (math.exp(0.5) + 3)
    other = (1 - best) / 3
    assert found.kl_max == pytest.approx((best - other) * 0.5)
    assert found.kl_mean == pytest.approx((best - other) * 0.5 * 3 / 20)
    nothing = precision_changes(ASKED[:2], answers_of([None, None]), answers_of([None, None]))
    assert (nothing.n, nothing.kl_mean) == (0, None)
