"""Questions that stand in for a task's own where these are not here: as many and as long, to count what they cost."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from medbench_local.catalog.task import TaskEntry
from medbench_local.tasks.question import SPLITS, Question, Split, SplitName, Task

FILLER = (
    "A 47-year-old woman is seen in the clinic because of three weeks of increasing shortness of breath on exertion "
    "and swelling of both ankles. She takes lisinopril for hypertension and has smoked for twenty years. Her blood "
    "pressure is 152/94 mm Hg, her pulse is 96/min and regular, and fine crackles are heard over the lower lung "
    "fields. Laboratory studies show a haemoglobin of 11.2 g/dL and a serum creatinine of 1.4 mg/dL. An "
    "echocardiogram is obtained to estimate the ejection fraction of the left ventricle. "
)
"""Text that splits into tokens as such questions do."""


def typical_task(entry: TaskEntry, wanted: Sequence[SplitName]) -> Task | None:
    """A task of the catalog with made-up questions, which no model is ever asked.

    Args:
        entry: what the catalog knows of it.
        wanted: its splits.

    Returns:
        The task; None where the catalog does not know how long its questions are.
    """
    if entry.sizes is None or entry.characters is None or entry.options is None:
        return None
    splits = {}
    for number, name in enumerate(SPLITS):
        if name in wanted:
            question = _question(
                entry.characters.question[number], entry.characters.option[number], entry.options
            )
            splits[name] = Split((question,) * entry.sizes[number], entry.sizes[number], ())
    return Task(entry.id, entry.title, splits)


def is_typical(task: Task) -> bool:
    """Whether its questions stand in for others: they are of no file."""
    return not any(split.files for split in task.splits.values())


@cache
def _question(characters: int, option: int, options: int) -> Question:
    return Question("typical", _text(characters), tuple(_text(option) for _ in range(options)), 0)


def _text(characters: int) -> str:
    return (FILLER * (characters // len(FILLER) + 1))[:characters]
