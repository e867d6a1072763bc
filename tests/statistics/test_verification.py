"""The check of verdicts against enumeration of all permutations, all outcomes and all points of the plane."""

from __future__ import annotations

import hashlib
import itertools
from math import log
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medbench_local.statistics import verification
from medbench_local.statistics.betting import log_capital
from medbench_local.statistics.boundary import IMPOSSIBLE, WinBoundary, win_boundary
from medbench_local.statistics.paired import paired_bootstrap, verdict_of_counts
from medbench_local.statistics.verification import (
    CheckOrder,
    Correctness,
    assess,
    check_order,
    closest_count,
    looks,
    rows_until_refuted,
)

populations = st.lists(
    st.sampled_from([-2.0, -1.0, -0.5, 0.0, 0.0, 0.0, 0.3, 1.0, 2.0]), min_size=2, max_size=6
)


@settings(max_examples=60, deadline=None)
@given(populations, st.floats(0, 3))
def test_nobody_gains_by_betting_against_a_total_that_is_true(values: list[float], below: float) -> None:
    """Over all permutations the capital is 1 on average at most, for the true total and for every smaller one."""
    capitals = [
        np.exp(log_capital(order, total=sum(values) - below, population=len(values), largest=2.0))
        for order in itertools.permutations(values)
    ]
    assert (np.mean(capitals, axis=0) <= 1 + 1e-9).all()


def test_a_total_that_is_too_large_is_refuted() -> None:
    capital = log_capital(np.zeros(60), total=30.0, population=200, largest=2.0)
    assert capital[-1] > log(20)
    assert (np.diff(capital) > 0).all()


def test_a_total_out_of_reach_is_refuted_at_once() -> None:
    assert log_capital([0.0], total=7.0, population=4, largest=2.0)[0] == np.inf
    assert np.isfinite(log_capital([0.0], total=6.0, population=4, largest=2.0)[0])


def test_a_total_that_is_seen_is_never_refuted() -> None:
    assert (log_capital(np.ones(100), total=100.0, population=100, largest=2.0) <= 0).all()


def test_bad_draws() -> None:
    assert log_capital([], total=1.0, population=3, largest=2.0).size == 0
    with pytest.raises(ValueError, match="drawn from 1"):
        log_capital([0.0, 0.0], total=1.0, population=1, largest=2.0)
    with pytest.raises(ValueError, match="largest possible"):
        log_capital([3.0], total=1.0, population=1, largest=2.0)


@pytest.mark.parametrize("n", [1, 5, 12, 30, 61])
def test_the_boundary_is_that_of_the_bootstrap(n: int) -> None:
    found = WinBoundary(n, 0.95).least_win(0, n)
    for discordant in range(n + 1):
        wins = [
            2 * medical_only - discordant
            for medical_only in range(discordant + 1)
            if verdict_of_counts(n, medical_only, discordant - medical_only, 0.95) == "win"
        ]
        assert found[discordant] == (min(wins) if wins else IMPOSSIBLE)


def test_the_boundary_does_not_depend_on_where_it_is_asked_first() -> None:
    everything = WinBoundary(300, 0.95).least_win(0, 300)
    assert (WinBoundary(300, 0.95).least_win(150, 300) == everything[150:]).all()


