"""A run on the terminal: one row a comparison, the summary, what to know, where the files are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.text import Text

from medbench_local.report import checked, clusters, sections, words
from medbench_local.report.grid import Grid, GridColumn
from medbench_local.report.identity import signature
from medbench_local.report.screen import Prose
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


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:,.1f} h" if seconds >= 360 else f"{seconds / 60:.1f} min"


def show_plan(cost: ComparisonCost, *, worded: Callable[[str], str] = str) -> RenderableType:
    """What a comparison would fetch, make and compute.

    Args:
        cost: the plan.
        worded: what becomes of texts that speak of arguments and functions of Python.
    """
    rows: list[tuple[str, ...]] = []
    parts: list[RenderableType] = []
    for model in (cost.medical, cost.base):
        here = "ready" if model.ready else f"{model.download / 1e9:.2f} GB to fetch"
        parts.append(
            Text(f"{model.name} at {model.precision}: {here}, {model.disk / 1e9:.2f} GB of disk still needed")
        )
    for medical, base in zip(cost.medical.cells, cost.base.cells, strict=True):
        rows.append(
            (
                f"{words.plain(medical.task)}, {medical.shots}-shot",
                f"{medical.candidates} / {base.candidates}",
                f"{medical.selection_prompts:,} / {base.selection_prompts:,}",
                f"{medical.test_prompts:,} / {base.test_prompts:,}",
                f"{medical.check_expected:,} to {medical.check_most:,}" if medical.check_most else "none",
                f"{medical.tokens + medical.written + base.tokens + base.written:,}",
            )
        )
    numbers = ("candidates", "validation prompts", "test prompts", "check", "tokens, at most")
    columns = (Column("cell", name_of_row=True), *(Column(name, numeric=True) for name in numbers))
    total = cost.medical.tokens + cost.base.tokens
    expected = cost.medical.tokens_expected + cost.base.tokens_expected
    if cost.seconds is not None and cost.seconds_most is not None:
        hours = (
            f"about {_hours(cost.seconds)}, at most {_hours(cost.seconds_most)} of decoding on this machine"
        )
    else:
        hours = "at most " + "; ".join(
            f"{total / speed / 3600:.1f} h at {speed:,} tokens a second" for speed in (200, 500, 2000)
        )
    tried = len(cost.precisions)
    over = f" over {tried} precisions" if tried > 1 else ""
    written = sum(c.written for model in (cost.medical, cost.base) for c in model.cells)
    parts += [
        FittedTable(Section("", "", columns, tuple(rows))),
        Text(
            f"about {expected:,} tokens, {total:,} at most{over} (estimated from the texts' length); {hours}"
        ),
    ]
    if cost.pictures:
        parts.append(Text(f"{cost.pictures:,} pictures, each encoded once, a second or two each"))
    if written:
        parts.append(
            Text(f"{written:,} of these at most are written one after another, while the models think")
        )
    parts += [Text(words.plain(line)) for line in cost.detectable]
    parts += [Text(f"assumed: {words.plain(worded(line))}", style="yellow") for line in cost.assumed]
    parts += [Text(f"warning: {words.plain(worded(line))}", style="yellow") for line in cost.warnings]
    return Group(*parts)
