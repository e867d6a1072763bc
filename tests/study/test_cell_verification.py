"""The bookkeeping of one comparison's check: what is asked next, and when it ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from medbench_local.catalog.protocol import BootstrapSettings
from medbench_local.results.record import ROLES, Role
from medbench_local.scoring.answers import Answer
from medbench_local.study.cell_verification import LEAST_AHEAD, CellVerification, order_of
from tests.study.material import answer_of, answers_of, questions

N = 1000
ASKED = questions("test", N)
RIGHT = [q.answer for q in ASKED]
WRONG = [(a + 1) % 4 for a in RIGHT]
SETTINGS = BootstrapSettings()


def _check(medical: int = 600, base: int = 450, **options: object) -> CellVerification:
    scored = {
        "medical": answers_of(RIGHT[:medical] + WRONG[medical:]),
        "base": answers_of(WRONG[: N - base] + RIGHT[N - base :]),
    }
    return CellVerification(ASKED, scored, key="a run", settings=SETTINGS, **options)  # type: ignore[arg-type]


def _run(check: CellVerification, full: Mapping[Role, Sequence[Answer]]) -> int:
    """Check as the models would; how many rounds it took."""
    rounds = 0
    while check.unfinished:
        lead, follow = ROLES if rounds % 2 == 0 else ROLES[::-1]
        goal = check.next_goal
        for row in check.missing(lead, goal):
            check.full[lead][row] = full[lead][row]
        check.goal = goal
        for look in check.looks_to_follow:
            if not check.unfinished:
                break
            for row in check.missing(follow, look):
                check.full[follow][row] = full[follow][row]
            check.assess(look)
        rounds += 1
    return rounds


def test_a_clear_verdict_ends_the_check_early_and_nothing_is_asked_twice() -> None:
    check = _check()
    full = {role: tuple(check.scored[role]) for role in ROLES}
    assert _run(check, full) <= 3
    assert (check.found.state, check.found.possible, check.settled) == ("confident", ("win",), True)
    assert 100 < len(check.checked) < 300
    assert len(set(check.checked)) == len(check.checked)
    ahead = max(len(check.full[role]) for role in ROLES)
    assert len(check.checked) <= ahead <= 2 * len(check.checked) + LEAST_AHEAD


def test_another_verdict_at_full_precision_is_checked_to_the_end() -> None:
    check = _check()
    full: dict[Role, tuple[Answer, ...]] = {
        "medical": answers_of(RIGHT[:450] + WRONG[450:]),
        "base": tuple(check.scored["base"]),
    }
    _run(check, full)
    assert (check.found.state, check.found.possible) == ("full", ("tie",))
    assert len(check.checked) == N
    assert check.answers("medical") == list(full["medical"])


def test_everything_means_one_round_to_the_end() -> None:
    check = _check(everything=True)
    assert _run(check, {role: tuple(check.scored[role]) for role in ROLES}) == 1
    assert check.found.state == "full"


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_a_limited_check_is_left_open(share: float) -> None:
    check = _check(490, 430, share=share)  # close to the boundary: a tie that is nearly a win
    full: dict[Role, tuple[Answer, ...]] = {role: tuple(check.scored[role]) for role in ROLES}
    _run(check, full)
    assert not check.settled
    assert not check.unfinished
    assert len(check.checked) <= share * N


def test_a_task_whose_first_part_is_large_may_still_be_settled_within_the_limit() -> None:
    asked = questions("test", 300)
    right, wrong = [q.answer for q in asked], [(q.answer + 1) % 4 for q in asked]
    scored = {"medical": answers_of(right[:240] + wrong[240:]), "base": answers_of(wrong)}
    check = CellVerification(asked, scored, key="a run", settings=SETTINGS, share=0.25)  # type: ignore[arg-type]
    _run(check, {role: tuple(check.scored[role]) for role in ROLES})
    assert check.settled
    assert len(check.checked) <= 100 + 50


def test_prompts_that_fit_nowhere_are_certain_and_never_asked() -> None:
    scored: dict[Role, tuple[Answer, ...]] = {
        "medical": (*answers_of(RIGHT[:800]), *(answer_of(None) for _ in range(200))),
        "base": (*answers_of(WRONG[:900]), *(answer_of(None) for _ in range(100))),
    }
    check = CellVerification(ASKED, scored, key="a run", settings=SETTINGS, everything=True)
    assert sorted(check.missing("medical", 0)) == list(range(900))
    _run(check, {role: tuple(scored[role]) for role in ROLES})
    assert check.found.state == "full"
    assert check.answers("base")[950].overlong


def test_the_order_rests_on_the_smaller_gap_of_both_models() -> None:
    base = [answer_of(a, gap=2.0) for a in RIGHT]
    medical = [answer_of(a, gap=3.0) for a in RIGHT]
    close = {*range(40), *range(500, 560)}
    for row in range(40):
        medical[row] = answer_of(RIGHT[row], gap=0.1)
    for row in range(500, 560):
        base[row] = answer_of(RIGHT[row], gap=0.2)
    order = order_of(ASKED, {"medical": medical, "base": base}, "a run")
    assert set(order.first) == close


def test_texts_are_checked_in_random_order_only() -> None:
    texts = [replace(answer, logprobs=(), text="A") for answer in answers_of(RIGHT)]
    order = order_of(ASKED, {"medical": texts, "base": texts}, "a run")
    assert (order.first.size, order.rest.size) == (0, N)
