"""A file of questions of any kind into a table: where its header is, and which of several ways to read it is right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from medbench_local.catalog.task import OTHER_FILES, QUESTION_FILES
from medbench_local.errors import InputError
from medbench_local.files.json_objects import read_json
from medbench_local.files.limits import MAX_CELLS
from medbench_local.files.readers import json_lines, parquet_columns, parquet_rows
from medbench_local.files.rows import Row, SourceFile
from medbench_local.tasks.album import AT_A_TIME, Album
from medbench_local.tasks.tables.columns import Columns, UnclearColumns, find_columns
from medbench_local.tasks.tables.delimited import SEPARATORS, decoded, grid
from medbench_local.tasks.tables.table import Defect, GridRow, Record, Table, Unclear, below_header, text_of
from medbench_local.tasks.tables.workbook import Sheet, sheets

HEADER_WITHIN = 10
"""Rows among which the header is looked for: spreadsheets may begin with a title."""


@dataclass(frozen=True)
class Opened:
    """A table, and what its columns are."""

    table: Table
    columns: Columns


Named = Mapping[str, Sequence[str]]


def open_table(
    file: SourceFile, named: Named, *, sheet: str | None, encoding: str | None, album: Album
) -> Opened:
    """The table in a file.

    Args:
        file: what is read.
        named: columns by role, where somebody says so; of JSON and Parquet also "choices.text", of a mapping's field.
        sheet: which sheet of a workbook, where somebody says so.
        encoding: of a CSV, where somebody says so.
        album: keeps pictures that the table holds.

    Raises:
        Unclear: its columns are not found, or it is not clear which of several sheets is meant.
        InputError: it cannot be read, or is no file of a known kind.
    """
    if file.kind in (".csv", ".tsv"):
        return _csv(file, named, encoding)
    if file.kind in (".xlsx", ".xlsm"):
        return _workbook(file, named, sheet)
    if file.kind in (".jsonl", ".ndjson"):
        broken: list[Defect] = []
        lines = json_lines(file, refused=lambda error: broken.append(Defect(error.where, "", error.problem)))
        return _records(file, _held(file, lines), named, broken)
    if file.kind == ".json":
        return _json(file, named)
    if file.kind == ".parquet":
        return _parquet(file, named, album)
    if file.kind in OTHER_FILES:
        problem = f"questions are not read from {OTHER_FILES[file.kind]}"
        raise InputError(file.path, "", problem, advice="Save it as .xlsx or .csv, one question in a row.")
    known = ", ".join(QUESTION_FILES)
    raise InputError(file.path, "", f"not a kind of file that questions are read from ({known})")


def _csv(file: SourceFile, named: Named, encoding: str | None) -> Opened:
    read = decoded(file, encoding)
    found: list[Opened] = []
    problems: list[tuple[int, UnclearColumns]] = []
    # What does not stand in it separates nothing; the first of them says what is missing.
    for separator in [one for one in SEPARATORS if one in read.text] or [*SEPARATORS][:1]:
        word = SEPARATORS[separator]
        rows, broken = grid(read.text, separator)
        try:
            at, columns, names = _header(rows, named)
        except UnclearColumns as error:
            problems.append((max((len(row.cells) for row in rows[:HEADER_WITHIN]), default=0), error))
            continue
        records, defects = below_header(rows, at, names)
        notes = (*read.notes, f"Cells are separated by {word}.", *_above(rows, at))
        table = Table(tuple(names), tuple(records), notes, read.warnings, (*defects, *broken))
        found.append(Opened(table, columns))
    if found:
        return max(found, key=lambda opened: len(opened.columns.used()))
    raise _unclear(file, problems)


def _workbook(file: SourceFile, named: Named, wanted: str | None) -> Opened:
    all_sheets = sheets(file)
    names = ", ".join(f"'{sheet.name}'{' (hidden)' * sheet.hidden}" for sheet in all_sheets)
    if not all_sheets:
        raise InputError(str(file), "", "nothing stands in it")
    chosen = [sheet for sheet in all_sheets if (not sheet.hidden if wanted is None else sheet.name == wanted)]
    if not chosen:
        problem = (
            f"there is no sheet '{wanted}'; there are {names}" if wanted else "all of its sheets are hidden"
        )
        raise Unclear(str(file), problem, {"sheet": all_sheets[0].name})
    found: list[tuple[Sheet, Opened]] = []
    problems: list[tuple[int, UnclearColumns]] = []
    for sheet in chosen:
        try:
            at, columns, header = _header(sheet.rows, named)
        except UnclearColumns as error:
            problems.append((max(len(row.cells) for row in sheet.rows[:HEADER_WITHIN]), error))
            continue
        records, defects = below_header(sheet.rows, at, header)
        notes = (*_above(sheet.rows, at), *sheet.notes)
        if len(all_sheets) > 1:
            notes = (f"The sheet '{sheet.name}' is read, of {names}.", *notes)
        used = columns.used()
        rows = {record.where for record in records}
        letters = {name: letter for letter, name in zip(sheet.letters, header, strict=False)}
        read = {letters[name] for name in used if name in letters}
        bad = [defect for defect in sheet.defects if defect.where in rows and defect.column in read]
        table = Table(tuple(header), tuple(records), notes, (), (*defects, *bad))
        found.append((sheet, Opened(table, columns)))
    if not found:
        raise _unclear(file, problems)
    if len(found) > 1:
        problem = f"{len(found)} sheets hold questions, of {names}"
        first, *others = (sheet.name for sheet, _ in found)
        raise Unclear(str(file), problem, {"sheet": first}, others)
    return found[0][1]


def _records(
    file: SourceFile, records: Sequence[Record], named: Named, broken: Sequence[Defect] = ()
) -> Opened:
    apart = [name for names in named.values() for name in names if "." in name]
    rows = [Record(row.where, {**row.cells, **_inside(row.cells, apart)}) for row in records]
    names = tuple(dict.fromkeys(name for record in rows for name in record.cells))
    if not names and broken:
        return Opened(Table((), (), (), (), tuple(broken)), Columns("", (), ()))
    try:
        return Opened(Table(names, tuple(rows), defects=tuple(broken)), find_columns(names, named))
    except UnclearColumns as error:
        raise _unclear(file, [(0, error)]) from error


def _held(file: SourceFile, rows: Iterable[Row]) -> list[Record]:
    """The rows of a file that is held as a whole."""
    held: list[Record] = []
    left = MAX_CELLS
    for row in rows:
        left -= _count(row.fields)
        if left < 0:
            raise InputError(
                str(file), row.where, f"more than {MAX_CELLS:,} cells before this", advice="Split the file."
            )
        held.append(Record(row.where, row.fields))
    return held


def _count(value: object) -> int:
    """A cell, with those that stand in it."""
    if isinstance(value, Mapping):
        return 1 + sum(map(_count, value.values()))
    return 1 + sum(map(_count, value)) if isinstance(value, list) else 1


def _inside(cells: Mapping[str, object], names: Sequence[str]) -> dict[str, object]:
    """What stands under "choices.text": in the mapping "choices" under "text"."""
    found: dict[str, object] = {}
    for name in names:
        value: object = cells
        for key in name.split("."):
            value = value.get(key) if isinstance(value, Mapping) else None
        if name not in cells and value is not None:
            found[name] = value
    return found


def _json(file: SourceFile, named: Named) -> Opened:
    """The mappings of a list, of the only list in a mapping, or of a mapping by their keys, which are ids then."""
    value = read_json(file)
    if isinstance(value, dict):
        lists = [item for item in value.values() if isinstance(item, list)]
        if len(lists) == 1:
            value = lists[0]
        elif value and all(isinstance(item, dict) for item in value.values()):
            rows = [Record(f"key '{key}'", {"id": key, **item}) for key, item in value.items()]
            return _records(file, rows, named)
    if not isinstance(value, list) or not value:
        raise InputError(str(file), "", "expected a list of mappings, one for each question")
    items = [(f"item {number}", item) for number, item in enumerate(value, start=1)]
    broken = [Defect(where, "", "expected a mapping") for where, item in items if not isinstance(item, dict)]
    return _records(file, [Record(w, item) for w, item in items if isinstance(item, dict)], named, broken)


def _parquet(file: SourceFile, named: Named, album: Album) -> Opened:
    """The rows of a table, without columns that nothing is read from: pictures are gigabytes."""
    names = parquet_columns(file)
    whole = {role: [name.split(".")[0] for name in said] for role, said in named.items()}
    try:
        found = find_columns([*names], whole)
    except UnclearColumns as error:
        raise _unclear(file, [(0, error)]) from error
    pictures = found.images if found.images and names[found.images] else ""
    read = [name for name in names if name in found.used() and name != pictures]
    rows = _held(file, parquet_rows(file, read))
    if pictures:
        held = parquet_rows(file, [pictures], batch=AT_A_TIME)
        rows = [
            Record(row.where, {**row.cells, pictures: _taken(other.fields[pictures], album)})
            for row, other in zip(rows, held, strict=True)
        ]
    opened = _records(file, rows, named)
    unused = tuple(name for name in names if name not in opened.table.columns)
    table = opened.table
    return Opened(Table((*table.columns, *unused), table.records), opened.columns)


def _taken(cell: object, album: Album) -> object:
    """The names of the pictures in a cell: bytes, a mapping with ``bytes`` as the hub has it, or a list of them."""
    if isinstance(cell, list):
        return [name for one in cell for name in [_taken(one, album)] if name is not None]
    data = cell.get("bytes") if isinstance(cell, Mapping) else cell
    if isinstance(data, bytes) and data:
        return album.take(data)
    return cell.get("path") if isinstance(cell, Mapping) else data


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


def _unclear(file: SourceFile, problems: Sequence[tuple[int, UnclearColumns]]) -> Unclear:
    """What is said of the way to read a file that finds the most columns."""
    error = max(problems, key=lambda problem: problem[0])[1]
    return Unclear(str(file), str(error), {"columns": error.settles})
