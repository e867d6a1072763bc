"""A run on the terminal: one row a comparison, the summary, what to know, where the files are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.text import Text

from medbench_local.report import checked, clusters, planned, sections, words
from medbench_local.report.grid import Grid, GridColumn
from medbench_local.report.identity import signature
from medbench_local.report.screen import Prose
from medbench_local.report.section import Section
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
    parts: list[RenderableType] = [Text(words.headline(results), style="bold")]
    parts += [Text(line, style="bold yellow") for line in words.unfinished(results)]
    parts += _verdicts(results)
    parts += [Text(line) for line in words.rates(results)]
    parts += [Text(line, style="yellow" if "not " in line else "") for line in words.verification(results)]
    parts += [Text(line, style="yellow") for line in clusters.differences(results)]
    if not brief:
        parts += [block for section in _details(results) for block in (Text(""), *_titled(section))]
    parts.append(Text(""))
    parts += [Text(f"note: {line}") for line in words.notes(results)]
    parts += [Text(f"warning: {words.plain(line)}", style="yellow") for line in results.warnings]
    parts += _closing(results, folder)
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
    """A section that closes its gaps before it breaks names, and becomes paragraphs before it breaks numbers."""

    section: Section

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw what fits."""
        yield self.grid()

    def grid(self) -> Grid:
        """The same as a grid."""
        columns = [
            GridColumn(column.name, whole=column.numeric or column.name == "verdict", right=column.numeric)
            for column in self.section.columns
        ]
        rows = [
            [
                Text(text, style=STYLES.get(words.state(text), "") if column.state else "")
                for column, text in zip(self.section.columns, row, strict=True)
            ]
            for row in self.section.rows
        ]
        return Grid(columns, rows, head_style="bold")


def _closing(results: Results, folder: Path) -> Iterator[RenderableType]:
    yield Text(words.work(results), style="dim")
    yield copied(f"files: {words.plain(str(folder))}")
    yield copied(f"signature: {signature(results)}")


def copied(line: str) -> Prose:
    """A line that is meant to be copied: wherever the terminal ends, no line break is put into it."""
    return Prose(Text(line, style="dim"), whole=True)


def show_check(found: ModelCheck) -> RenderableType:
    """A check of precisions: task by task, over all, and what it means."""
    *said, near = checked.meaning(found)
    return Group(
        Text(checked.headline(found), style="bold"),
        FittedTable(checked.section(found)),
        *map(Text, said),
        Text(near, style="dim"),
    )


def show_plan(cost: ComparisonCost, *, worded: Callable[[str], str] = str) -> RenderableType:
    """What a comparison would fetch, make and compute: each model's phases, then the cells if there are several.

    Args:
        cost: the plan.
        worded: what becomes of texts that speak of arguments and functions of Python.
    """
    parts: list[RenderableType] = [Text(words.plain(line)) for line in planned.needs(cost)]
    parts += [Text(""), FittedTable(planned.phases(cost))]
    if len(cost.medical.cells) > 1:
        parts += [Text(""), FittedTable(planned.cells(cost))]
    parts += [Text(""), *(Text(words.plain(line)) for line in planned.meaning(cost))]
    parts += [Text(words.plain(line)) for line in cost.detectable]
    parts += [Text(f"assumed: {words.plain(worded(line))}", style="yellow") for line in cost.assumed]
    parts += [Text(f"warning: {words.plain(worded(line))}", style="yellow") for line in cost.warnings]
    return Group(*parts)
