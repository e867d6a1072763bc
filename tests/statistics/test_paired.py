"""The paired bootstrap against scipy, exact enumeration and real predictions."""

from __future__ import annotations

import gzip
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import bootstrap

from medbench_local.statistics.paired import PairedDifference, paired_bootstrap, raw_verdict, verdict

outcomes = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=60)


def from_counts(both: int, medical_only: int, base_only: int, neither: int) -> tuple[list[int], list[int]]:
    medical = [1] * both + [1] * medical_only + [0] * base_only + [0] * neither
    base = [1] * both + [0] * medical_only + [1] * base_only + [0] * neither
    return medical, base


def enumerated(medical: list[int], base: list[int]) -> dict[int, float]:
    """Probability of every net count, by going through all n^n resamples of the questions."""
    n = len(medical)
    net = [m - b for m, b in zip(medical, base, strict=True)]
    seen: dict[int, float] = {}
    for chosen in itertools.product(net, repeat=n):
        seen[sum(chosen)] = seen.get(sum(chosen), 0.0) + 1 / n**n
    return seen


def convolved(n: int, medical_only: int, base_only: int) -> dict[int, float]:
    """The same for any n: the net count is a sum of n independent draws from -1, 0 and 1."""
    one = np.array([base_only / n, 1 - (medical_only + base_only) / n, medical_only / n])
    total: NDArray[np.float64] = np.array([1.0])
    for _ in range(n):
        total = np.convolve(total, one)
    return {k - n: float(p) for k, p in enumerate(total)}


def exact_quantiles(distribution: dict[int, float], probability: float, slack: float) -> tuple[int, int]:
    """The values between which an estimated quantile must lie if its rank may be off by ``slack``."""
    total = 0.0
    low = high = None
    for value in sorted(distribution):
        total += distribution[value]
        if low is None and total >= probability - slack:
            low = value
        if high is None and total >= probability + slack:
            high = value
    assert low is not None
    assert high is not None
    return low, high


def test_enumeration_and_convolution_agree() -> None:
    by_resampling = enumerated(*from_counts(1, 2, 1, 2))
    by_convolution = convolved(6, 2, 1)
    for value, probability in by_convolution.items():
        assert by_resampling.get(value, 0.0) == pytest.approx(probability, abs=1e-12)


@pytest.mark.parametrize("counts", [(1, 2, 1, 2), (0, 3, 1, 1), (2, 0, 3, 1), (3, 3, 0, 0)])
@pytest.mark.parametrize("confidence", [0.5, 0.8, 0.9, 0.95])
def test_bounds_are_those_of_all_resamples_enumerated(
    counts: tuple[int, int, int, int], confidence: float
) -> None:
    medical, base = from_counts(*counts)
    n = len(medical)
    distribution = enumerated(medical, base)
    got = paired_bootstrap(medical, base, resamples=100_000, confidence=confidence, seed=3)
    tail = (1 - confidence) / 2
    slack = 4 * (tail * (1 - tail) / 100_000) ** 0.5
    for bound, probability in ((got.low, tail), (got.high, 1 - tail)):
        smallest, largest = exact_quantiles(distribution, probability, slack)
        assert smallest / n - 1e-12 <= bound <= largest / n + 1e-12


