"""Files into rows: JSON Lines, JSON mappings and lists, csv, parquet; plain, gzipped, or in a zip archive."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any, cast

from medbench_local.errors import InputError
from medbench_local.files.arrow_values import Budget, TooMuch, how_to_read, values
from medbench_local.files.json_objects import (
    BOM,
    RepeatedKey,
    TooManyKeys,
    json_decoder,
    parse_json,
    reason,
)
from medbench_local.files.limits import MAX_BLANK, MAX_KEYS, MAX_LINE, MAX_ROWS
from medbench_local.files.rows import Row, SourceFile, listed, plain
from medbench_local.files.stand_ins import refuse_stand_in_at
from medbench_local.files.streams import open_bytes, read_whole

MAX_CSV = 256 * 2**20
"""Largest csv file, in bytes."""

MOST_REFUSED = 1_000
"""Lines of a JSON Lines file that hold no mapping, after which it is taken for none."""

_BLANKS = re.compile(r"[ \t\r\n]*")


def json_lines(
    file: SourceFile, *, constants: bool = True, refused: Callable[[InputError], object] | None = None
) -> Iterator[Row]:
    """One row for each line that is not blank; every one must hold a JSON mapping.

    Args:
        file: what is read, line by line.
        constants: whether ``NaN`` and ``Infinity``, which Python programs write, are read.
        refused: hears of lines that hold none, which are left out then.

    Raises:
        InputError: with the line.
    """
    with open_bytes(file) as stream:
        number = blank = broken = 0
        while line := stream.readline(MAX_LINE + 1):
            number += 1
            if number - blank - broken > MAX_ROWS or blank > MAX_BLANK:
                what = f"{MAX_BLANK:,} blank lines" if blank > MAX_BLANK else f"{MAX_ROWS:,} rows"
                raise InputError(str(file), f"line {number}", f"more than {what}, which are not read")
            where = f"line {number}"
            if len(line) > MAX_LINE:
                raise InputError(
                    str(file), where, f"longer than {MAX_LINE // 2**20} MiB; expected JSON Lines"
                )
            if number == 1:
                line = line.removeprefix(BOM)
            line = line.rstrip()
            if not line:
                blank += 1
                continue
            try:
                value = parse_json(line, file, where, constants=constants, most_keys=MAX_KEYS)
                if not isinstance(value, dict):
                    raise InputError(str(file), where, "expected a JSON mapping on each line")
            except InputError as error:
                if refused is None:
                    raise
                refused(error)
                broken += 1
                if broken > MOST_REFUSED:
                    raise
                continue
            yield Row(file, where, value)


def json_mapping(file: SourceFile) -> Iterator[Row]:
    """One row for each key of a file that is one big JSON mapping of mappings, in the file's order.

    The file is read piece by piece: the largest of these data sets would take gigabytes as a whole.

    Raises:
        InputError: with the key, or the key before the place.
    """
    seen: set[str] = set()
    for key, value in _members(file):
        where = f"key '{plain(key)}'"
        if key in seen:
            raise InputError(str(file), where, "this key is given twice")
        if not isinstance(value, dict):
            raise InputError(str(file), where, "expected a mapping")
        seen.add(key)
        _refuse_more(file, where, len(seen))
        yield Row(file, where, value, key)


def json_list(file: SourceFile) -> Iterator[Row]:
    """One row for each item of a file that is one big JSON list of mappings, in the file's order; read piece by piece.

    Raises:
        InputError: with the item, counted from 1, or the item before the place.
    """
    for number, value in enumerate(_items(file), start=1):
        where = f"item {number}"
        if not isinstance(value, dict):
            raise InputError(str(file), where, "expected a mapping")
        _refuse_more(file, where, number)
        yield Row(file, where, value)


def _refuse_more(file: SourceFile, where: str, rows: int) -> None:
    if rows > MAX_ROWS:
        raise InputError(str(file), where, f"more than {MAX_ROWS:,} rows, which are not read")


def csv_rows(file: SourceFile) -> Iterator[tuple[str, list[str]]]:
    """The place and cells of each record that is not empty.

    Raises:
        InputError: with the line on which the record starts.
    """
    data = read_whole(file, MAX_CSV, f"larger than {MAX_CSV // 2**20} MiB")
    try:
        text = data.removeprefix(BOM).decode("utf-8")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InputError(str(file), f"line {line}", "not UTF-8 text") from error
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise InputError(str(file), f"line {line}", "a NUL character; expected csv text")
    lines = (
        line for number, line in enumerate(io.StringIO(text, newline="")) if _plausible(file, number, line)
    )
    reader = csv.reader(lines, strict=True)
    while True:
        where = f"line {reader.line_num + 1}"
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise InputError(str(file), where, f"not valid csv: {error}") from error
        if len(cells) > MAX_KEYS:
            raise InputError(str(file), where, f"{len(cells):,} cells; at most {MAX_KEYS:,} are read")
        if cells:
            yield where, cells


def _plausible(file: SourceFile, number: int, line: str) -> bool:
    """Whether a line is one of so many, and no longer than is read."""
    if len(line) > MAX_LINE:
        raise InputError(str(file), f"line {number + 1}", f"longer than {MAX_LINE >> 20} MiB")
    if number > MAX_ROWS:
        raise InputError(str(file), f"line {number + 1}", f"more than {MAX_ROWS:,} lines, which are not read")
    return True


def parquet_columns(file: SourceFile) -> dict[str, bool]:
    """The columns of a parquet file, in order, and whether bytes stand in each: in itself, its fields or items.

    Raises:
        InputError: it is not a parquet file.
    """
    from pyarrow import parquet, types

    def has_bytes(kind: Any) -> bool:
        if types.is_struct(kind) or types.is_list(kind) or types.is_large_list(kind):
            return any(has_bytes(kind.field(place).type) for place in range(kind.num_fields))
        return bool(types.is_binary(kind) or types.is_large_binary(kind))

    with _parquet_explained(file):
        schema = parquet.read_schema(file.path)
        return {field.name: has_bytes(field.type) for field in schema}


@contextmanager
def _parquet_explained(file: SourceFile) -> Iterator[None]:
    """What goes wrong while a parquet file is read, as InputErrors."""
    import pyarrow

    refuse_stand_in_at(file.path)
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(file.path, "", "no such file") from error
    except TooMuch as error:
        raise InputError(str(file), "", str(error)) from error
    except (pyarrow.ArrowException, OSError, ValueError, KeyError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(str(file), "", f"not a readable parquet file: {plain(first, 200)}") from error


def parquet_rows(file: SourceFile, columns: Sequence[str], *, batch: int = 4096) -> Iterator[Row]:
    """One row for each record, with the named columns ("context.contexts" for a field of a struct) only.

    Args:
        file: what is read.
        columns: by name.
        batch: how many rows are held at a time.

    Raises:
        InputError: it is not a parquet file, or a column is not there.
    """
    from pyarrow import parquet

    with _parquet_explained(file):
        how = how_to_read(file.path, columns, batch)
        budget = Budget(file.path.stat().st_size)
        # In pieces of a megabyte: otherwise all row groups are fetched beforehand, and pictures are gigabytes.
        with parquet.ParquetFile(
            file.path, pre_buffer=False, buffer_size=2**20, read_dictionary=how.dictionaries
        ) as table:
            names = table.schema_arrow.names
            for name in columns:
                if name.split(".")[0] not in names:
                    problem = f"this column is required; the file has {listed(names)}"
                    raise InputError(str(file), f"column '{name}'", problem)
            number = 0
            chunks = (
                held
                for group in range(how.groups)  # a dictionary is one group's
                for held in table.iter_batches(
                    batch_size=how.batch, row_groups=[group], columns=list(columns), use_threads=False
                )
            )
            for held in chunks:
                cells = [values(column) for column in held.columns]
                for row in zip(*cells, strict=True) if cells else ():
                    number += 1
                    for cell in row:
                        budget.spend(cell)
                    yield Row(file, f"row {number}", dict(zip(held.schema.names, row, strict=True)))


def _members(file: SourceFile) -> Iterator[tuple[str, Any]]:
    """Keys and values of the mapping that is the whole of ``file``."""
    with open_bytes(file) as stream:
        scan = _Scan(file, stream)
        scan.expect("{")
        if scan.peek() == "}":
            scan.expect("}")
        else:
            while True:
                key = scan.value()
                if not isinstance(key, str):
                    raise scan.error(f"expected a key, found {plain(str(key))}")
                scan.after = f"key '{plain(key)}'"
                scan.expect(":")
                yield key, scan.value()
                if scan.expect(",}") == "}":
                    break
        if scan.peek():
            raise scan.error("expected the end of the file")


def _items(file: SourceFile) -> Iterator[Any]:
    """The items of the list that is the whole of ``file``."""
    with open_bytes(file) as stream:
        scan = _Scan(file, stream)
        scan.expect("[")
        if scan.peek() == "]":
            scan.expect("]")
        else:
            for number in itertools.count(1):
                yield scan.value()
                scan.after = f"item {number}"
                if scan.expect(",]") == "]":
                    break
        if scan.peek():
            raise scan.error("expected the end of the file")


class _Scan:
    """Takes JSON values off a stream one after the other, holding little more than one of them."""

    def __init__(self, file: SourceFile, stream: IO[bytes]) -> None:
        self.after = ""
        self._file = file
        self._text = io.TextIOWrapper(cast("Any", stream), encoding="utf-8-sig", newline="")
        self._held, self._at = "", 0
        self._decoder = json_decoder(most_keys=MAX_KEYS)

    def error(self, problem: str) -> InputError:
        return InputError(str(self._file), self.after, f"not valid JSON: {problem}")

    def peek(self) -> str:
        """The next character that is not white space; "" at the end."""
        while True:
            blanks = _BLANKS.match(self._held, self._at)
            self._at = blanks.end() if blanks else self._at
            if self._at < len(self._held):
                return self._held[self._at]
            if not self._more(2**20):
                return ""

    def expect(self, characters: str) -> str:
        found = self.peek()
        if not found or found not in characters:
            wanted = " or ".join(f"'{c}'" for c in characters)
            raise self.error(f"expected {wanted}, found {repr(found) if found else 'the end of the file'}")
        self._at += 1
        return found

    def value(self) -> Any:
        self.peek()
        want = 2**20
        while True:
            try:
                value, self._at = self._decoder.raw_decode(self._held, self._at)
            except (RepeatedKey, TooManyKeys) as error:
                raise self.error(str(error)) from error
            except (ValueError, RecursionError) as error:
                # Perhaps only because the rest of the value has not been read yet.
                if len(self._held) - self._at > MAX_LINE or not self._more(want):
                    raise self.error(reason(error)) from error
                want *= 2
            else:
                return value

    def _more(self, count: int) -> bool:
        try:
            piece = self._text.read(count)
        except UnicodeDecodeError as error:
            raise InputError(str(self._file), self.after, "not UTF-8 text after this") from error
        self._held, self._at = self._held[self._at :] + piece, 0
        return bool(piece)
