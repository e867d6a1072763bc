"""The search under a limit: what it is told of costs, when it ends, and whether what it states of itself is so."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import norm

from benchmarks.score_tables import SCENARIOS, Scenario, Table, score_table
from medbench_local.selection import Selection, racing
from medbench_local.selection.costs import Costs, equal_costs
from medbench_local.selection.grid import Estimate, Levels
from medbench_local.selection.limited import first_size, step_size
from medbench_local.selection.next_step import expected_gain, next_step

LENGTHS = np.random.default_rng(0).lognormal(0, 0.4, 200)


def a_table(seed: int, scenario: Scenario = SCENARIOS["typical"]) -> Table:
    rng = np.random.default_rng(seed)
    return score_table(scenario, rng, formats=7, demonstrations=6, questions=200, lengths=LENGTHS)


def searched(
    table: Table,
    prefix: float,
    lengths: NDArray[np.float64] = LENGTHS,
    min_gain: float | None = None,
    most: int = 1200,
) -> Selection:
    costs = Costs(np.full(len(table.candidates), prefix * lengths.mean()), lengths)
    return racing(
        table.evaluate,
        table.candidates,
        len(lengths),
        max_prompts=most,
        min_gain=min_gain,
        costs=costs,
    )


def visits(found: Selection) -> int:
    return sum(rung.candidates for rung in found.rungs)


def test_candidates_whose_prefix_is_dear_are_visited_less_often() -> None:
    table = a_table(1)
    cheap, dear = searched(table, 0.1), searched(table, 5.0)
    assert cheap.rungs[0].candidates == 42
    assert dear.rungs[0].candidates == 21
    assert visits(dear) < visits(cheap)
    first = [score.questions > 0 for score in dear.scores]
    assert first[0], "the first candidate, which gains are compared with, is always asked"
    assert dear.scores[dear.winner].questions > 0
    assert dear.prompts_scored <= 1200


def test_no_row_or_column_is_left_out() -> None:
    found = searched(a_table(2), 5.0)
    asked = np.array([score.questions > 0 for score in found.scores]).reshape(7, 6)
    assert (asked.sum(axis=0) >= 3).all()
    assert (asked.sum(axis=1) >= 3).all()


def test_small_grids_are_visited_as_a_whole() -> None:
    table = score_table(Scenario(), np.random.default_rng(3), formats=11, demonstrations=1, questions=200)
    assert searched(table, 5.0).rungs[0].candidates == 11


def test_cheap_questions_are_asked_rather_sooner_and_dear_ones_too() -> None:
    """The first rung asks a third of all questions: where it asks most of them, the dear ones are what is left."""
    found = [searched(a_table(seed), 5.0, most=780) for seed in range(12)]
    times = sum((one.scored.sum(axis=0) for one in found), np.zeros(200))
    asked = float((times * LENGTHS).sum() / times.sum())
    assert asked < 0.96 * LENGTHS.mean()
    assert times[np.argsort(LENGTHS)[100:]].sum() > 0.15 * times.sum(), "not the shorter half alone"


def test_the_order_goes_by_ratios_of_costs_alone() -> None:
    ones = np.zeros(3)
    assert (Costs(ones, LENGTHS).order(5) == Costs(ones, 7 * LENGTHS).order(5)).all()
    order = equal_costs(3, 200).order(5)
    assert sorted(order.tolist()) == list(range(200))
    assert (order != equal_costs(3, 200).order(6)).any()


def test_it_ends_where_asking_is_not_worth_what_it_costs() -> None:
    table = a_table(1)
    most, some, least = (searched(table, 1.0, min_gain=gain).prompts_scored for gain in (1.0, 30.0, 1e9))
    assert least < some < most <= 1200
    assert least == 42 * first_size(42, 1200), "nothing is asked after the first questions"


def test_what_is_cheap_is_asked_more() -> None:
    """The same answers, where every question costs four times as much."""
    tables = [a_table(seed) for seed in range(3)]
    cheap = sum(searched(table, 1.0, LENGTHS / 4, min_gain=300.0).prompts_scored for table in tables)
    dear = sum(searched(table, 1.0, LENGTHS, min_gain=300.0).prompts_scored for table in tables)
    assert dear < cheap


def test_the_expected_gain_of_two_candidates_is_in_closed_form() -> None:
    """Of independent beliefs, of which one is asked: Frazier et al., equation 3 of section 2 for one alternative."""
    mean, sd, noise, questions = np.array([0.52, 0.50]), 0.03, 0.2, 50.0
    levels = Levels(mean, np.diag([0.01**2, sd**2]), 500, np.full((2, 2), 0.05) + 0.15 * np.eye(2))
    moves = sd**2 / np.sqrt(sd**2 + noise / questions)
    z = -0.02 / moves
    exact = moves * (z * norm.cdf(z) + norm.pdf(z))
    normal = np.random.default_rng(1).standard_normal((400_000, 1))
    assert expected_gain(levels, [1], questions, normal) == pytest.approx(exact, rel=0.02)


def test_paired_answers_tell_more_than_single_ones() -> None:
    """Where both answer the same questions, what makes a question hard for both cancels."""
    normal = np.random.default_rng(2).standard_normal((200_000, 2))
    beliefs = (np.array([0.5, 0.5]), np.diag([0.03**2] * 2), 500)
    alone = Levels(*beliefs, 0.2 * np.eye(2))
    paired = Levels(*beliefs, 0.15 + 0.05 * np.eye(2))
    spread = 0.03 * np.sqrt(2)

    def exact(noise: float) -> float:
        """Half the mean distance between the two, as far as it will be known."""
        known = spread**2 / np.sqrt(spread**2 + 2 * noise / 40)
        return float(known * norm.pdf(0))

    assert expected_gain(alone, [0, 1], 40, normal) == pytest.approx(exact(0.2), rel=0.02)
    assert expected_gain(paired, [0, 1], 40, normal) == pytest.approx(exact(0.05), rel=0.02)


def test_a_step_asks_those_who_may_win() -> None:
    """Two are close and unsure, the others are far behind and known well."""
    mean = np.array([0.60, 0.59] + [0.40] * 10)
    levels = Levels(mean, np.diag([0.03**2] * 2 + [0.01**2] * 10), 500, 0.1 + 0.1 * np.eye(12))
    step = next_step(levels, list(range(12)), 100, 1000, equal_costs(12, 500))
    assert step.candidates == (0, 1)
    assert step.worth > 0
    sure = Levels(mean, np.diag([1e-6**2] * 12), 500, 0.1 + 0.1 * np.eye(12))
    assert next_step(sure, list(range(12)), 100, 1000, equal_costs(12, 500)).worth < 1e-9


def test_rounding_does_not_decide_what_is_asked() -> None:
    """Of candidates that are equal up to the last digits, which a library's way to sum decides."""
    even = Levels(np.full(8, 0.5), 0.02**2 * np.eye(8), 500, 0.1 + 0.1 * np.eye(8))
    rng = np.random.default_rng(3)
    first = next_step(even, range(8), 100, 1000, equal_costs(8, 500))
    for _ in range(5):
        off = Levels(even.mean + 1e-15 * rng.standard_normal(8), even.covariance, 500, even.noise)
        again = next_step(off, range(8), 100, 1000, equal_costs(8, 500))
        assert again.candidates == first.candidates
        assert again.worth == pytest.approx(first.worth)