@pytest.mark.parametrize("n", [6, 40, 301])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("slope", [-0.9, -0.2, 0.0, 0.07, 0.5])
def test_the_smallest_value_along_the_boundary_is_found_without_looking_at_all_of_it(
    monkeypatch: pytest.MonkeyPatch, n: int, sign: Literal[1, -1], slope: float
) -> None:
    monkeypatch.setattr("medbench_local.statistics.boundary._SHORT", 2)
    everything = WinBoundary(n, 0.95)
    for first, last in ((0, n), (n // 3, n), (0, n // 2), (n, n), (n, n - 1)):
        found = WinBoundary(n, 0.95).where_smallest(first, last, sign, slope)
        numbers = np.arange(first, last + 1)
        edges = everything.edges(numbers, sign) + slope * numbers
        values = dict(zip(numbers.tolist(), edges.tolist(), strict=True))
        smallest = min(values.values(), default=np.inf)
        assert {d for d, value in values.items() if value <= smallest < np.inf} <= set(found)
        assert set(found) <= set(values)
    assert WinBoundary(3001, 0.95).where_smallest(0, 3001, 1, -0.1).size < 300


def results(medical: list[int] | np.ndarray, base: list[int] | np.ndarray) -> Correctness:
    return Correctness(np.array(medical, dtype=bool), np.array(base, dtype=bool))


def of_types(types: str) -> Correctness:
    """One letter a question: m right for the medical model only, b for the base model only, x for both, o neither."""
    return results([t in "mx" for t in types], [t in "bx" for t in types])


@settings(max_examples=40, deadline=None)
@given(st.text("mbxo", min_size=4, max_size=12), st.integers(0, 4), st.randoms(use_true_random=False))
def test_certain_means_that_every_completion_agrees(types: str, unknown: int, random: object) -> None:
    reported = of_types(types)
    rows = list(range(len(types)))
    random.shuffle(rows)  # type: ignore[attr-defined]
    order = CheckOrder(np.array([], dtype=np.intp), np.array(rows, dtype=np.intp))
    checked = len(rows) - min(unknown, len(rows))
    seen = set()
    for outcome in itertools.product("mbxo", repeat=len(rows) - checked):
        completed = list(types)
        for row, kind in zip(rows[checked:], outcome, strict=True):
            completed[row] = kind
        full = of_types("".join(completed))
        seen.add(paired_bootstrap(full.medical, full.base).verdict)
    found = assess(reported, reported, order, checked, confidence=0.95)
    if checked == len(rows):
        assert found.state == "full"
        assert seen == set(found.possible)
    elif found.state == "certain":
        assert seen == set(found.possible)
    elif found.state == "open":
        assert set(found.possible) == seen
    else:
        assert found.possible == (paired_bootstrap(reported.medical, reported.base).verdict,)


def scattered(n: int, medical_only: int, base_only: int, seed: int) -> np.ndarray:
    types = np.array(list("m" * medical_only + "b" * base_only + "x" * (n - medical_only - base_only)))
    np.random.default_rng(seed).shuffle(types)
    return types


@pytest.mark.parametrize(
    ("n", "counts", "hidden"),
    [
        (
            600,
            (60, 60),
            ("o", "m", 24),
        ),  # a tie at the reported precision, a win by 24 new discordant questions
        (600, (60, 60), ("b", "m", 12)),  # by 12 that change sides
        (600, (75, 45), ("m", "x", 12)),  # a win that is a tie
        (600, (75, 45), ("x", "b", 12)),  # and one by more discordance
        (600, (45, 75), ("b", "x", 12)),  # a loss that is a tie
        (2000, (180, 180), ("x", "m", 46)),
    ],
)
def test_another_verdict_is_called_confident_in_few_permutations(
    n: int, counts: tuple[int, int], hidden: tuple[str, str, int]
) -> None:
    """The changes are the fewest that change the verdict, which is the hardest case; 5 % is allowed."""
    before, after, most = hidden
    types = scattered(n, *counts, seed=n)
    if before == "o":
        types[types == "x"] = "o"
    reported = of_types("".join(types))
    claimed = paired_bootstrap(reported.medical, reported.base).verdict
    for changed in range(1, most + 60):
        completed = types.copy()
        completed[np.flatnonzero(types == before)[:changed]] = after
        full = of_types("".join(completed))
        if paired_bootstrap(full.medical, full.base).verdict != claimed:
            break
    else:
        pytest.fail("the verdict never changed")
    draws, wrong = 300, 0
    for draw in range(draws):
        rest = np.random.default_rng(draw).permutation(n)
        order = CheckOrder(rest[:0], rest)
        # at this look the state is "confident" if it was so at any earlier one
        wrong += assess(reported, full, order, round(0.85 * n), confidence=0.95).state == "confident"
    # at most 5 %: by chance, in 300 draws, more than 8.6 % in one of ten thousand such tests
    assert wrong / draws <= 0.086


def test_whoever_tries_several_precisions_divides_the_allowed_error() -> None:
    """Five tries with a permutation each, on the hardest case: a verdict that just changes."""
    n, tries, draws = 600, 5, 150
    types = scattered(n, 60, 60, seed=n)
    types[types == "x"] = "o"
    reported = of_types("".join(types))
    completed = types.copy()
    for changed in range(1, 60):
        completed[np.flatnonzero(types == "o")[:changed]] = "m"
        full = of_types("".join(completed))
        if paired_bootstrap(full.medical, full.base).verdict == "win":
            break

    def ever(error: float) -> float:
        wrong = 0
        for draw in range(draws):
            rests = [np.random.default_rng([draw, i]).permutation(n) for i in range(tries)]
            wrong += any(
                rows_until_refuted(
                    reported, full, CheckOrder(rest[:0], rest), round(0.85 * n), confidence=0.95, error=error
                )
                is not None
                for rest in rests
            )
        return wrong / draws

    assert (
        ever(0.05 / tries) <= 0.1
    )  # 5 % is allowed; by chance more than 10 % in one of a hundred such tests
    assert ever(0.05) > ever(0.05 / tries)


@pytest.mark.parametrize(("counts", "share"), [((400, 400), 0.25), ((520, 280), 0.15), ((280, 520), 0.15)])
def test_a_clear_verdict_is_found_early(counts: tuple[int, int], share: float) -> None:
    n = 4000
    reported = of_types("".join(scattered(n, *counts, seed=1)))
    rest = np.random.default_rng(2).permutation(n)
    order = CheckOrder(rest[:0], rest)
    states = {t: assess(reported, reported, order, t, confidence=0.95) for t in looks(n, n)}
    first = next(t for t, found in states.items() if found.state != "open")
    assert 0 < first <= share * n
    assert states[first].state == "confident"
    assert states[first].possible == (paired_bootstrap(reported.medical, reported.base).verdict,)


def test_a_verdict_that_full_precision_changes_is_checked_to_the_end() -> None:
    reported = of_types("m" * 60 + "b" * 40 + "x" * 400)
    full = of_types("m" * 40 + "x" * 20 + "b" * 40 + "x" * 400)
    assert paired_bootstrap(reported.medical, reported.base).verdict == "win"
    order = CheckOrder(np.arange(0), np.random.default_rng(0).permutation(500))
    states = [assess(reported, full, order, t, confidence=0.95) for t in looks(500, 500)]
    assert not any(found.settles("win") for found in states[:-1])
    assert states[-1].settles("win")
    assert (states[-1].state, states[-1].possible) == ("full", ("tie",))


def test_every_point_with_another_verdict_lies_beyond_a_refuted_line() -> None:
    """Whatever the reported counts, the lines leave out no point of the plane: checked by going through all."""
    n = 26
    for medical_only, base_only in itertools.product(range(0, 13, 3), repeat=2):
        start = of_types("m" * medical_only + "b" * base_only + "x" * (n - medical_only - base_only))
        boundary = WinBoundary(n, 0.95)
        plane = verification._Plane(start, start, CheckOrder(np.arange(0), np.arange(n)), 0, 0.95)
        for side, name in ((1, "win"), (-1, "loss")):
            wins, others = plane.lines_below_wins(side), [plane.line_above_others(side)]
            for other_medical in range(n + 1):
                for other_base in range(n + 1 - other_medical):
                    d, discordant = other_medical - other_base, other_medical + other_base
                    lines = wins if verdict_of_counts(n, other_medical, other_base, 0.95) == name else others
                    assert any(
                        line.first <= discordant <= line.last
                        and line.direction * d >= boundary.edges(np.array([discordant]), line.sign)[0]
                        for line in lines
                    )


def test_the_closest_questions_come_first_and_the_rest_is_shuffled_alike_everywhere() -> None:
    gaps = np.linspace(0, 5, 3000)[::-1].copy()
    askable = np.ones(3000, dtype=bool)
    askable[[0, 2999]] = False
    order = check_order(gaps, askable, "run 1")
    assert closest_count(3000) == 150
    assert sorted(order.first) == list(range(2849, 2999))
    assert sorted([*order.first, *order.rest]) == list(range(1, 2999))
    assert list(order.rest[:5]) != sorted(order.rest[:5])
    again = check_order(gaps, askable, "run 1")
    assert (again.rest == order.rest).all()
    assert not (check_order(gaps, askable, "run 2").rest == order.rest).all()
    # independent of this code: the hashes of "run 1", a line break and the row
    hashes = [hashlib.sha256(b"run 1\n%d" % row).hexdigest() for row in order.rest]
    assert hashes == sorted(hashes)


def test_texts_have_no_gap() -> None:
    order = check_order(None, np.ones(500, dtype=bool), "run")
    assert order.first.size == 0
    assert sorted(order.rest) == list(range(500))


def test_small_tasks_are_checked_whole() -> None:
    assert closest_count(60) == 60
    order = check_order(np.zeros(60), np.ones(60, dtype=bool), "run")
    assert (order.first.size, order.rest.size) == (60, 0)
    assert looks(60, 0) == (0,)


def test_looks_depend_on_sizes_alone() -> None:
    assert looks(300, 200) == (*range(0, 200, 6), 200)
    assert looks(7, 3) == (0, 1, 2, 3)


def test_what_does_not_belong_together() -> None:
    three, two = of_types("mbx"), of_types("mb")
    order = CheckOrder(np.arange(0), np.arange(3))
    with pytest.raises(ValueError, match="belong together"):
        assess(three, two, order, 0, confidence=0.95)
    with pytest.raises(ValueError, match="cannot be checked"):
        assess(three, three, order, 4, confidence=0.95)


def test_the_boundary_is_computed_once() -> None:
    assert win_boundary(50, 0.95) is win_boundary(50, 0.95)
