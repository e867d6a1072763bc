"""The grid model, against conditioning the full joint normal distribution, and against frequencies."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.score_tables import Scenario, score_table
from medbench_local.prompts.prompt import Candidate
from medbench_local.selection.grid import Estimate, Grid, _groups


def test_a_full_table_is_known() -> None:
    table = score_table(Scenario(), np.random.default_rng(0), formats=3, demonstrations=4, questions=20)
    everything = np.ones(table.correct.shape, dtype=np.bool_)
    estimate = Grid(table.candidates).estimate(table.correct, everything)
    assert estimate.mean == pytest.approx(table.correct.mean(axis=1))
    assert np.abs(estimate.covariance).max() < 1e-12
    assert estimate.best() == table.winner
    assert estimate.chances()[table.winner] == 1


def test_prediction_is_the_conditional_expectation() -> None:
    """Every cell of the table as one normal vector of 240, conditioned on the scored cells by brute force."""
    rng = np.random.default_rng(3)
    table = score_table(Scenario(), rng, formats=3, demonstrations=4, questions=20)
    scored = rng.random(table.correct.shape) < 0.4
    scored[0] = True
    scored[:, 5] = False
    grid = Grid(table.candidates)
    estimate = grid.estimate(table.correct, scored)

    groups = _groups(table.correct, scored)
    residual = grid._residual_covariance(groups)
    k, n = scored.shape
    pairs = [(c, q) for c in range(k) for q in range(n)]
    levels = _level_covariance(grid, table.correct, scored)
    cells = np.array(
        [[levels[c, d] + (residual[c, d] if q == r else 0.0) for d, r in pairs] for c, q in pairs]
    )
    seen = scored.ravel()
    y = table.correct.ravel()[seen].astype(float)
    gain = cells[:, seen] @ np.linalg.inv(cells[np.ix_(seen, seen)])
    mean = 0.5 + gain @ (y - 0.5)
    covariance = cells - gain @ cells[seen]
    average = np.kron(np.eye(k), np.full((1, n), 1 / n))
    assert estimate.mean == pytest.approx(average @ mean, abs=1e-8)
    assert estimate.covariance == pytest.approx(average @ covariance @ average.T, abs=1e-9)


def _level_covariance(grid: Grid, correct: np.ndarray, scored: np.ndarray) -> np.ndarray:
    """The prior covariance of candidates' levels that the model settled on, recovered from its posterior."""
    groups = _groups(correct, scored)
    residual = grid._residual_covariance(groups)
    precision = np.zeros(residual.shape)
    weighted = np.zeros(len(residual))
    for group in groups:
        at = np.ix_(group.members, group.members)
        inverse = np.linalg.inv(residual[at])
        precision[at] += group.size * inverse
        weighted[group.members] += group.size * inverse @ group.means
    _, posterior = grid._effects(precision, weighted)
    return np.asarray(np.linalg.inv(np.linalg.inv(posterior) - precision))


def test_rows_and_columns_lend_strength() -> None:
    """A candidate never scored is expected to do as well as its format does."""
    candidates = tuple(Candidate(f, d) for f in range(6) for d in range(6))
    rng = np.random.default_rng(5)
    rate = np.repeat([0.9, 0.4, 0.4, 0.4, 0.4, 0.4], 6)
    correct = rng.random((36, 100)) < rate[:, None]
    scored = np.ones((36, 100), dtype=np.bool_)
    scored[[3, 21]] = False
    mean = Grid(candidates).estimate(correct, scored).mean
    assert mean[3] > 0.8
    assert mean[21] < 0.5


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (7, 1)])
def test_degenerate_grids(shape: tuple[int, int]) -> None:
    table = score_table(
        Scenario(), np.random.default_rng(1), formats=shape[0], demonstrations=shape[1], questions=9
    )
    scored = np.zeros(table.correct.shape, dtype=np.bool_)
    scored[0, 0] = True
    estimate = Grid(table.candidates).estimate(table.correct, scored)
    assert np.isfinite(estimate.mean).all()
    assert estimate.chances().sum() == pytest.approx(1)


def test_stated_chances_do_not_depend_on_how_a_library_finds_eigenvectors() -> None:
    """Where eigenvalues are equal, the last digits of a matrix decide about them."""
    even = Estimate(np.linspace(0.50, 0.51, 12), 0.02**2 * np.eye(12) + 0.01**2, 500)
    off = 1e-14 * np.random.default_rng(4).standard_normal((12, 12))
    other = Estimate(even.mean, even.covariance * (1 + off + off.T), 500)
    assert other.chances() == pytest.approx(even.chances(), abs=0.002)


def test_stated_chances_are_frequencies() -> None:
    """Over many half-scored tables, the winner is the best about as often as is said."""
    rng = np.random.default_rng(9)
    said, right = [], []
    for _ in range(80):
        table = score_table(Scenario(), rng, formats=5, demonstrations=4, questions=120)
        scored = np.zeros(table.correct.shape, dtype=np.bool_)
        scored[:, :60] = True
        estimate = Grid(table.candidates).estimate(table.correct, scored)
        said.append(estimate.chances()[estimate.best()])
        right.append(estimate.best() == table.winner)
    error = np.sqrt(np.mean(np.array(said) * (1 - np.array(said))) / len(said))
    assert abs(np.mean(said) - np.mean(right)) < 3 * error
