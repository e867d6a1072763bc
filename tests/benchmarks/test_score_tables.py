"""The synthetic tables have the accuracies that they claim."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.score_tables import SCENARIOS, Scenario, score_table


@pytest.mark.parametrize("name", [name for name in SCENARIOS if name != "tied"])
def test_truth_is_the_accuracy_on_fresh_questions(name: str) -> None:
    table = score_table(
        SCENARIOS[name], np.random.default_rng(0), formats=3, demonstrations=2, questions=40_000
    )
    assert table.correct.mean(axis=1) == pytest.approx(table.truth, abs=0.02)


def test_mean_accuracy() -> None:
    truth = [
        score_table(Scenario(accuracy=0.3), np.random.default_rng(s), questions=1).truth for s in range(200)
    ]
    assert np.mean(truth) == pytest.approx(0.3, abs=0.01)


def test_tied_tables_have_equal_rows() -> None:
    table = score_table(SCENARIOS["tied"], np.random.default_rng(0))
    assert (table.correct == table.correct[0]).all()
    assert table.winner == 0
    assert np.ptp(table.truth) == 0


def test_regrets() -> None:
    table = score_table(Scenario(), np.random.default_rng(0))
    assert table.validation_regret(table.winner) == table.true_regret(table.winner) == 0
    worst = int(table.truth.argmin())
    assert table.true_regret(worst) == pytest.approx(table.truth[table.winner] - table.truth.min())


def test_evaluation_order() -> None:
    table = score_table(Scenario(), np.random.default_rng(0), questions=1)
    assert [(c.format, c.demonstrations) for c in table.candidates[:12]] == [
        *((None, seed) for seed in range(10)),
        (0, 0),
        (0, 1),
    ]
