"""By what a question is known in both of two files: its task and its id, or else its text."""

from __future__ import annotations

from collections.abc import Sequence

from medbench_local.reference.readers import lm_eval
from medbench_local.reference.readers.record import Record, id_text
from medbench_local.results.record import thinkers_said
from medbench_local.tasks.labels import options_of, tidy

QuestionKey = tuple[str, str]
"""Task, "" where there is none, and id."""


def task_of(record: Record, *, cell: bool = False) -> str:
    """The task that a row belongs to, "" where nothing says it.

    Args:
        record: the row.
        cell: whether its shots and its scoring, or who thinks, are part of the task, where it says them.
    """
    task = record.task or ""
    if not task and record.scored_by is not None and record.log_task is not None:
        task = lm_eval.our_task(record.log_task) or record.log_task
    if not cell:
        return task
    shots, scoring, thinkers = (record.row.fields.get(name) for name in ("shots", "scoring", "thinkers"))
    # Where one of two models thinks they are asked by different rules, and are compared all the same.
    asked = thinkers_said(thinkers) if isinstance(thinkers, str) else scoring
    parts = [
        task,
        f"{shots}-shot" if isinstance(shots, int) else "",
        asked if isinstance(asked, str) else "",
    ]
    return ", ".join(part for part in parts if part)


def question_keys(tasks: Sequence[str], records: Sequence[Record]) -> tuple[list[QuestionKey], list[str]]:
    """The key of each row, and clauses on what they are.

    Args:
        tasks: of each row.
        records: the rows.

    Raises:
        InputError: some rows have no id, and not all of them have the question's text instead.
    """
    ids = [record.id for record in records]
    known = [id for id in ids if id is not None]
    if len(known) == len(ids):
        return [*zip(tasks, known, strict=True)], []
    texts = [record.row.fields.get("question") for record in records]
    if known or not all(isinstance(text, str) and text.strip() for text in texts):
        row = records[ids.index(None)].row
        id_text(row, row.value("id"))
    said = [(task, tidy(record.row.text("question"))) for task, record in zip(tasks, records, strict=True)]
    options = [*map(_options, records)]
    several: dict[QuestionKey, set[str]] = {}
    for key, listed in zip(said, options, strict=True):
        several.setdefault(key, set()).add(listed)
    keys = [
        (task, f"{text} {listed}") if len(several[task, text]) > 1 and listed else (task, text)
        for (task, text), listed in zip(said, options, strict=True)
    ]
    return keys, ["rows have no 'id' and are told apart by the text of 'question'"]


def _options(record: Record) -> str:
    options = options_of(record.row.fields.get("options"))
    return f"({' / '.join(map(tidy, options.texts))})" if options is not None and options.texts else ""
