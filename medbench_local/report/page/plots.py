"""The small drawings in a table's rows, all on the one scale of their table: intervals around zero, and strips of dots.

Colours come from the page's style by class, so that they follow light, dark and print. The numbers that are drawn
stand in the same row as text: who listens to the page misses nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from medbench_local.results.choices import PromptChoice

if TYPE_CHECKING:
    from markupsafe import Markup

WIDTH, HEIGHT, AXIS = 260, 24, 18
"""Of a drawing and height of the numbers below it, in the page's pixels."""
MARGIN = 12
"""Left free at both ends, for marks and numbers."""
BEYOND = 7
"""How far the lines of the scale reach into the gaps between rows."""


@dataclass(frozen=True)
class Plot:
    """The drawings of one table.

    Attributes:
        heading: of their column.
        before: the name of the column that they stand before.
        rows: one drawing a row; empty for a row that has nothing to show.
        axis: the numbers of the scale.
    """

    heading: str
    before: str
    rows: tuple[Markup, ...]
    axis: Markup


@dataclass(frozen=True)
class Scale:
    """From values to places in a drawing.

    Attributes:
        low, high: the values at its ends.
        ticks: values that are marked.
    """

    low: float
    high: float
    ticks: tuple[float, ...]

    def x(self, value: float) -> float:
        """The place of a value; values beyond an end lie at that end."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round(MARGIN + share * (WIDTH - 2 * MARGIN), 2)


def scale(values: Iterable[float], *, least: float = 1.0) -> Scale:
    """A scale that shows all values, with some three to six round ticks.

    Args:
        values: what is shown; finite.
        least: the smallest width of the scale.
    """
    found = [*values]
    low, high = min(found, default=0.0), max(found, default=0.0)
    middle, width = (low + high) / 2, max(high - low, least)
    low, high = min(low, middle - width / 2), max(high, middle + width / 2)
    rough = width / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = min((power * factor for factor in (1, 2, 5, 10)), key=lambda size: abs(size - rough))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = tuple(round(number * step, 10) for number in range(first, last + 1))
    return Scale(ticks[0], ticks[-1], ticks)


@dataclass(frozen=True)
class Interval:
    """A difference with its interval, in points.

    Attributes:
        value, low, high: what is drawn.
        state: the verdict or outcome, which gives the colour.
        sure: drawn filled and solid, else hollow and dashed.
        margin: half the width of a band around zero; 0 for none.
    """

    value: float
    low: float
    high: float
    state: str
    sure: bool
    margin: float = 0.0


def interval(drawn: Interval, on: Scale) -> Markup:
    """One row of a forest plot."""
    middle, x = HEIGHT / 2, on.x
    parts = _grid(on)
    if drawn.margin:
        start = x(-drawn.margin)
        parts.append(
            _element("rect", "band", x=start, y=0, width=round(x(drawn.margin) - start, 2), height=HEIGHT)
        )
    parts.append(_line("zero", x(0), -BEYOND, x(0), HEIGHT + BEYOND))
    state = f"{drawn.state} {'sure' if drawn.sure else 'open'}"
    parts.append(_line(f"bar {state}", x(drawn.low), middle, x(drawn.high), middle))
    parts += [
        _line(f"end {state}", x(end), middle - 4, x(end), middle + 4) for end in (drawn.low, drawn.high)
    ]
    place = x(drawn.value)
    parts.append(_element("rect", f"mark {state}", x=place - 4, y=middle - 4, width=8, height=8))
    return _svg("plot", HEIGHT, parts)


def strip(choice: PromptChoice, role: str, on: Scale) -> Markup:
    """Every candidate's validation accuracy; nothing where none was scored."""
    from markupsafe import Markup

    scored = [(c.accuracy * 100, c) for c in choice.candidates if c.accuracy is not None and c.questions]
    if not scored:
        return Markup("")
    most, middle = max(c.questions for _, c in scored), HEIGHT / 2
    at: dict[float, list[int]] = {}
    for place, candidate in scored:
        at.setdefault(on.x(place), []).append(candidate.questions)
    parts = _grid(on)
    for place, questions in at.items():
        radius = round(2.5 + 0.8 * math.sqrt(len(questions) - 1), 2)
        faint = round(0.25 + 0.5 * max(questions) / most, 2)
        parts.append(_element("circle", f"dot {role}", cx=place, cy=middle, r=radius, fill_opacity=faint))
    for place in sorted({on.x(value) for value, c in scored if c.format == "default"}):
        parts.append(_line("default", place, middle - 8, place, middle + 8))
    if choice.validation_accuracy is not None:
        parts.append(
            _element("circle", "chosen", cx=on.x(choice.validation_accuracy * 100), cy=middle, r=6.5)
        )
    return _svg("plot", HEIGHT, parts)


def axis(on: Scale, *, signed: bool) -> Markup:
    """The numbers of a scale, for below its drawings."""
    parts: list[Markup] = []
    for tick in on.ticks:
        text = f"{tick:+g}" if signed and tick else f"{tick:g}"
        parts.append(_line("grid", on.x(tick), 0, on.x(tick), 4))
        parts.append(_element("text", "tick", text, x=on.x(tick), y=AXIS - 3))
    return _svg("axis", AXIS, parts)


def _grid(on: Scale) -> list[Markup]:
    return [_line("grid", on.x(tick), -BEYOND, on.x(tick), HEIGHT + BEYOND) for tick in on.ticks]


def _svg(name: str, height: int, parts: Sequence[Markup]) -> Markup:
    from markupsafe import Markup

    body = Markup("").join(parts)
    return Markup(
        '<svg class="{}" viewBox="0 0 {} {}" width="{}" height="{}" aria-hidden="true">{}</svg>'
    ).format(name, WIDTH, height, WIDTH, height, body)


def _line(name: str, x1: float, y1: float, x2: float, y2: float) -> Markup:
    return _element("line", name, x1=x1, y1=y1, x2=x2, y2=y2)


def _element(tag: str, name: str, text: str = "", **attributes: float) -> Markup:
    from markupsafe import Markup

    numbers: Mapping[str, float] = attributes
    written = Markup("").join(
        Markup(' {}="{:g}"').format(key.replace("_", "-"), value) for key, value in numbers.items()
    )
    return Markup('<{} class="{}"{}>{}</{}>').format(tag, name, written, text, tag)
