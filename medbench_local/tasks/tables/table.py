"""A table of questions before anything is known of its columns, and what is wrong with one of its cells."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from medbench_local.errors import InputError

ZIP, OLE = b"PK\3\4", b"\xd0\xcf\x11\xe0"
"""How workbooks begin: those of today, and old or encrypted ones."""


class Unclear(InputError):
    """A table that can be read once somebody says more of it.

    Args:
        path: the file.
        problem: what is not clear.
        settles: what has to be said, by the arguments of ``import_questions``: an example of each value.
        others: what may be said instead of the value of the only one.
    """

    def __init__(
        self, path: str | Path, problem: str, settles: Mapping[str, object], others: Sequence[str] = ()
    ) -> None:
        said = ", ".join(f"`{name}={_as_python(value)}`" for name, value in settles.items())
        self.settles = dict(settles)
        self.instead = f" (or {', '.join(_as_python(other) for other in others)})" if others else ""
        super().__init__(path, "", problem, advice=f"Say it: {said}{self.instead}.")


def call_to_import(path: str | Path, settles: Mapping[str, object]) -> str:
    """How a file is imported by a program, as messages have it; the command line makes a command of it."""
    said = "".join(f", {name}={_as_python(value)}" for name, value in settles.items())
    return f"`import_questions({_as_python(str(path))}{said})`"


def _as_python(value: object) -> str:
    """A text, a list or a mapping of them as Python has it, with double quotes."""
    return json.dumps(value, ensure_ascii=False)


@dataclass(frozen=True)
class Defect:
    """What is wrong with one row.

    Attributes:
        where: its place in the file: "line 12", "row 3", "item 4".
        column: the column's name, or "".
        problem: what was found and what was expected.
    """

    where: str
    column: str
    problem: str

    def __str__(self) -> str:
        place = f"{self.where}, column '{self.column}'" if self.column else self.where
        return f"{place}: {self.problem}"


@dataclass(frozen=True)
class Record:
    """One row.

    Attributes:
        where: its place; no other row of the task has the same.
        cells: by column.
        part: the split or splits that its file belongs to: ids are unique in each.
    """

    where: str
    cells: Mapping[str, object] = field(repr=False)
    part: str = ""


@dataclass(frozen=True)
class Table:
    """The rows of a file that are not blank.

    Attributes:
        columns: names in the file's order.
        records: the rows below the header.
        notes: how the file was read, one sentence each.
        warnings: what somebody should look at, one sentence each.
        defects: of cells that could not be read.
    """

    columns: tuple[str, ...]
    records: tuple[Record, ...]
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    defects: tuple[Defect, ...] = ()


@dataclass(frozen=True)
class GridRow:
    """One row of a sheet, before it is known which row holds the names."""

    where: str
    cells: tuple[object, ...]

    @property
    def blank(self) -> bool:
        """Whether nothing stands in it."""
        return not any(map(text_of, self.cells))


def text_of(cell: object) -> str:
    """A cell as text without blanks around it: nothing and NaN as "", whole numbers without ".0", True and False."""
    if cell is None or cell != cell:
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell).strip().removeprefix("\ufeff").strip()


def below_header(rows: Sequence[GridRow], at: int, names: Sequence[str]) -> tuple[list[Record], list[Defect]]:
    """The rows below the one at ``at``, by the names there; cells beyond the last name are defects."""
    records, defects = [], []
    for row in rows[at + 1 :]:
        if row.blank:
            continue
        extra = [cell for cell in row.cells[len(names) :] if text_of(cell)]
        if extra:
            count = len(names) + len(extra)
            problem = (
                f"{count} cells, but the header has {len(names)}; text with separators has to stand in quotes"
            )
            defects.append(Defect(row.where, "", problem))
            continue
        cells = [*row.cells, *[None] * len(names)][: len(names)]
        records.append(
            Record(row.where, {name: cell for name, cell in zip(names, cells, strict=True) if name})
        )
    return records, defects
