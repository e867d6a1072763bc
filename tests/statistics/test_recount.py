"""What follows from counts, computed without scipy, is what the functions give that computed it with scipy."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy.stats import binomtest

from medbench_local.statistics.bootstrap import bootstrap_bounds
from medbench_local.statistics.recount import (
    detectable_difference,
    interval_ranges,
    mcnemar_p,
    wilson_interval,
)
from medbench_local.statistics.significance import mcnemar_exact, minimum_detectable_difference

_GENERATOR = np.random.default_rng(12)


def _counts(n: int) -> tuple[int, int]:
    discordant = int(_GENERATOR.integers(0, n + 1))
    medical_only = int(_GENERATOR.integers(0, discordant + 1))
    return medical_only, discordant - medical_only


SMALL = [(n, plus, minus) for n in range(1, 9) for plus in range(n + 1) for minus in range(n + 1 - plus)]
LARGE = [(n, *_counts(n)) for n in (17, 100, 101, 1273, 6150, 50_000) for _ in range(8)]
EDGES = [(n, *pair) for n in (1, 50_000) for pair in ((0, 0), (n, 0), (0, n), (1, 0), (0, 1))]
ALL = [*SMALL, *LARGE, *EDGES]


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.999])
def test_the_bounds_are_those_of_the_bootstrap(confidence: float) -> None:
    tail = (1 - confidence) / 2
    for counts in ALL:
        (low_from, low_to), (high_from, high_to) = interval_ranges(*counts, (tail - 1e-9, tail + 1e-9))
        low, high = bootstrap_bounds(*counts, confidence)
        assert low_from <= low <= low_to, counts
        assert high_from <= high <= high_to, counts
        if counts in LARGE:  # in small ones a probability often is the tail but for rounding
            assert (low_from, high_from) == (low_to, high_to), counts


def test_wider_tails_give_wider_ranges() -> None:
    widest, narrowest = (bootstrap_bounds(1273, 200, 205, confidence) for confidence in (0.99, 0.91))
    found = interval_ranges(1273, 200, 205, (0.005, 0.045))
    assert found == ((widest[0], narrowest[0]), (narrowest[1], widest[1]))


def test_ten_million_questions() -> None:
    (low, _), (high, _) = interval_ranges(10**7, 1_000_000, 990_000, (0.025, 0.025))
    half = 1.959964 * np.sqrt(1_990_000)
    assert low == pytest.approx(10_000 - half, abs=2)
    assert high == pytest.approx(10_000 + half, abs=2)


def test_p_values() -> None:
    for _, plus, minus in ALL:
        assert mcnemar_p(plus, minus) == pytest.approx(mcnemar_exact(plus, minus), rel=1e-7, abs=1e-300)


def test_detectable_differences() -> None:
    for n, plus, minus in (*SMALL, *LARGE):
        for confidence in (0.9, 0.95):
            expected = minimum_detectable_difference(n, (plus + minus) / n, alpha=1 - confidence)
            assert detectable_difference(n, plus + minus, confidence) == pytest.approx(expected, rel=1e-12)


def test_wilson_intervals() -> None:
    for k, n in [(0, 1), (1, 1), (0, 20), (13, 400), (6150, 6150), (3, 50_000)]:
        expected = binomtest(k, n).proportion_ci(confidence_level=0.9, method="wilson")
        assert wilson_interval(k, n, 0.9) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_it_needs_no_scipy() -> None:
    code = """
import sys
from medbench_local.statistics.recount import interval_ranges, mcnemar_p
interval_ranges(100, 15, 5, (0.025, 0.025)), mcnemar_p(15, 5)
sys.exit("scipy" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
