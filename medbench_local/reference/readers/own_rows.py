"""Rows with the names of our own samples and exports, and a few that other programs use for the same."""

from __future__ import annotations

from medbench_local.files.rows import Row
from medbench_local.reference.readers.record import Record, Selection

SYNONYMS = {"prediction": "predicted_answer", "answer": "ground_truth", "correct": "is_correct"}
"""Our name, and the name that is read instead in a row that does not say what is right by our names."""


def own_record(row: Row, selection: Selection, log_task: str | None = None) -> Record:
    """The row as a record."""
    fields = row.fields
    if "correct" not in fields and not ("prediction" in fields and "answer" in fields):
        found = {
            ours: fields[name] for ours, name in SYNONYMS.items() if ours not in fields and name in fields
        }
        if found:
            row = Row(row.file, row.where, {**fields, **found}, row.key)
    if selection.task is not None and row.fields.get("task") is None:
        row = Row(row.file, row.where, {**row.fields, "task": selection.task}, row.key)
    return Record(row, log_task=log_task)
