"""The estimated gain, against the truth of simulated tables: neither the luck of the best of many nor its merit."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import norm

from benchmarks.score_tables import SCENARIOS, Scenario, Table, score_table
from medbench_local.prompts.prompt import Candidate
from medbench_local.selection import Selection, exhaustive, racing
from medbench_local.selection.result import Evaluate, Outcomes
from medbench_local.selection.shrink import _PARTS, _posterior, estimated_gain
from tests.selection.grids import candidates_of

EQUAL = Scenario(formats=0, demonstrations=0, interaction=0)


def asked(correct: NDArray[np.bool_]) -> Evaluate:
    return lambda candidate, questions: Outcomes.without_margins(correct[candidate, questions])


def one_better(points: float, rng: np.random.Generator, *, questions: int) -> Table:
    """110 candidates of 45 %; of the 56th, wrong answers become right as often as makes it ``points`` better."""
    table = score_table(EQUAL, rng, questions=questions)
    correct, truth = table.correct.copy(), table.truth.copy()
    correct[55] |= rng.random(questions) < points / 55
    truth[55] += points / 100
    far = np.abs(table.margins)
    return Table(table.candidates, correct, truth, np.where(correct, far, -far))


def searched(table: Table, method: str) -> Selection:
    if method == "exhaustive":
        return exhaustive(table.evaluate, table.candidates, table.correct.shape[1])
    return racing(
        table.evaluate, table.candidates, table.correct.shape[1], max_fraction=0.33, max_prompts=5400
    )


@pytest.mark.parametrize(("method", "most"), [("exhaustive", 4.0), ("racing", 8.0)])
def test_equal_candidates_gain_nothing(method: str, most: float) -> None:
    rng = np.random.default_rng(1)
    found = [searched(score_table(EQUAL, rng, questions=14), method) for _ in range(5)]
    assert np.mean([one.spread for one in found]) > 0.2, "what the questions that it was chosen by say"
    assert np.mean([abs(estimated_gain(one)) for one in found]) * 100 < most


def test_one_that_is_better_gains_what_it_is_better_by() -> None:
    rng = np.random.default_rng(2)
    gains = []
    for _ in range(5):
        found = searched(one_better(10, rng, questions=500), "exhaustive")
        assert found.winner == 55
        gains.append(estimated_gain(found) * 100)
    assert np.mean(gains) == pytest.approx(10, abs=1.5)
    assert min(gains) > 6


@pytest.mark.parametrize("method", ["exhaustive", "racing"])
@pytest.mark.parametrize("scenario", ["typical", "hard"])
def test_the_estimate_is_nearer_to_the_truth_than_the_lead(method: str, scenario: str) -> None:
    rng = np.random.default_rng(3)
    errors, leads = [], []
    for _ in range(8):
        table = score_table(SCENARIOS[scenario], rng, formats=7, demonstrations=6, questions=40)
        found = searched(table, method)
        truth = table.truth[found.winner] - table.truth[0]
        errors.append(estimated_gain(found) - truth)
        leads.append(found.spread - truth)
    assert abs(np.mean(errors)) < 0.4 * np.mean(leads)
    assert np.mean(np.abs(errors)) < 0.6 * np.mean(np.abs(leads))


def test_the_default_gains_nothing_over_itself() -> None:
    correct = np.zeros((12, 30), dtype=np.bool_)
    correct[0] = True
    assert estimated_gain(exhaustive(asked(correct), candidates_of(12), 30)) == 0.0


@pytest.mark.parametrize("shape", [(1, 2), (2, 1), (1, 5), (7, 1), (3, 2)])
@pytest.mark.parametrize("questions", [1, 2, 9])
def test_small_searches_have_an_estimate_too(shape: tuple[int, int], questions: int) -> None:
    rng = np.random.default_rng(4)
    for _ in range(4):
        table = score_table(Scenario(), rng, formats=shape[0], demonstrations=shape[1], questions=questions)
        for method in ("exhaustive", "racing"):
            gain = estimated_gain(searched(table, method))
            assert -0.1 < gain < 0.2


def test_all_answers_alike_is_no_trouble() -> None:
    for value in (False, True):
        correct = np.full((6, 5), value)
        correct[3] = True
        candidates = tuple(Candidate(format, seed) for format in (None, 1, 2) for seed in (0, 1))
        assert np.isfinite(estimated_gain(exhaustive(asked(correct), candidates, 5)))


def test_the_posterior_mean_is_the_integral() -> None:
    """Against numerical integration of the mixture without its part at 0, which is added by hand."""
    weights = np.array([0.5, 0.1, 0.1, 0.1, 0.1, 0.1])
    seen, noise = 0.07, 0.03**2
    grid = np.linspace(-1, 1, 400_001)
    density = sum(w * norm.pdf(grid, 0, sqrt(v)) for w, v in zip(weights[1:], _PARTS[1:], strict=True))
    likelihood = norm.pdf(seen, grid, sqrt(noise))
    step = grid[1] - grid[0]
    mass = float((density * likelihood).sum() * step) + weights[0] * norm.pdf(seen, 0, sqrt(noise))
    mean, parts = _posterior(seen, noise, weights)
    assert mean == pytest.approx(float((grid * density * likelihood).sum() * step) / mass, rel=1e-6)
    assert parts[0] == pytest.approx(weights[0] * norm.pdf(seen, 0, sqrt(noise)) / mass, rel=1e-6)
