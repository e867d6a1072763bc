"""A run on the terminal: one row a comparison, the summary, what to know, where the files are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from medbench_local.report import checked, clusters, planned, sections, words
from medbench_local.report.identity import signature
from medbench_local.report.section import Column, Section
from medbench_local.results.cost import ComparisonCost
from medbench_local.results.model_check import ModelCheck
from medbench_local.results.schema import Results

STYLES = {
    "win": "bold green",
    "loss": "bold red",
    "tie": "bold",
    "not verified": "bold yellow",
    "equivalent": "green",
    "different": "bold red",
    "inconclusive": "yellow",
}


def show_results(results: Results, folder: Path, *, brief: bool = False) -> RenderableType:
    """Everything a person wants to see at the end of a comparison.

    Args:
        results: of the run.
        folder: where its files lie.
        brief: only the verdicts and what a careful reader must know, for several runs one after the other.
    """
    parts: list[RenderableType] = [Text(words.headline(results), style="bold"), *_verdicts(results)]
    parts += [Text(line) for line in words.rates(results)]
    parts += [Text(line, style="yellow" if "not " in line else "") for line in words.verification(results)]
    parts += [Text(line, style="yellow") for line in clusters.differences(results)]
    if not brief:
        parts += [block for section in _details(results) for block in (Text(""), *_titled(section))]
    parts.append(Text(""))
    parts += [Text(f"note: {line}") for line in words.notes(results)]
    parts += [Text(f"warning: {words.plain(line)}", style="yellow") for line in results.warnings]
    parts += [Text(line, style="dim") for line in _closing(results, folder)]
    return Group(*parts)


def _verdicts(results: Results) -> Iterator[RenderableType]:
    tables = sections.verdicts(results)
    for section in tables:
        yield Text("")
        yield from _titled(section)
    if tables:
        yield Text(tables[0].note, style="dim")
    yield Text("")


def _details(results: Results) -> list[Section]:
    return sections.details(results)


def _titled(section: Section) -> Iterator[RenderableType]:
    yield Text(section.title, style="bold underline")
    yield FittedTable(section)
    if section.footnote:
        yield Text(section.footnote, style="dim")


@dataclass(frozen=True)
class FittedTable:
    """A section that closes its gaps before it folds names, folds names before numbers, and loses neither."""

    section: Section

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw with the widest gap that fits."""
        roomy = self._table(gap=2)
        wanted = Measurement.get(console, options.update(max_width=10_000), roomy).maximum
        if wanted <= options.max_width:
            yield roomy
        elif self._least <= options.max_width:
            yield self._table(gap=1)
        else:
            yield self._table(gap=1, whole=False)

    @property
    def _least(self) -> int:
        """Columns of the terminal that numbers need in one line, and names in pieces."""
        kept = [self._kept(column) for column in self.section.columns]
        widths = [
            max((cell_len(row[i]) for row in self.section.rows), default=1) if kept[i] else 8
            for i in range(len(kept))
        ]
        return sum(widths) + len(widths) - 1

    @staticmethod
    def _kept(column: Column) -> bool:
        """Whether what is in it stays in one line."""
        return column.numeric or column.name == "verdict"

    def _table(self, *, gap: int, whole: bool = True) -> Table:
        table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, gap, 0, 0))
        for column in self.section.columns:
            table.add_column(
                column.name.replace(" ", "\n") if column.numeric or column.state else column.name,
                justify="right" if column.numeric else "left",
                no_wrap=whole and self._kept(column),
                overflow="fold",
                vertical="top",
            )
        for row in self.section.rows:
            table.add_row(
                *(
                    Text(text, style=STYLES.get(words.state(text), "") if column.state else "")
                    for column, text in zip(self.section.columns, row, strict=True)
                )
            )
        return table


def _closing(results: Results, folder: Path) -> Iterator[str]:
    yield words.work(results)
    yield f"files: {words.plain(str(folder))}"
    yield f"signature: {signature(results)}"


def show_check(found: ModelCheck) -> RenderableType:
    """A check of precisions: task by task, over all, and what it means."""
    said, differ, near = checked.meaning(found)
    return Group(
        Text(checked.headline(found), style="bold"),
        FittedTable(checked.section(found)),
        Text(said),
        Text(differ),
        Text(near, style="dim"),
    )


def show_plan(cost: ComparisonCost) -> RenderableType:
    """What a comparison would fetch, make and compute: each model's phases, then the cells if there are several."""
    parts: list[RenderableType] = [Text(words.plain(line)) for line in planned.needs(cost)]
    parts += [Text(""), FittedTable(planned.phases(cost))]
    if len(cost.medical.cells) > 1:
        parts += [Text(""), FittedTable(planned.cells(cost))]
    parts += [Text(""), *(Text(words.plain(line)) for line in planned.meaning(cost))]
    parts += [Text(words.plain(line)) for line in cost.detectable]
    parts += [Text(f"warning: {words.plain(line)}", style="yellow") for line in cost.warnings]
    return Group(*parts)
