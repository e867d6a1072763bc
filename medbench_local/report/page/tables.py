"""The tables of the page: cells with their classes, and drawings where a table has some."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from medbench_local.report import words
from medbench_local.report.page import plots
from medbench_local.report.section import Column, Section
from medbench_local.results.schema import Comparison, Results

if TYPE_CHECKING:
    from markupsafe import Markup

STATES = ("win", "tie", "loss", "not verified", "equivalent", "different", "inconclusive")
"""Words that are coloured, each with a class of its own in the page's style."""


@dataclass(frozen=True)
class Cell:
    """One cell.

    Attributes:
        text: what it says.
        label: the heading of its column, for where the columns stand below each other.
        kind: class of the cell.
        state: class of its text.
        plot: a drawing in the place of a text.
    """

    text: str
    label: str
    kind: str
    state: str = ""
    plot: Markup | None = None


@dataclass(frozen=True)
class Table:
    """One table.

    Attributes:
        title: its name.
        headings: text and class of each column.
        rows: in order.
        axis: the numbers below the drawings; None without drawings.
        columns_before, columns_after: how many columns stand before and after the drawings.
        note: how to read it.
    """

    title: str
    headings: tuple[tuple[str, str], ...]
    rows: tuple[tuple[Cell, ...], ...]
    axis: Markup | None
    columns_before: int
    columns_after: int
    note: str


def state(text: str) -> str:
    """The class of a verdict or an outcome; "" for anything else."""
    name = words.state(text)
    return name.replace(" ", "-") if name in STATES else ""


def table(section: Section, plot: plots.Plot | None = None) -> Table:
    """A section as the page shows it; names that a blank repeats are written out, because rows can be sorted."""
    names = [column.name for column in section.columns]
    place = len(names) if plot is None else names.index(plot.before)
    headings = [(column.heading, _kind(column, column.heading)) for column in section.columns]
    rows = []
    above: tuple[str, ...] = ()
    for number, row in enumerate(section.rows):
        cells = [
            _cell(column, text, above[i] if above else "")
            for i, (column, text) in enumerate(zip(section.columns, row, strict=True))
        ]
        above = tuple(cell.text for cell in cells)
        if plot is not None:
            cells.insert(place, Cell("", plot.heading, "drawing", plot=plot.rows[number]))
        rows.append(tuple(cells))
    if plot is not None:
        headings.insert(place, (plot.heading, "drawing"))
    axis = None if plot is None else plot.axis
    return Table(section.title, tuple(headings), tuple(rows), axis, place, len(names) - place, section.note)


LONGEST = 24
"""Letters of a word that a column may have to give room; longer ones are broken anywhere."""


def _kind(column: Column, text: str) -> str:
    kind = "number" if column.numeric else "name" if column.name_of_row else "said"
    return f"{kind} odd" if any(len(word) > LONGEST for word in text.split()) else kind


def _cell(column: Column, text: str, above: str) -> Cell:
    text = " ".join(text.split())
    if column.name_of_row and not text:
        return Cell(above, column.heading, "name again")
    kind = _kind(column, text) if text else f"{_kind(column, text)} empty"
    return Cell(text, column.heading, kind, f"state {state(text)}".rstrip() if column.state else "")


def forest(section: Section, shown: Sequence[Comparison], on: plots.Scale) -> Table:
    """A table of verdicts with the interval of each."""
    rows = tuple(
        plots.interval(
            plots.Interval(
                c.difference * 100,
                c.ci[0] * 100,
                c.ci[1] * 100,
                c.verdict,
                sure=c.verified and "doubtful" not in section.rows[number][-1],
            ),
            on,
        )
        for number, c in enumerate(shown)
    )
    heading = "base better ← 0 → medical better"
    return table(section, plots.Plot(heading, "verdict", rows, plots.axis(on, signed=True)))


def equivalence(results: Results) -> Table | None:
    """What quantisation did to each model's accuracy, where every question was answered at both precisions."""
    found = [
        (words.cell(c), role, side)
        for c in results.comparisons
        if c.equivalence is not None
        for role, side in (("medical", c.equivalence.medical), ("base", c.equivalence.base))
        if side is not None
    ]
    if not found:
        return None
    confidence = found[0][2].confidence
    columns = (
        Column("comparison", name_of_row=True),
        Column("model"),
        Column("questions", numeric=True),
        Column("other predictions", numeric=True),
        Column("difference", numeric=True, full=f"difference [{confidence * 100:g} % interval], points"),
        Column("margin", numeric=True, full="margin, points"),
        Column("outcome", state=True),
    )
    rows = tuple(
        (
            name if place == 0 or found[place - 1][0] != name else "",
            role,
            f"{side.n:,}",
            f"{side.flips:,}",
            f"{words.points(side.difference)} {words.interval(side.ci)}",
            f"±{side.margin * 100:.1f}",
            side.outcome,
        )
        for place, (name, role, side) in enumerate(found)
    )
    drawn = [
        plots.Interval(
            side.difference * 100,
            side.ci[0] * 100,
            side.ci[1] * 100,
            side.outcome,
            sure=side.outcome != "inconclusive",
            margin=side.margin * 100,
        )
        for _, _, side in found
    ]
    on = plots.scale(
        [bound for d in drawn for bound in (d.low, d.high, d.value, -d.margin * 1.2, d.margin * 1.2)]
    )
    note = (
        "Accuracy quantised minus accuracy at full precision. Equivalent: the whole interval lies inside the margin, "
        "which is shaded. Inconclusive: too few questions to tell."
    )
    plot = plots.Plot(
        "less accurate ← 0 → more accurate",
        "outcome",
        tuple(plots.interval(d, on) for d in drawn),
        plots.axis(on, signed=True),
    )
    return table(Section("Equivalence of precisions", note, columns, rows), plot)


def prompts(section: Section, results: Results) -> Table:
    """The chosen prompts, with the validation accuracy of every candidate where candidates were tried."""
    choices = [
        (role, choice)
        for c in results.comparisons
        for role, choice in (("medical", c.prompt.medical), ("base", c.prompt.base))
    ]
    values = [
        candidate.accuracy * 100
        for _, choice in choices
        for candidate in choice.candidates
        if candidate.accuracy is not None
    ]
    if not values:
        return table(section)
    on = plots.scale(values)
    rows = tuple(plots.strip(choice, role, on) for role, choice in choices)
    plot = plots.Plot(
        "validation accuracy of every candidate, %", "validation*", rows, plots.axis(on, signed=False)
    )
    return table(section, plot)
