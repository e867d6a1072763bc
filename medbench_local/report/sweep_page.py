"""A sweep as one HTML file: nothing from outside, no script, every name escaped.

What a browser may use is in the file: its policy names the hash of the one style sheet. Hence no style attributes:
colours are classes, and the bars of the forest plots are numbers in attributes of SVG elements.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from medbench_local.report import clusters, sections, sweep_sections, words
from medbench_local.report.badge import sweep_badge
from medbench_local.report.identity import sweep_signature
from medbench_local.report.section import Section
from medbench_local.report.sweep_markdown import HEADING
from medbench_local.report.sweep_sections import Grid, grid
from medbench_local.results.folder import Run
from medbench_local.results.schema import Comparison
from medbench_local.results.sweep import Sweep

TEMPLATE = Path(__file__).with_name("sweep_page.html")
STYLE = Path(__file__).with_name("sweep_page.css")

STEPS = (1.0, 3.0, 6.0, 10.0)
"""Percentage points from which a field of the heat map has the next deeper colour."""


@dataclass(frozen=True)
class Field:
    """One field of the heat map.

    Attributes:
        text: the difference; "" where the pair lacks the task.
        verdict: in words.
        depth: class of its colour, "down-4" to "up-4", or "level".
    """

    text: str
    verdict: str
    depth: str


@dataclass(frozen=True)
class Map:
    """The heat map of one number of shots, as a table."""

    title: str
    note: str
    tasks: tuple[str, ...]
    rows: tuple[tuple[tuple[str, str], tuple[Field, ...]], ...]


@dataclass(frozen=True)
class Bar:
    """One line of a forest plot; all numbers but the texts in percentage points."""

    task: str
    n: str
    value: float
    low: float
    high: float
    difference: str
    verdict: str
    state: str


@dataclass(frozen=True)
class Forest:
    """The forest plot of one pair and one number of shots; ``reach`` is where its axis ends on both sides."""

    title: str
    reach: int
    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class Pair:
    """Everything about one pair."""

    anchor: str
    title: str
    settings: str
    facts: tuple[str, ...]
    warnings: tuple[str, ...]
    forests: tuple[Forest, ...]
    tables: tuple[Section, ...]


def html(found: Sweep) -> str:
    """The text of a sweep's ``report.html``."""
    from jinja2 import StrictUndefined  # slow to import
    from jinja2.sandbox import ImmutableSandboxedEnvironment
    from markupsafe import Markup

    environment = ImmutableSandboxedEnvironment(autoescape=True, undefined=StrictUndefined)
    environment.filters["state"] = _class
    style = STYLE.read_text(encoding="utf-8")
    return (
        environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
            title=HEADING,
            state=sweep_sections.state_of(found),
            partial=bool(found.missing),
            style=Markup(style),  # this package's own; its hash is of these very bytes
            style_hash=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
            rates=sweep_sections.rates(found),
            maps=[_map(found, summary.shots) for summary in found.summaries],
            ablations=sweep_sections.ablations(found),
            study=sweep_sections.study(found),
            pairs=[_pair(number, run, _reach(found)) for number, run in enumerate(found.runs, start=1)],
            runs=sweep_sections.runs(found),
            commands=sweep_sections.commands(found),
            signature=sweep_signature(found),
            badge=sweep_badge(found),
        )
        + "\n"
    )


def _map(found: Sweep, shots: int) -> Map:
    cells: Grid = grid(found, shots)
    (table,) = (one for one in sweep_sections.differences(found) if one.title.endswith(f" {shots}-shot"))
    return Map(
        f"{shots}-shot",
        table.note,
        tuple(words.isolated(words.plain(task)) for task in cells.tasks),
        tuple((pair, tuple(map(_field, row))) for pair, row in zip(cells.pairs, cells.rows, strict=True)),
    )


def _field(comparison: Comparison | None) -> Field:
    if comparison is None:
        return Field("", "", "level")
    depth = sum(abs(comparison.difference) * 100 >= step for step in STEPS)
    side = "up" if comparison.difference > 0 else "down"
    said = comparison.verdict + ("" if comparison.verified else "?")
    return Field(words.points(comparison.difference), said, f"{side}-{depth}" if depth else "level")


def _reach(found: Sweep) -> int:
    """Percentage points at which the axis of every forest plot ends: one scale, so that pairs can be held together."""
    bounds = [abs(bound) * 100 for run in found.runs for c in run.results.comparisons for bound in c.ci]
    return max(1, -(-int(10 * max(bounds, default=1)) // 10) + 1)


def _pair(number: int, run: Run, reach: int) -> Pair:
    results = run.results
    shots = sorted({c.shots for c in results.comparisons})
    return Pair(
        f"pair-{number}",
        words.title(results),
        words.settings(results),
        (*words.rates(results), *words.verification(results), *clusters.differences(results)),
        tuple(map(words.plain, results.warnings)),
        tuple(
            Forest(
                f"{n}-shot",
                reach,
                tuple(_bar(c, results.confidence) for c in results.comparisons if c.shots == n),
            )
            for n in shots
        ),
        tuple(sections.evidence(results)),
    )


def _bar(c: Comparison, confidence: float) -> Bar:
    said = words.verdict(c, confidence)
    return Bar(
        words.task(c),
        f"{c.n:,}",
        round(c.difference * 100, 3),
        round(c.ci[0] * 100, 3),
        round(c.ci[1] * 100, 3),
        f"{words.points(c.difference)} {words.interval(c.ci)}",
        said,
        words.state(said),
    )


_STATES: Sequence[str] = ("win", "tie", "loss", "not verified")


def _class(text: str) -> str:
    """The class of a verdict; "" for anything else."""
    name = words.state(text)
    return name.replace(" ", "-") if name in _STATES else ""
