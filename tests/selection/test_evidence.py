"""The paired test, against enumeration of everything that can happen."""

from __future__ import annotations

import math
from itertools import product

import pytest
from scipy.stats import binomtest

from medbench_local.selection.evidence import overtaking_p_value


def samples(leader: int, challenger: int, neither: int, seen: int) -> list[tuple[int, int, float]]:
    """Every (ahead, behind) that a random sample of ``seen`` questions can show, with its probability."""
    total = math.comb(leader + challenger + neither, seen)
    found = []
    for ahead, behind in product(range(leader + 1), range(challenger + 1)):
        rest = seen - ahead - behind
        if 0 <= rest <= neither:
            ways = math.comb(leader, ahead) * math.comb(challenger, behind) * math.comb(neither, rest)
            found.append((ahead, behind, ways / total))
    return found


@pytest.mark.parametrize("needs", [0, 1])
@pytest.mark.parametrize("size", [6, 11])
def test_the_best_candidate_is_rarely_rejected(size: int, needs: int) -> None:
    """For every set in which the challenger does end ahead: P(p <= level) <= level, at every level."""
    for challenger in range(size + 1):
        for leader in range(min(size - challenger, challenger - needs) + 1):
            for seen in range(1, size + 1):
                outcomes = [
                    (overtaking_p_value(ahead, behind, size - seen, needs=needs), chance)
                    for ahead, behind, chance in samples(leader, challenger, size - leader - challenger, seen)
                ]
                for level, _ in outcomes:
                    rejected = sum(chance for p, chance in outcomes if p <= level)
                    assert rejected <= level + 1e-12


@pytest.mark.parametrize("needs", [0, 1])
def test_zero_means_certain(needs: int) -> None:
    for ahead, behind, unseen in product(range(7), range(7), range(7)):
        out = behind + unseen - ahead < needs
        assert (overtaking_p_value(ahead, behind, unseen, needs=needs) == 0) == out


def test_large_sets_give_the_sign_test() -> None:
    p = overtaking_p_value(20, 5, 2_000_000, needs=0)
    assert p == pytest.approx(binomtest(5, 25, alternative="less").pvalue, rel=1e-4)


def test_nothing_seen_says_nothing() -> None:
    assert overtaking_p_value(0, 0, 50, needs=1) == pytest.approx(1)
