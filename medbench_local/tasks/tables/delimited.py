"""CSV as it is found: in several encodings, separated by commas, semicolons, tabs or bars."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass

from medbench_local.errors import InputError
from medbench_local.files.limits import MAX_CELLS
from medbench_local.files.readers import MAX_CSV
from medbench_local.files.rows import SourceFile
from medbench_local.files.streams import read_whole
from medbench_local.tasks.tables.table import OLE, ZIP, Defect, GridRow

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
"""What may stand between cells, the likeliest first."""

MOST_LINES = 500_000
"""Line breaks of a table: each of its rows is looked at several times."""

MOST_BROKEN = 1_000
"""Lines that are not csv after which nothing more is read: it is no such file."""

_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


@dataclass(frozen=True)
class Text:
    """The text of a file, and what is to be said of how it was read.

    Attributes:
        text: without a byte order mark.
        notes, warnings: sentences.
    """

    text: str
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def decoded(file: SourceFile, encoding: str | None) -> Text:
    """The text of a file: UTF-8, UTF-16 with a mark, else Windows-1252, which is said.

    Args:
        file: what is read.
        encoding: where somebody says so.

    Raises:
        InputError: it is too large, or not text of that encoding.
    """
    data = read_whole(file, MAX_CSV, f"larger than {MAX_CSV // 2**20} MiB")
    if data.startswith((ZIP, OLE)):
        problem = "holds no text: it begins as Excel workbooks do, whatever its name says"
        raise InputError(str(file), "", problem, advice="Name it as what it is (.xlsx), or save it as CSV.")
    marked = next(((mark, name) for mark, name in _MARKS if data.startswith(mark)), None)
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    if encoding is not None:
        name, data = encoding, data.removeprefix(marked[0] if marked else b"")
        notes = (f"Read as {encoding}, as was said.",)
    elif marked:
        name, data = marked[1], data.removeprefix(marked[0])
    else:
        name = "utf-8"
    try:
        text = data.decode(name)
    except LookupError as error:
        raise InputError(str(file), "", f"there is no encoding {name!r}") from error
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        if encoding is not None or marked:
            raise InputError(str(file), f"line {line}", f"not {name} text") from error
        try:
            text = data.decode("cp1252")
        except UnicodeDecodeError as error:
            problem = "neither UTF-8 nor Windows-1252 text"
            advice = 'Save it as UTF-8, or say what it is: `encoding="mac-roman"`.'
            raise InputError(str(file), f"line {line}", problem, advice=advice) from error
        example = _beyond_ascii(text.split("\n")[line - 1])
        warnings = (
            f"It is not UTF-8 (line {line}) and was read as Windows-1252: {example!r} stands there. "
            "If that is wrong, say `encoding=`.",
        )
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        advice = 'Save it as UTF-8, or say what it is: `encoding="utf-16"`.'
        raise InputError(str(file), f"line {line}", "a NUL character; expected csv text", advice=advice)
    lines = text.count("\n") + text.count("\r")
    if lines > MOST_LINES:
        raise InputError(str(file), "", f"{lines:,} line breaks; at most {MOST_LINES:,} are read")
    most = max(map(text.count, SEPARATORS))
    if most > 2 * MAX_CELLS:  # texts hold some, too
        raise InputError(
            str(file),
            "",
            f"{most:,} separators; at most {2 * MAX_CELLS:,} are read",
            advice="Split the file.",
        )
    return Text(text, notes, warnings)


def _beyond_ascii(line: str) -> str:
    """The first word, or sign, of a line that holds more than ASCII."""
    words = (found[0] for found in re.finditer(r"\w+|\W", line))
    return next(word for word in words if not word.isascii())[:40]


def grid(text: str, separator: str) -> tuple[list[GridRow], list[Defect]]:
    """The rows of ``text`` that are not blank; lines that are not csv are defects, and reading goes on behind each."""
    rows: list[GridRow] = []
    defects: list[Defect] = []
    lines = io.StringIO(
        text, newline=""
    ).readlines()  # ends at the breaks that csv knows: not those of splitlines()
    number = 1 if text[:4].lower() == "sep=" and text[5:6] in ("\n", "\r") else 0
    reader = csv.reader(_from(lines, number), delimiter=separator, strict=True)
    before = number
    while True:
        start = before + reader.line_num
        where = f"line {start + 1}"
        try:
            cells = next(reader)
        except StopIteration:
            return rows, defects
        except csv.Error as error:
            defects.append(Defect(where, "", _broken(error)))
            if len(defects) == MOST_BROKEN:
                defects.append(Defect(f"line {start + 2}", "", "this line and those after it were not read"))
                return rows, defects
            before = start + 1  # a quotation mark too many has swallowed lines that are good
            reader = csv.reader(_from(lines, before), delimiter=separator, strict=True)
            continue
        row = GridRow(where, tuple(cells))
        if not row.blank:
            rows.append(row)


def _from(lines: list[str], start: int) -> Iterator[str]:
    """Those from a place on, found without going through the others."""
    return map(lines.__getitem__, range(start, len(lines)))


def _broken(error: csv.Error) -> str:
    """What is wrong with a line, in words."""
    said = str(error)
    if "unexpected end of data" in said or "field larger" in said:
        return "not valid csv: its quotation mark is never closed"
    if "expected after" in said:
        return "not valid csv: text follows a closing quotation mark; inside quoted text each has to be written twice"
    return f"not valid csv: {said}"
