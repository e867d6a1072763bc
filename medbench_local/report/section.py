"""One table of a report, whatever shows it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        name: its heading.
        numeric: set to the right.
        name_of_row: says what a row is about; a blank repeats the row above.
        state: holds a verdict or an outcome, which is coloured.
        full: its heading where there is room for whole words; "" if it is the name.
    """

    name: str
    numeric: bool = False
    name_of_row: bool = False
    state: bool = False
    full: str = ""

    @property
    def heading(self) -> str:
        """The heading where there is room."""
        return self.full or self.name


@dataclass(frozen=True)
class Section:
    """One table with what belongs to it.

    Attributes:
        title: its heading.
        note: how to read it; "" if it says so itself.
        columns: in order.
        rows: texts, one for each column.
        footnote: what a mark in it means, for where there is no room for ``note``, of which it is a part.
    """

    title: str
    note: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    footnote: str = ""