@pytest.mark.parametrize(("n", "medical_only", "base_only"), [(135, 20, 9), (500, 60, 65), (1273, 3, 11)])
def test_bounds_are_those_of_the_exact_bootstrap_distribution(
    n: int, medical_only: int, base_only: int
) -> None:
    medical, base = from_counts(n // 3, medical_only, base_only, n - n // 3 - medical_only - base_only)
    distribution = convolved(n, medical_only, base_only)
    got = paired_bootstrap(medical, base, seed=0)
    slack = 4 * (0.025 * 0.975 / 10_000) ** 0.5
    for bound, probability in ((got.low, 0.025), (got.high, 0.975)):
        smallest, largest = exact_quantiles(distribution, probability, slack)
        assert smallest / n - 1e-12 <= bound <= largest / n + 1e-12


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
    ours = paired_bootstrap(medical, base, resamples=40_000, seed=2)
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
    got = paired_bootstrap(list(tuned.values()), list(base.values()), seed=0)
    assert (got.n, got.accuracy_medical, got.accuracy_base) == (1273, 665 / 1273, 628 / 1273)
    assert got.medical_only - got.base_only == 665 - 628
    # The normal interval is close at this size, and is computed from the raw vectors here.
    net = np.array(list(tuned.values()), dtype=float) - np.array(list(base.values()), dtype=float)
    half = 1.959964 * net.std() / np.sqrt(net.size)
    assert got.low == pytest.approx(net.mean() - half, abs=0.0015)
    assert got.high == pytest.approx(net.mean() + half, abs=0.0015)
    assert got.verdict == "win"


@settings(max_examples=60, deadline=None)
@given(outcomes, st.integers(0, 2**32))
def test_exchanging_the_models_mirrors_the_interval(rows: list[tuple[int, int]], seed: int) -> None:
    medical, base = [row[0] for row in rows], [row[1] for row in rows]
    there = paired_bootstrap(medical, base, resamples=500, seed=seed)
    back = paired_bootstrap(base, medical, resamples=500, seed=seed)
    assert back.difference == -there.difference
    assert (back.medical_only, back.base_only) == (there.base_only, there.medical_only)
    if there.medical_only != there.base_only:
        assert back.low == pytest.approx(-there.high, abs=1e-12)
        assert back.high == pytest.approx(-there.low, abs=1e-12)
    mirror = {"win": "loss", "tie": "tie", "loss": "win"}
    assert back.verdict == mirror[there.verdict]


@settings(max_examples=60, deadline=None)
@given(outcomes, st.randoms(use_true_random=False))
def test_the_order_of_the_questions_does_not_matter(rows: list[tuple[int, int]], random: object) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]

    def run(pairs: list[tuple[int, int]]) -> PairedDifference:
        return paired_bootstrap([m for m, _ in pairs], [b for _, b in pairs], resamples=300, seed=5)

    assert run(rows) == run(shuffled)


@settings(max_examples=60, deadline=None)
@given(outcomes)
def test_the_interval_holds_what_is_possible(rows: list[tuple[int, int]]) -> None:
    got = paired_bootstrap([m for m, _ in rows], [b for _, b in rows], resamples=300, seed=5)
    assert -1 <= got.low <= got.high <= 1
    if not got.base_only:
        assert got.low >= 0
    if not got.medical_only:
        assert got.high <= 0


def test_no_discordant_question_is_a_tie() -> None:
    got = paired_bootstrap([1, 0, 1], [1, 0, 1], seed=0)
    assert (got.low, got.high, got.verdict) == (0.0, 0.0, "tie")


def test_a_bound_of_zero_is_a_tie() -> None:
    # Three wins in a hundred: 5 % of the resamples hold none of them, so the lower bound is exactly 0.
    got = paired_bootstrap(*from_counts(50, 3, 0, 47), seed=0)
    assert got.low == 0.0
    assert got.high > 0
    assert got.verdict == "tie"


def test_the_seed_decides() -> None:
    medical, base = from_counts(200, 90, 60, 150)
    one = paired_bootstrap(medical, base, seed=1, resamples=999)
    assert one == paired_bootstrap(medical, base, seed=1, resamples=999)
    assert one != paired_bootstrap(medical, base, seed=2, resamples=999)


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
        paired_bootstrap(medical, base, seed=0)


def test_bad_options() -> None:
    with pytest.raises(ValueError, match="resamples"):
        paired_bootstrap([1], [0], resamples=0, seed=0)
    with pytest.raises(ValueError, match="confidence"):
        paired_bootstrap([1], [0], confidence=1.0, seed=0)
