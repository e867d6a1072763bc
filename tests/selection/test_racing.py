"""Racing, against the exhaustive search on the same table."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from benchmarks.score_tables import SCENARIOS, Scenario, Table, score_table
from medbench_local.selection import Selection, exhaustive, racing
from medbench_local.selection.guaranteed import SMALL
from medbench_local.selection.result import Outcomes
from tests.selection.grids import candidates_of

Correct = NDArray[np.bool_]


class Once:
    """A score table that refuses to be asked twice for the same pair."""

    def __init__(self, correct: Correct) -> None:
        self.correct = correct
        self.asked = np.zeros(correct.shape, dtype=np.bool_)
        self.log: list[tuple[int, list[int]]] = []

    def __call__(self, candidate: int, questions: NDArray[np.intp]) -> Outcomes:
        assert questions.size
        assert len(set(questions.tolist())) == len(questions)
        assert not self.asked[candidate, questions].any()
        self.asked[candidate, questions] = True
        self.log.append((candidate, questions.tolist()))
        return Outcomes.without_margins(self.correct[candidate, questions])


def check_bookkeeping(found: Selection, table: Once) -> None:
    assert found.prompts_scored == table.asked.sum() == sum(rung.prompts for rung in found.rungs)
    assert found.prompts_exhaustive == table.asked.size
    assert [score.questions for score in found.scores] == table.asked.sum(axis=1).tolist()
    assert [score.correct for score in found.scores] == (table.correct & table.asked).sum(axis=1).tolist()
    for score, row, asked in zip(found.scores, table.correct, table.asked, strict=True):
        if asked.all():
            assert score.expected == pytest.approx(row.mean())
    assert found.spread == pytest.approx(found.scores[found.winner].expected - found.scores[0].expected)


@given(arrays(np.bool_, st.tuples(st.integers(1, 20), st.integers(1, 14))), st.integers(0, 5))
@settings(deadline=None)
def test_small_sets_give_exactly_the_exhaustive_winner(correct: Correct, seed: int) -> None:
    table = Once(correct)
    candidates = candidates_of(len(correct))
    found = racing(table, candidates, correct.shape[1], seed=seed)
    assert found.winner == exhaustive(Once(correct), candidates, correct.shape[1]).winner
    assert found.error_bound == 0
    assert found.error_estimate is None
    check_bookkeeping(found, table)


def run(table: Table, **options: float) -> tuple[Selection, Once]:
    once = Once(table.correct)
    found = racing(once, table.candidates, table.correct.shape[1], **options)  # type: ignore[arg-type]
    check_bookkeeping(found, once)
    return found, once


@pytest.mark.parametrize("questions", [11, SMALL, SMALL + 1, 200])
@pytest.mark.parametrize("name", list(SCENARIOS))
def test_the_guaranteed_race(name: str, questions: int) -> None:
    rng = np.random.default_rng(1)
    spared = 0
    for seed in range(3):
        table = score_table(SCENARIOS[name], rng, formats=6, demonstrations=5, questions=questions)
        found, _ = run(table, seed=seed)
        spared += found.prompts_exhaustive - found.prompts_scored
        assert found.winner == table.winner
        assert found.error_bound in ((0,) if questions <= SMALL else (0, 0.05))
    if name == "easy":
        assert spared > 0.15 * 3 * found.prompts_exhaustive


def test_the_error_rate_holds_where_it_bites() -> None:
    """Near-equal candidates, a generous error rate, many orders: other winners stay rarer than stated."""
    rng = np.random.default_rng(8)
    wrong = 0
    runs = 300
    for seed in range(runs):
        table = score_table(Scenario(formats=0.05), rng, formats=4, demonstrations=1, questions=150)
        found, _ = run(table, seed=seed, error_rate=0.5)
        wrong += found.winner != table.winner
    assert wrong / runs <= 0.5
    assert wrong  # the test is not vacuous: some errors do happen at this rate


def test_the_limit_is_kept_and_nothing_is_guaranteed() -> None:
    rng = np.random.default_rng(2)
    for limits in ({"max_fraction": 0.1}, {"max_prompts": 700}, {"max_fraction": 0.5, "max_prompts": 900}):
        table = score_table(SCENARIOS["typical"], rng, questions=120)
        found, _ = run(table, **limits)
        most = min(limits.get("max_prompts", 10**9), limits.get("max_fraction", 1.0) * 110 * 120)
        assert found.prompts_scored <= most
        assert found.error_bound == 1
        assert found.error_estimate is not None
        assert 0 <= found.error_estimate <= 1


def test_every_candidate_is_tried_even_under_an_impossible_limit() -> None:
    table = score_table(SCENARIOS["typical"], np.random.default_rng(2), questions=120)
    found, _ = run(table, max_prompts=1)
    assert all(score.questions for score in found.scores)


def test_small_sets_are_not_cut_by_the_fraction() -> None:
    table = score_table(SCENARIOS["typical"], np.random.default_rng(2), questions=14)
    assert run(table, max_fraction=0.1)[0] == run(table)[0]
    assert run(table, max_fraction=0.1)[0].winner == table.winner


def test_a_limit_above_everything_is_no_limit() -> None:
    table = score_table(SCENARIOS["typical"], np.random.default_rng(2), questions=80)
    assert run(table, max_fraction=1.0, max_prompts=10**6)[0] == run(table)[0]


@pytest.mark.parametrize("limit", [None, 2000])
def test_the_same_search_asks_the_same_questions(limit: int | None) -> None:
    table = score_table(SCENARIOS["typical"], np.random.default_rng(4), questions=100)
    logs = []
    for _ in range(2):
        once = Once(table.correct)
        racing(once, table.candidates, 100, max_prompts=limit)
        logs.append(once.log)
    assert logs[0] == logs[1]
    other = Once(table.correct)
    racing(other, table.candidates, 100, max_prompts=limit, seed=1)
    assert other.log != logs[0]


def test_all_tied_gives_the_first() -> None:
    for correct in (np.zeros((110, 300), dtype=np.bool_), np.ones((110, 300), dtype=np.bool_)):
        for limit in (None, 3000):
            once = Once(correct)
            found = racing(once, candidates_of(110, 10), 300, max_prompts=limit)
            assert found.winner == 0


def test_the_limited_search_gives_up_little() -> None:
    """A tenth of the prompts on typical and easy tables; the full simulation is benchmarks/selection.py."""
    rng = np.random.default_rng(6)
    regret = []
    for seed in range(12):
        table = score_table(SCENARIOS["easy" if seed % 2 else "typical"], rng)
        found, _ = run(table, max_fraction=0.1, seed=seed)
        regret.append(100 * table.validation_regret(found.winner))
    assert np.mean(regret) < 1.0
    blind = 100 * float((table.correct.mean(axis=1).max() - table.correct.mean(axis=1)).mean())
    assert np.mean(regret) < blind / 4


@pytest.mark.parametrize("rate", [0, 1, -0.1])
def test_impossible_error_rates(rate: float) -> None:
    with pytest.raises(ValueError, match="error_rate"):
        racing(Once(np.ones((2, 2), dtype=np.bool_)), candidates_of(2), 2, error_rate=rate)
