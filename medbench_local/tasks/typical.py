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
            long, short = entry.characters.question[number], entry.characters.option[number]
            size = entry.sizes[number]
            questions = tuple(
                _question(place % len(_WORDS), long, short, entry.options) for place in range(size)
            )
            splits[name] = Split(questions, size, ())
    return Task(entry.id, entry.title, splits)


def is_typical(task: Task) -> bool:
    """Whether its questions stand in for others: they are of no file."""
    return not any(split.files for split in task.splits.values())


@cache
def _question(first: int, characters: int, option: int, options: int) -> Question:
    """One of the questions, which begin with another word each, as real ones do: what prompts have in common is decoded
    once, and that must not be the question."""
    texts = tuple(_text(first + place, option) for place in range(options))
    return Question("typical", _text(first, characters), texts, 0)


_WORDS = FILLER.split()


def _text(first: int, characters: int) -> str:
    """So many characters of the filler from a word on, which may be counted beyond the last."""
    place = first % len(_WORDS)
    text = " ".join([*_WORDS[place:], *_WORDS[:place]]) + " "
    return (text * (characters // len(text) + 1))[:characters]
