"""The order of the work: whole comparisons early, and models loaded seldom enough."""

from __future__ import annotations

import random

import pytest

from medbench_local.study.plan import CellKey
from medbench_local.study.schedule import Loading, Step, schedule

CELLS: tuple[CellKey, ...] = (("a", 0, None), ("b", 0, None), ("c", 0, None), ("a", 3, None))
WORK = dict.fromkeys(CELLS, 100.0)


def _said(steps: tuple[Step, ...]) -> list[str]:
    """Each step in short: "medical a0", "judge a0"."""
    return [
        f"{step.role if step.action == 'answer' else step.action} "
        + "".join(f"{task}{shots}" for task, shots, _ in step.cells)
        for step in steps
    ]


def test_where_both_stay_loaded_comparisons_are_finished_and_checked_one_by_one() -> None:
    expected = [
        f"{what} {cell}"
        for cell in ("a0", "b0", "c0", "a3")
        for what in ("medical", "base", "judge", "check")
    ]
    assert _said(schedule(CELLS, dict.fromkeys(CELLS, 0.0), Loading())) == expected


def test_where_they_take_turns_the_one_that_is_loaded_goes_on() -> None:
    steps = _said(schedule(CELLS, WORK, Loading(turn=1.0), checked=False))
    assert steps == [
        *("medical a0", "base a0", "judge a0"),
        *("base b0", "medical b0", "judge b0"),
        *("medical c0", "base c0", "judge c0"),
        *("base a3", "medical a3", "judge a3"),
    ]


def test_work_too_short_for_a_turn_goes_together_and_a_rest_with_what_is_before_it() -> None:
    steps = _said(schedule(CELLS, WORK | {CELLS[1]: 20.0, CELLS[3]: 50.0}, Loading(turn=1.2), checked=False))
    assert steps == ["medical a0b0", "base a0b0", "judge a0b0", "base c0a3", "medical c0a3", "judge c0a3"]


def test_a_check_waits_until_its_loading_is_worth_it() -> None:
    steps = _said(schedule(CELLS, WORK, Loading(turn=0.5, check=2.0)))
    assert [step for step in steps if step.startswith(("judge", "check"))] == [
        *("judge a0", "judge b0", "check a0b0"),
        *("judge c0", "judge a3", "check c0a3"),
    ]


def test_the_medical_model_goes_first_where_its_prompts_are_shared() -> None:
    steps = _said(schedule(CELLS[:2], WORK, Loading(turn=0.5), shared=True, checked=False))
    assert steps == [
        f"{what} {cell}" for cell in ("a0", "b0") for what in ("medical", "base", "share", "judge")
    ]


def test_comparisons_that_differ_in_who_thinks_stay_together() -> None:
    cells: tuple[CellKey, ...] = (("a", 0, "both"), ("a", 0, "none"), ("b", 0, "both"), ("b", 0, "none"))
    found = schedule(cells, dict.fromkeys(cells, 1.0), Loading(), checked=False)
    assert [step.cells for step in found if step.action == "judge"] == [cells[:2], cells[2:]]


def test_what_was_finished_before_an_interruption_goes_with_the_next_that_was_not() -> None:
    steps = _said(schedule(CELLS, WORK | dict.fromkeys(CELLS[:2], 0.0), Loading(turn=1.0), checked=False))
    assert steps[0] == "medical a0b0c0"


@pytest.mark.parametrize("seed", range(20))
def test_every_cell_is_done_once_and_loading_takes_two_hundredths_at_most(seed: int) -> None:
    draw = random.Random(seed)
    cells: list[CellKey] = [(f"task {i}", 0, None) for i in range(draw.randint(1, 30))]
    seconds = {key: draw.expovariate(1 / 500) for key in cells}
    loading = Loading(draw.uniform(0, 20), draw.uniform(0, 200))
    shared, checked = draw.random() < 0.5, draw.random() < 0.5
    steps = schedule(cells, seconds, loading, shared=shared, checked=checked)
    for action in (
        "medical",
        "base",
        *(["share"] if shared else []),
        "judge",
        *(["check"] if checked else []),
    ):
        done = [
            key
            for step in steps
            if action in (step.role, step.action)[step.action != "answer" :]
            for key in step.cells
        ]
        assert done == cells, action
    spent, loaded, checks = 0.0, None, 0
    for step in steps:
        if step.action in ("answer", "share") and step.role != loaded:
            spent, loaded = spent + loading.turn, step.role
        elif step.action == "check":
            spent, checks = spent + loading.check, checks + 1
    once = 2 * loading.turn + (checks > 0) * loading.check  # what one model after the other loads, too
    assert spent - once <= 0.02 * sum(seconds.values()) + 1e-9
