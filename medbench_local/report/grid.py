"""A table on a terminal of which nothing is lost, and no word broken, however narrow that is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from medbench_local.report.screen import Prose

_INDENT = 2


@dataclass(frozen=True)
class GridColumn:
    """One column.

    Attributes:
        name: its heading.
        whole: what is in it stays in one line: it is typed, or a number.
        right: set to the right.
    """

    name: str
    whole: bool = False
    right: bool = False


@dataclass(frozen=True)
class Grid:
    """A table that closes its gaps before it breaks texts between words; where that does not do, paragraphs.

    Attributes:
        columns: in order; the first says what a row is about.
        rows: one text for each column.
        head_style: of the headings.
    """

    columns: Sequence[GridColumn]
    rows: Sequence[Sequence[Text]]
    head_style: str = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw what fits."""
        for gap in (2, 1):
            widths = self._widths(options.max_width - gap * (len(self.columns) - 1), broken=gap == 1)
            if widths is not None:
                yield self._table(widths, gap)
                return
        yield from self._paragraphs(options.max_width)

    def _widths(self, room: int, *, broken: bool) -> list[int] | None:
        """A width for each column; None if they do not fit. ``broken``: texts may go on in a second line."""
        natural, least = [], []
        for place, column in enumerate(self.columns):
            head = _longest(self._head(column).split("\n"))
            cells = [row[place].plain for row in self.rows]
            natural.append(max(head, _longest(line for cell in cells for line in cell.split("\n"))))
            pieces = [piece for cell in cells for piece in ([cell] if column.whole else cell.split())]
            least.append(max(_longest(column.name.split()), _longest(pieces)))
        if sum(natural) <= room:
            return natural
        spare = room - sum(least)
        if not broken or spare < 0:
            return None
        for place, width in enumerate(natural):
            more = min(spare, width - least[place])
            least[place] += more
            spare -= more
        return least

    @staticmethod
    def _head(column: GridColumn) -> str:
        """Headings of numbers are narrow, as the numbers are."""
        return column.name.replace(" ", "\n") if column.right else column.name

    def _table(self, widths: Sequence[int], gap: int) -> Table:
        table = Table(box=None, pad_edge=False, header_style=self.head_style, padding=(0, gap, 0, 0))
        for column, width in zip(self.columns, widths, strict=True):
            justify: Literal["left", "right"] = "right" if column.right else "left"
            head = self._head(column)
            table.add_column(head, justify=justify, width=width, overflow="fold", vertical="top")
        for row in self.rows:
            table.add_row(*row)
        return table

    def _paragraphs(self, width: int) -> Iterator[Prose]:
        """The first text of each row in a line of its own, and below it the others with their headings."""
        for first, *rest in self.rows:
            if first.plain:
                yield Prose(Text.assemble(first, style="bold"), whole=True)
            line = Text()
            for column, text in zip(self.columns[1:], rest, strict=True):
                if not text.plain:
                    continue
                value = Text(" ".join(text.plain.split()), style=text.style)  # without what aligns numbers
                named = Text.assemble(f"{column.name} ", value)
                own = column.whole and not column.right
                if line and (own or line.cell_len + named.cell_len > width - _INDENT - 2):
                    yield Prose(line, indent=_INDENT)
                    line = Text()
                if own:
                    yield Prose(named, whole=True, indent=_INDENT)
                else:
                    line = Text.assemble(line, "; " if line else "", named)
            if line:
                yield Prose(line, indent=_INDENT)


def _longest(texts: Sequence[str] | Iterator[str]) -> int:
    return max(map(cell_len, texts), default=0)
