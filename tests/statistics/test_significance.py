"""McNemar, Holm, Wilson and the minimum detectable difference against published values and enumeration."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medbench_local.statistics.paired import paired_bootstrap
from medbench_local.statistics.significance import holm, mcnemar_exact, minimum_detectable_difference, wilson


def by_summation(b: int, c: int) -> float:
    """Twice the smaller binomial tail, in exact fractions."""
    tail = sum(Fraction(comb(b + c, k), 2 ** (b + c)) for k in range(min(b, c) + 1))
    return float(min(Fraction(1), 2 * tail))


def test_mcnemar_textbook() -> None:
    # Agresti, Categorical Data Analysis, approval ratings: 150 and 86 changed; R's exact2x2 gives 3.716e-05.
    assert mcnemar_exact(150, 86) == pytest.approx(3.716e-05, rel=2e-4)
    assert mcnemar_exact(86, 150) == mcnemar_exact(150, 86)


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_the_sum_of_binomial_terms(b: int, c: int) -> None:
    assert mcnemar_exact(b, c) == pytest.approx(by_summation(b, c), rel=1e-9)


def test_mcnemar_edges() -> None:
    assert mcnemar_exact(0, 0) == 1.0
    assert mcnemar_exact(6, 0) == pytest.approx(2 / 64)
    with pytest.raises(ValueError, match="negative"):
        mcnemar_exact(-1, 3)


def test_holm_textbook() -> None:
    # R: p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm")
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    # R: p.adjust(c(0.5, 0.9), "holm")
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_rejects_what_the_step_down_procedure_rejects(pvalues: list[float]) -> None:
    adjusted = holm(pvalues)
    for alpha in (0.01, 0.05, 0.3):
        rejected = set()
        for step, index in enumerate(np.argsort(pvalues, kind="stable")):
            if (len(pvalues) - step) * pvalues[index] > alpha:
                break
            rejected.add(int(index))
        assert {i for i, p in enumerate(adjusted) if p <= alpha} == rejected


def test_holm_refuses_what_is_no_probability() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm([0.2, 1.2])


@pytest.mark.parametrize(("n", "points"), [(500, 6.3), (1273, 3.9), (4183, 2.2)])
def test_minimum_detectable_difference_at_known_sizes(n: int, points: float) -> None:
    assert round(100 * minimum_detectable_difference(n, 0.25), 1) == points


def test_minimum_detectable_difference_is_found_with_its_power() -> None:
    n, discordance, trials = 500, 0.2, 2000
    difference = minimum_detectable_difference(n, discordance)
    shares = ((discordance + difference) / 2, (discordance - difference) / 2, 1 - discordance)
    draws = np.random.default_rng(0).multinomial(n, shares, size=trials)
    found = 0
    for medical_only, base_only, _ in draws:
        medical = [1] * medical_only + [0] * (n - medical_only)
        base = [0] * medical_only + [1] * base_only + [0] * (n - medical_only - base_only)
        found += paired_bootstrap(medical, base).verdict == "win"
    assert 0.77 <= found / trials <= 0.84


def test_minimum_detectable_difference_without_discordant_questions() -> None:
    # Even if every discordant question falls the same way, about eight of them are needed.
    assert minimum_detectable_difference(100, 0.0) == pytest.approx(0.0785, abs=1e-4)
    assert minimum_detectable_difference(3, 0.0) == 1.0


@given(st.integers(1, 5000), st.floats(0, 1))
def test_minimum_detectable_difference_is_a_fraction(n: int, discordance: float) -> None:
    assert 0 < minimum_detectable_difference(n, discordance) <= 1
    assert minimum_detectable_difference(n + 1, discordance) <= minimum_detectable_difference(n, discordance)


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0000, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_as_published(k: int, n: int, low: float, high: float) -> None:
    # Newcombe, Statistics in Medicine 17 (1998) 857-872, table I, method 3.
    assert [round(bound, 4) for bound in wilson(k, n)] == [low, high]


def test_wilson_edges() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(5, 5)[1] == 1.0
    with pytest.raises(ValueError, match="share"):
        wilson(3, 2)
    with pytest.raises(ValueError, match="confidence"):
        wilson(1, 2, confidence=95)
