"""The sample of a task's test questions: always the same, in their order."""

from __future__ import annotations

from medbench_local.tasks.sample import sampled, sampled_rows
from tests.study.material import a_task

FIRST = [0, 2, 10, 11, 14]


def test_a_sample_is_fixed_and_in_order() -> None:
    """Drawn again, a later release would ask other questions under the same name."""
    rows = sampled_rows(1273, 300)
    assert len(set(rows)) == 300
    assert list(rows) == sorted(rows)
    assert list(rows[:5]) == FIRST
    assert rows == sampled_rows(1273, 300)


def test_a_task_with_fewer_questions_is_asked_as_a_whole() -> None:
    task = a_task(test=12)
    assert sampled(task, 12) is task
    assert sampled(task, None) is task
    assert list(sampled_rows(12, None)) == list(range(12))
    some = sampled(task, 5)
    chosen = [task.questions("test")[row] for row in sampled_rows(12, 5)]
    assert list(some.questions("test")) == chosen
    assert some.questions("validation") == task.questions("validation")
