"""The paired bootstrap against scipy, exact enumeration and real predictions."""

from __future__ import annotations

import gzip
import itertools
import json
from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap

from medbench_local.statistics.bootstrap import bootstrap_bounds, probability_at_most
from medbench_local.statistics.paired import (
    PairedDifference,
    paired_bootstrap,
    raw_verdict,
    verdict,
    verdict_of_counts,
)

outcomes = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=60)


def from_counts(both: int, medical_only: int, base_only: int, neither: int) -> tuple[list[int], list[int]]:
    medical = [1] * both + [1] * medical_only + [0] * base_only + [0] * neither
    base = [1] * both + [0] * medical_only + [1] * base_only + [0] * neither
    return medical, base


def enumerated(n: int, medical_only: int, base_only: int) -> dict[int, Fraction]:
    """Probability of every net count, by going through all n^n resamples of the questions."""
    net = [1] * medical_only + [-1] * base_only + [0] * (n - medical_only - base_only)
    seen: Counter[int] = Counter(sum(chosen) for chosen in itertools.product(net, repeat=n))
    return {value: Fraction(count, n**n) for value, count in seen.items()}


def expanded(n: int, medical_only: int, base_only: int) -> dict[int, Fraction]:
    """The same for any n, in whole numbers: the coefficients of (base + rest x + medical x^2)^n."""
    rest = n - medical_only - base_only
    coefficients = [1]
    for _ in range(n):
        longer = [0] * (len(coefficients) + 2)
        for power, value in enumerate(coefficients):
            longer[power] += value * base_only
            longer[power + 1] += value * rest
            longer[power + 2] += value * medical_only
        coefficients = longer
    return {power - n: Fraction(value, n**n) for power, value in enumerate(coefficients)}


def exact_bounds(distribution: dict[int, Fraction], tail: Fraction) -> tuple[int, int]:
    """Smallest k with P(S <= k) >= tail and largest with P(S >= k) >= tail, in rational arithmetic."""
    values = sorted(distribution)
    low = next(k for k in values if sum(distribution[v] for v in values if v <= k) >= tail)
    high = next(k for k in reversed(values) if sum(distribution[v] for v in values if v >= k) >= tail)
    return low, high


def test_the_expansion_is_the_enumeration() -> None:
    by_resampling = enumerated(6, 2, 1)
    for value, probability in expanded(6, 2, 1).items():
        assert by_resampling.get(value, Fraction(0)) == probability


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 7, 8, 12, 17])
@pytest.mark.parametrize(("confidence", "tail"), [(0.95, "0.025"), (0.5, "0.25"), (0.9, "0.05")])
def test_bounds_and_verdicts_in_rational_arithmetic(n: int, confidence: float, tail: str) -> None:
    for medical_only in range(n + 1):
        for base_only in range(n + 1 - medical_only):
            expected = exact_bounds(expanded(n, medical_only, base_only), Fraction(tail))
            assert bootstrap_bounds(n, medical_only, base_only, confidence) == expected
            by_interval = verdict(*expected)
            assert verdict_of_counts(n, medical_only, base_only, confidence) == by_interval


@pytest.mark.parametrize(
    ("n", "medical_only", "base_only"),
    [(135, 20, 9), (300, 40, 24), (500, 60, 65), (700, 0, 3), (400, 399, 1)],
)
def test_probabilities_are_exact(n: int, medical_only: int, base_only: int) -> None:
    distribution = expanded(n, medical_only, base_only)
    total = Fraction(0)
    for k in sorted(distribution):
        total += distribution[k]
        ours = probability_at_most(n, medical_only, base_only, k)
        assert ours == pytest.approx(float(total), abs=1e-12, rel=1e-9)


def test_probabilities_outside_what_can_be() -> None:
    assert probability_at_most(3, 3, 0, 3) == 1
    assert probability_at_most(3, 3, 0, 2) == 0
    assert probability_at_most(3, 0, 0, -1) == 0
    assert probability_at_most(3, 0, 3, -4) == 0
    assert probability_at_most(3, 1, 1, 7) == 1


def test_forty_against_twenty_four_of_three_hundred_is_a_tie() -> None:
    # P(S <= 0) = 0.025173 lies hardly above the tail: sampled resamples called it a win in half of all seeds.
    assert probability_at_most(300, 40, 24, 0) == pytest.approx(0.025173, abs=5e-7)
    assert bootstrap_bounds(300, 40, 24, 0.95) == (0, 32)
    got = paired_bootstrap(*from_counts(100, 40, 24, 136))
    assert (got.low, got.high, got.verdict) == (0.0, 32 / 300, "tie")


@pytest.mark.parametrize(
    ("n", "medical_only", "base_only"), [(1273, 173, 136), (4183, 3, 11), (4183, 900, 880)]
)
def test_a_million_sampled_resamples(n: int, medical_only: int, base_only: int) -> None:
    shares = np.array([medical_only, base_only, n - medical_only - base_only]) / n
    draws = np.random.default_rng(1).multinomial(n, shares, size=1_000_000)
    net = draws[:, 0] - draws[:, 1]
    low, high = bootstrap_bounds(n, medical_only, base_only, 0.95)
    slack = 4 * (0.025 * 0.975 / 1_000_000) ** 0.5
    assert np.mean(net < low) < 0.025 + slack
    assert np.mean(net <= low) > 0.025 - slack
    assert np.mean(net > high) < 0.025 + slack
    assert np.mean(net >= high) > 0.025 - slack


