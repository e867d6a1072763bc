"""A fixed sample of a task's test questions, for models that take long over each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from medbench_local.tasks.question import Task

_SEED = 42


def sampled_rows(questions: int, most: int | None) -> Sequence[int]:
    """The rows of the sample, in their order: always the same of so many questions.

    Args:
        questions: in the split.
        most: at most so many are drawn; None for all.
    """
    if most is None or questions <= most:
        return range(questions)
    return sorted(np.random.default_rng(_SEED).permutation(questions)[:most].tolist())


def sampled(task: Task, most: int | None) -> Task:
    """A task with a fixed sample of its test questions, in their order; the task itself where it has no more."""
    split = task.splits["test"]
    rows = sampled_rows(len(split.questions), most)
    if len(rows) == len(split.questions):
        return task
    chosen = replace(split, questions=tuple(split.questions[row] for row in rows))
    return replace(task, splits={**task.splits, "test": chosen})
