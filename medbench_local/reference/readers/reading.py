"""Recognizes the format of a file of per-question results and reads it, whatever made it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from medbench_local.errors import InputError
from medbench_local.files.json_objects import read_json
from medbench_local.files.readers import json_lines
from medbench_local.files.rows import Row, SourceFile
from medbench_local.reference.readers import inspect_ai, lm_eval
from medbench_local.reference.readers.document import document_rows
from medbench_local.reference.readers.lm_eval_scores import LogScores
from medbench_local.reference.readers.own_rows import own_record
from medbench_local.reference.readers.record import EVERYTHING, Record, Selection
from medbench_local.reference.readers.table import csv_records

FORMATS = (
    "Expected JSON Lines, a JSON list of rows (.json), CSV with a header (.csv), or a log of lm-evaluation-harness "
    "(samples_*.jsonl) or inspect_ai (.json, .eval)."
)


@dataclass
class Results:
    """A file of results, or a folder of ``*.jsonl`` files (of a run, its folder ``samples``).

    The ending of its name tells the format: ``.csv``, ``.eval``, ``.json`` (JSON Lines, a list, an object with a list,
    or an inspect_ai log), anything else JSON Lines; all but ``.eval`` may have ``.gz`` behind it. In lines and lists
    each row is one of ours or a line of an lm-evaluation-harness log.

    Attributes:
        path: the file or folder.
        selection: what is wanted of it.
        notes: clauses on what a reader of the result should know; complete when all records were taken.
        logs: whether a record was another tool's, so that metric and filter of the selection had a meaning.
    """

    path: Path
    selection: Selection = EVERYTHING
    notes: list[str] = field(default_factory=list)
    logs: bool = False

    def __iter__(self) -> Iterator[Record]:
        """The records, in order.

        Raises:
            InputError: the file is malformed, empty, or holds several things and none is chosen.
        """
        empty = True
        for file in self._files():
            for record in self._records(file):
                empty = False
                self.logs |= record.scored_by is not None
                yield record
        if empty:
            raise InputError(self.path, "", "no rows", advice=FORMATS)

    @property
    def is_folder(self) -> bool:
        """Whether rows come from several files."""
        return self.path.is_dir()

    def _files(self) -> list[Path]:
        if not self.is_folder:
            return [self.path]
        inner = self.path / "samples"
        folder = inner if inner.is_dir() else self.path
        found = sorted(path for path in folder.iterdir() if path.name.endswith((".jsonl", ".jsonl.gz")))
        if not found:
            raise InputError(folder, "", "cannot be read: a folder without files *.jsonl", advice=FORMATS)
        return found

    def _records(self, path: Path) -> Iterable[Record]:
        file = SourceFile(path)
        if file.kind == ".eval":
            return inspect_ai.records_of_archive(path, self.selection, self.notes)
        if file.kind == ".csv":
            return self._of_rows(file, csv_records(file))
        if file.kind == ".json" and not _has_lines(file):
            document = read_json(file)
            if inspect_ai.is_inspect_log(document):
                return inspect_ai.records_of_document(file, document, self.selection, self.notes)
            return self._of_rows(file, document_rows(file, document))
        return self._of_rows(file, json_lines(file))

    def _of_rows(self, file: SourceFile, rows: Iterable[Row]) -> Iterator[Record]:
        task = lm_eval.task_of_file(file.path.name)
        scores = LogScores(self.selection, task)
        for row in rows:
            fields = row.fields
            if "doc" in fields and lm_eval.is_log(row) and not ("id" in fields and "correct" in fields):
                record = scores.record(row)
                if record is not None:
                    yield record
            else:
                yield own_record(row, self.selection, task)
        scores.finish(str(file))


def _has_lines(file: SourceFile) -> bool:
    """Whether a ``.json`` file is JSON Lines: an object on its first line, and more after it."""
    lines = json_lines(file)
    try:
        first = next(lines, None)
    except InputError:
        return False
    try:
        return first is None or next(lines, None) is not None
    except InputError:
        return True