@settings(max_examples=100, deadline=None)
@given(st.integers(2, 400), st.data())
def test_the_verdict_is_monotone_in_both_counts(n: int, data: st.DataObject) -> None:
    medical_only = data.draw(st.integers(0, n - 1))
    base_only = data.draw(st.integers(0, n - 1 - medical_only))
    order = ["loss", "tie", "win"]
    here = order.index(verdict_of_counts(n, medical_only, base_only, 0.95))
    assert order.index(verdict_of_counts(n, medical_only + 1, base_only, 0.95)) >= here
    assert order.index(verdict_of_counts(n, medical_only, base_only + 1, 0.95)) <= here


def test_agrees_with_scipy() -> None:
    medical, base = from_counts(40, 30, 12, 18)
    theirs = bootstrap(
        (np.array(medical), np.array(base)),
        lambda m, b, axis: np.mean(m, axis=axis) - np.mean(b, axis=axis),
        paired=True,
        vectorized=True,
        n_resamples=40_000,
        method="percentile",
        rng=np.random.default_rng(1),
    ).confidence_interval
    ours = paired_bootstrap(medical, base)
    assert ours.low == pytest.approx(theirs.low, abs=0.0101)
    assert ours.high == pytest.approx(theirs.high, abs=0.0101)


def read_correct(path: Path) -> dict[str, bool]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = json.load(lines)["predictions"]
    return {row["question"]: bool(row["is_correct"]) for row in rows}


def test_real_predictions(shared_data: Path) -> None:
    folder = shared_data / "predictions"
    base = read_correct(folder / "mistral-7b-v0.3-nf4.medqa.baseline_results.json.gz")
    tuned = read_correct(folder / "mistral-7b-v0.3-nf4.medqa.finetuned_results.json.gz")
    assert list(base) == list(tuned)
    got = paired_bootstrap(list(tuned.values()), list(base.values()))
    assert (got.n, got.accuracy_medical, got.accuracy_base) == (1273, 665 / 1273, 628 / 1273)
    assert got.medical_only - got.base_only == 665 - 628
    # The normal interval is close at this size, and is computed from the raw vectors here.
    net = np.array(list(tuned.values()), dtype=float) - np.array(list(base.values()), dtype=float)
    half = 1.959964 * net.std() / np.sqrt(net.size)
    assert got.low == pytest.approx(net.mean() - half, abs=0.0015)
    assert got.high == pytest.approx(net.mean() + half, abs=0.0015)
    assert got.verdict == "win"


@settings(max_examples=60, deadline=None)
@given(outcomes)
def test_exchanging_the_models_mirrors_the_interval(rows: list[tuple[int, int]]) -> None:
    medical, base = [row[0] for row in rows], [row[1] for row in rows]
    there, back = paired_bootstrap(medical, base), paired_bootstrap(base, medical)
    assert back.difference == -there.difference
    assert (back.medical_only, back.base_only) == (there.base_only, there.medical_only)
    assert (back.low, back.high) == (-there.high, -there.low)
    mirror = {"win": "loss", "tie": "tie", "loss": "win"}
    assert back.verdict == mirror[there.verdict]


@settings(max_examples=60, deadline=None)
@given(outcomes, st.randoms(use_true_random=False))
def test_the_order_of_the_questions_does_not_matter(rows: list[tuple[int, int]], random: object) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]

    def run(pairs: list[tuple[int, int]]) -> PairedDifference:
        return paired_bootstrap([m for m, _ in pairs], [b for _, b in pairs])

    assert run(rows) == run(shuffled)


@settings(max_examples=60, deadline=None)
@given(outcomes)
def test_the_interval_holds_what_is_possible(rows: list[tuple[int, int]]) -> None:
    got = paired_bootstrap([m for m, _ in rows], [b for _, b in rows])
    assert -1 <= got.low <= got.high <= 1
    if not got.base_only:
        assert got.low >= 0
    if not got.medical_only:
        assert got.high <= 0


def test_no_discordant_question_is_a_tie() -> None:
    got = paired_bootstrap([1, 0, 1], [1, 0, 1])
    assert (got.low, got.high, got.verdict) == (0.0, 0.0, "tie")


def test_a_bound_of_zero_is_a_tie() -> None:
    # Three wins in a hundred: 5 % of the resamples hold none of them, so the lower bound is exactly 0.
    got = paired_bootstrap(*from_counts(50, 3, 0, 47))
    assert got.low == 0.0
    assert got.high > 0
    assert got.verdict == "tie"


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.01, 0.2, "win"), (-0.2, -0.01, "loss"), (0.0, 0.2, "tie"), (-0.2, 0.0, "tie"), (-0.1, 0.1, "tie")],
)
def test_verdict(low: float, high: float, expected: str) -> None:
    assert verdict(low, high) == expected


def test_verdict_refuses_what_is_no_interval() -> None:
    with pytest.raises(ValueError, match="none"):
        verdict(0.2, 0.1)
    with pytest.raises(ValueError, match="none"):
        verdict(float("nan"), 0.1)


def test_raw_verdict() -> None:
    assert [raw_verdict(d) for d in (0.001, 0.0, -0.001)] == ["win", "tie", "loss"]


@pytest.mark.parametrize(
    ("medical", "base", "problem"),
    [
        ([], [], "at least one"),
        ([1, 0], [1], "2 questions"),
        ([1, 2], [1, 0], "only 0"),
        ([[1, 0]], [[1, 0]], "vector"),
        ([1.0, float("nan")], [1, 0], "only 0"),
    ],
)
def test_bad_vectors(medical: list[int], base: list[int], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        paired_bootstrap(medical, base)


def test_bad_options() -> None:
    with pytest.raises(ValueError, match="confidence"):
        paired_bootstrap([1], [0], confidence=1.0)
    with pytest.raises(ValueError, match="cannot be"):
        bootstrap_bounds(3, 2, 2, 0.95)
    with pytest.raises(ValueError, match="cannot be"):
        verdict_of_counts(3, -1, 2, 0.95)
