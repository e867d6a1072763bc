"""Margins stand in for right and wrong on the scale of accuracies, and tell candidates apart on fewer questions."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from medbench_local.selection import racing
from medbench_local.selection.grid import Grid, Levels
from medbench_local.selection.margins import margin_values
from medbench_local.selection.result import Outcomes, Questions
from tests.selection.grids import candidates_of

Margins = NDArray[np.float64]


def values_of(margins: Margins, formats: NDArray[np.intp] | None = None) -> Margins:
    everything = np.ones(margins.shape, dtype=np.bool_)
    if formats is None:
        formats = np.zeros(len(margins), dtype=np.intp)
    return margin_values(margins, margins > 0, everything, formats)


def drawn(levels: Margins, questions: int, seed: int) -> Margins:
    """Of answers to the same questions, with two parts of noise: the question's and the candidate's own."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal(questions) + 0.7 * rng.standard_normal((len(levels), questions))
    return np.asarray(levels[:, None] + noise)


def test_differences_are_those_of_accuracies() -> None:
    margins = drawn(np.array([-0.2, 0.0, 0.2]), 200_000, 0)
    values, accuracy = values_of(margins).mean(axis=1), (margins > 0).mean(axis=1)
    assert values.mean() == pytest.approx(accuracy.mean(), abs=1e-9)
    assert np.diff(values) == pytest.approx(np.diff(accuracy), rel=0.05)


def test_they_are_known_from_fewer_questions() -> None:
    """The difference of two candidates varies less than that of their numbers of right answers."""
    by_margin, by_bit = [], []
    for seed in range(300):
        margins = drawn(np.array([0.0, 0.1]), 60, seed)
        by_margin.append(float(np.diff(values_of(margins).mean(axis=1))[0]))
        by_bit.append(float(np.diff((margins > 0).mean(axis=1))[0]))
    assert np.mean(by_margin) == pytest.approx(np.mean(by_bit), abs=0.015)
    assert np.var(by_margin) < 0.75 * np.var(by_bit)


def test_how_sharp_a_format_is_does_not_matter() -> None:
    margins = drawn(np.zeros(4), 500, 1)
    formats = np.array([0, 0, 1, 1])
    sharper = margins * np.array([1, 1, 30, 30])[:, None]
    assert values_of(sharper, formats) == pytest.approx(values_of(margins, formats))


def test_without_margins_right_is_one_and_wrong_is_zero() -> None:
    correct = np.random.default_rng(2).random((3, 40)) < 0.4
    nothing = np.full(correct.shape, np.nan)
    everything = np.ones(correct.shape, dtype=np.bool_)
    assert (margin_values(nothing, correct, everything, np.arange(3)) == correct).all()


def test_a_prompt_that_did_not_fit_counts_as_wrong_among_margins() -> None:
    margins = drawn(np.zeros(2), 100, 3)
    correct = margins > 0
    margins[0, :50], correct[0, :50] = np.nan, False
    everything = np.ones(correct.shape, dtype=np.bool_)
    values = margin_values(margins, correct, everything, np.zeros(2, dtype=np.intp))
    assert (values[0, :50] == 0).all()
    assert values[0].mean() < values[1].mean() - 0.15


def test_what_was_not_asked_does_not_count() -> None:
    margins = drawn(np.zeros(3), 50, 4)
    correct = margins > 0
    scored = np.random.default_rng(5).random(margins.shape) < 0.5
    formats = np.array([0, 0, 1])
    elsewhere = np.where(scored, margins, 1000.0)
    first = margin_values(margins, correct, scored, formats)[scored]
    assert (margin_values(elsewhere, correct, scored, formats)[scored] == first).all()


def test_margins_that_are_all_alike_are_right_or_wrong() -> None:
    margins = np.full((2, 10), 3.0)
    assert np.isfinite(values_of(margins)).all()
    assert values_of(margins) == pytest.approx(1.0)


def test_a_search_by_margins_states_accuracies_of_right_and_wrong() -> None:
    """What was asked of everything is known, whatever margins say."""
    margins = drawn(np.linspace(-0.4, 0.4, 12), 100, 6)

    def evaluate(candidate: int, questions: Questions) -> Outcomes:
        asked = margins[candidate, questions]
        return Outcomes(asked > 0, asked)

    found = racing(evaluate, candidates_of(12), 100, max_prompts=600)
    complete = [one for one in found.scores if one.questions == 100]
    assert complete
    for one in complete:
        assert one.expected == pytest.approx(one.correct / 100)


def test_levels_from_elsewhere_move_what_is_not_known_only() -> None:
    candidates = candidates_of(6)
    rng = np.random.default_rng(7)
    correct = rng.random((6, 40)) < 0.5
    scored = np.zeros(correct.shape, dtype=np.bool_)
    scored[:, :10] = True
    scored[0] = True
    grid = Grid(candidates)
    others = grid.on_others(correct.astype(np.float64), scored)
    same = grid.on_these(others, correct, scored)
    assert same.mean == pytest.approx(grid.estimate(correct, scored).mean)
    assert same.covariance == pytest.approx(grid.estimate(correct, scored).covariance)
    better = Levels(others.mean + 0.1, others.covariance, 40, others.noise)
    moved = grid.on_these(better, correct, scored).mean - same.mean
    assert moved[0] == pytest.approx(0)
    assert (moved[1:] > 0.02).all()