def test_chances_are_those_of_normal_accuracies() -> None:
    estimate = Estimate(np.array([0.50, 0.52]), np.diag([0.03**2, 0.01**2]), 10**6)
    assert estimate.chances(200_000)[0] == pytest.approx(norm.cdf(-0.02 / np.hypot(0.03, 0.01)), rel=0.01)


def test_what_is_stated_of_another_winner_is_how_often_there_is_one() -> None:
    rng = np.random.default_rng(11)
    said, other = [], []
    lengths = LENGTHS[:100]
    for seed in range(16):
        table = score_table(
            Scenario(length=-0.15), rng, formats=4, demonstrations=3, questions=100, lengths=lengths
        )
        found = racing(
            table.evaluate,
            table.candidates,
            100,
            max_fraction=0.25,
            costs=Costs(np.full(12, 3.0), lengths),
            seed=seed,
        )
        said.append(found.error_estimate or 0.0)
        other.append(found.winner != table.winner)
    error = np.sqrt(np.mean(np.array(said) * (1 - np.array(said))) / len(said))
    assert 0.1 < np.mean(said) < 0.9, "the test is not vacuous"
    assert abs(np.mean(said) - np.mean(other)) < 3 * error


def test_steps_are_a_small_part_of_the_limit() -> None:
    for candidates, limit in ((2, 20), (11, 363), (110, 1200), (110, 5500)):
        assert 1 <= step_size(candidates, limit) <= max(1, limit / 8)
        assert first_size(candidates, limit) * candidates <= max(candidates, 0.2 * limit)


@pytest.mark.parametrize(
    ("prefix", "question", "said"),
    [
        ([1.0], [1.0] * 3, "not 2 and 3"),
        ([1.0] * 2, [1.0, 0.0, 1.0], "positive"),
        ([-1.0] * 2, [1.0] * 3, "least 0"),
    ],
)
def test_impossible_costs(prefix: list[float], question: list[float], said: str) -> None:
    table = score_table(Scenario(), np.random.default_rng(0), formats=2, demonstrations=1, questions=3)
    with pytest.raises(ValueError, match=said):
        racing(table.evaluate, table.candidates, 3, costs=Costs(np.array(prefix), np.array(question)))
