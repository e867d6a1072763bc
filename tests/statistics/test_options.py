"""Margins, near-ties and divergences against scipy's entropy and values worked out by hand."""

from __future__ import annotations

from math import inf, nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from scipy.stats import entropy

from medbench_local.statistics.options import kl_divergences, margins, near_ties

rows = st.lists(st.floats(-30, 0), min_size=2, max_size=6)


@given(
    st.integers(2, 6).flatmap(lambda k: st.tuples(*[st.lists(st.floats(-30, 0), min_size=k, max_size=k)] * 2))
)
def test_divergence_is_scipys(pair: tuple[list[float], list[float]]) -> None:
    full, quantised = pair
    got = kl_divergences([full], [quantised])[0]
    assert got == pytest.approx(entropy(softmax(full), softmax(quantised)), abs=1e-9)
    assert got >= 0


@given(rows, st.floats(-5, 5))
def test_only_the_options_count(row: list[float], shift: float) -> None:
    shifted = [value + shift for value in row]
    assert kl_divergences([row], [shifted])[0] == pytest.approx(0, abs=1e-9)
    assert margins([row])[0] == pytest.approx(margins([shifted])[0], abs=1e-9)


@given(rows, st.randoms(use_true_random=False))
def test_the_order_of_the_options_does_not_matter(row: list[float], random: object) -> None:
    other = list(row)
    random.shuffle(other)  # type: ignore[attr-defined]
    assert margins([row])[0] == margins([other])[0]


def test_impossible_options() -> None:
    assert kl_divergences([[0.0, -inf]], [[-1.0, -1.0]])[0] == pytest.approx(np.log(2))
    assert kl_divergences([[-1.0, -1.0]], [[0.0, -inf]])[0] == inf
    assert margins([[0.0, -inf, -inf]])[0] == inf


def test_near_ties() -> None:
    logprobs = [[-1.0, -1.0], [-1.0, -1.25, -9.0], [-1.0, -3.0]]
    assert near_ties(logprobs, 0.0).tolist() == [True, False, False]
    assert near_ties(logprobs, 0.25).tolist() == [True, True, False]


@pytest.mark.parametrize("row", [[-1.0], [nan, 0.0], [inf, 0.0], [-inf, -inf]])
def test_what_are_no_log_probabilities(row: list[float]) -> None:
    with pytest.raises(ValueError, match="question 1 has"):
        margins([[-1.0, -2.0], row])


def test_what_does_not_belong_together() -> None:
    with pytest.raises(ValueError, match="of 1 and of 2"):
        kl_divergences([[-1.0, -1.0]], [[-1.0, -1.0]] * 2)
    with pytest.raises(ValueError, match="2 options at one precision and 3"):
        kl_divergences([[-1.0, -1.0]], [[-1.0, -1.0, -1.0]])
