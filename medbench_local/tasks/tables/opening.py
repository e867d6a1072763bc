"""A file of questions of any kind into a table: where its header is, and which of several ways to read it is right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from medbench_local.catalog.task import QUESTION_FILES
from medbench_local.errors import InputError
from medbench_local.files.json_objects import read_json
from medbench_local.files.readers import json_lines
from medbench_local.files.rows import SourceFile
from medbench_local.tasks.tables.columns import Columns, UnclearColumns, find_columns
from medbench_local.tasks.tables.delimited import SEPARATORS, decoded, grid
from medbench_local.tasks.tables.table import GridRow, Record, Table, below_header, text_of
from medbench_local.tasks.tables.workbook import sheets

HEADER_WITHIN = 10
"""Rows among which the header is looked for: spreadsheets may begin with a title."""

ADVICE = (
    'Say which column is which: `columns={"question": "...", "options": ["...", "..."], "answer": "..."}`.'
)


@dataclass(frozen=True)
class Opened:
    """A table, and what its columns are."""

    table: Table
    columns: Columns


Named = Mapping[str, Sequence[str]]


def open_table(file: SourceFile, named: Named, *, sheet: str | None, encoding: str | None) -> Opened:
    """The table in a file.

    Args:
        file: what is read.
        named: columns by role, where somebody says so.
        sheet: which sheet of a workbook, where somebody says so.
        encoding: of a CSV, where somebody says so.

    Raises:
        InputError: it is no file of a known kind, or its columns are not found.
    """
    if file.kind in (".csv", ".tsv"):
        return _csv(file, named, encoding)
    if file.kind in (".xlsx", ".xlsm"):
        return _workbook(file, named, sheet)
    if file.kind in (".jsonl", ".ndjson"):
        return _records(file, [Record(row.where, row.fields) for row in json_lines(file)], named)
    if file.kind == ".json":
        return _records(file, _json(file), named)
    known = ", ".join(QUESTION_FILES)
    raise InputError(file.path, "", f"not a kind of file that questions are read from ({known})")


def _csv(file: SourceFile, named: Named, encoding: str | None) -> Opened:
    read = decoded(file, encoding)
    found, problems = [], []
    for separator, word in SEPARATORS.items():
        rows, broken = grid(read.text, separator)
        try:
            at, columns, names = _header(rows, named)
        except UnclearColumns as error:
            problems.append((max((len(row.cells) for row in rows[:HEADER_WITHIN]), default=0), str(error)))
            continue
        records, defects = below_header(rows, at, names)
        notes = (*read.notes, f"Cells are separated by {word}.", *_above(rows, at))
        table = Table(tuple(names), tuple(records), notes, read.warnings, (*defects, *broken))
        found.append(Opened(table, columns))
    if found:
        return max(found, key=lambda opened: len(opened.columns.used()))
    raise InputError(str(file), "", _first(problems), advice=ADVICE)


def _workbook(file: SourceFile, named: Named, wanted: str | None) -> Opened:
    all_sheets = sheets(file)
    names = ", ".join(f"'{sheet.name}'" for sheet in all_sheets)
    chosen = [sheet for sheet in all_sheets if wanted in (None, sheet.name)]
    if not chosen:
        problem = f"there is no sheet '{wanted}'; there are {names}" if wanted else "nothing stands in it"
        raise InputError(str(file), "", problem)
    found, problems = [], []
    for sheet in chosen:
        try:
            at, columns, header = _header(sheet.rows, named)
        except UnclearColumns as error:
            problems.append((max(len(row.cells) for row in sheet.rows[:HEADER_WITHIN]), str(error)))
            continue
        records, defects = below_header(sheet.rows, at, header)
        notes = _above(sheet.rows, at)
        if len(all_sheets) > 1:
            notes = (f"The sheet '{sheet.name}' is read, of {names}.", *notes)
        bad = [defect for defect in sheet.defects if any(defect.where == record.where for record in records)]
        found.append(Opened(Table(tuple(header), tuple(records), notes, (), (*defects, *bad)), columns))
    if not found:
        raise InputError(str(file), "", _first(problems), advice=ADVICE)
    if len(found) > 1:
        problem = f"{len(found)} sheets hold questions, of {names}"
        raise InputError(str(file), "", problem, advice="Say which: `sheet=`.")
    return found[0]


def _records(file: SourceFile, records: Sequence[Record], named: Named) -> Opened:
    names = tuple(dict.fromkeys(name for record in records for name in record.cells))
    try:
        return Opened(Table(names, tuple(records)), find_columns(names, named))
    except UnclearColumns as error:
        raise InputError(str(file), "", str(error), advice=ADVICE) from error


def _json(file: SourceFile) -> list[Record]:
    """The mappings of a list, of the only list in a mapping, or of a mapping by their keys, which are ids then."""
    value = read_json(file)
    if isinstance(value, dict):
        lists = [item for item in value.values() if isinstance(item, list)]
        if len(lists) == 1:
            value = lists[0]
        elif value and all(isinstance(item, dict) for item in value.values()):
            return [Record(f"key '{key}'", {"id": key, **item}) for key, item in value.items()]
    if not isinstance(value, list) or not value:
        raise InputError(str(file), "", "expected a list of mappings, one for each question")
    for number, item in enumerate(value, start=1):
        if not isinstance(item, dict):
            raise InputError(str(file), f"item {number}", "expected a mapping")
    return [Record(f"item {number}", item) for number, item in enumerate(value, start=1)]


def _header(rows: Sequence[GridRow], named: Named) -> tuple[int, Columns, list[str]]:
    """The first row that names the columns: its place, what they are, and all names."""
    first: UnclearColumns | None = None
    for at, row in enumerate(rows[:HEADER_WITHIN]):
        names = [text_of(cell) for cell in row.cells]
        while names and not names[-1]:
            names.pop()
        try:
            return at, find_columns(names, named), names
        except UnclearColumns as error:
            first = first or error
    raise first or UnclearColumns("Nothing stands in it.")


def _above(rows: Sequence[GridRow], at: int) -> tuple[str, ...]:
    if at == 0:
        return ()
    return (f"The names of the columns stand in {rows[at].where}; what is above is not read.",)


def _first(problems: Sequence[tuple[int, str]]) -> str:
    """What is said of the way to read a file that finds the most columns."""
    return max(problems, key=lambda problem: problem[0])[1]
