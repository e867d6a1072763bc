"""Figures as SVG text for the HTML report: the same results give the same bytes.

Text stays text, so that the page's own fonts draw every script, and it can be searched and read aloud.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from medbench_local.report import words
from medbench_local.results.choices import PromptChoice
from medbench_local.results.schema import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SVG = "http://www.w3.org/2000/svg"
XLINK = "http://www.w3.org/1999/xlink"

WIDTH = 5.4
"""Inches. Narrow, so that the text is still legible where the page is a phone."""
ROW = 0.46
"""Inches a row: a line of text above its mark."""
LABEL = 40
"""Most characters of a label; the tables have the whole name."""

INK, QUIET, LINE = "#1f2933", "#52606d", "#d5dbe1"
COLOURS = {"win": "#1a7f37", "loss": "#c0262d", "tie": "#52606d", "not verified": "#b26a00"}
COLOURS |= {"equivalent": "#1a7f37", "different": "#c0262d", "inconclusive": "#b26a00"}
MARKS = {"win": ">", "loss": "<", "tie": "o", "not verified": "X"}
MARKS |= {"equivalent": "o", "different": "D", "inconclusive": "X"}
SIDES = {"medical": "#0b6e8a", "base": "#8a5a0b"}

STYLE: dict[str, Any] = {
    "svg.hashsalt": "medbench-local",
    "svg.fonttype": "none",
    "svg.id": None,
    "text.parse_math": False,
    "axes.unicode_minus": False,
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "text.color": INK,
    "xtick.color": QUIET,
    "axes.edgecolor": LINE,
    "axes.labelcolor": QUIET,
    "savefig.transparent": True,
}


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        title: its heading.
        caption: how to read it.
        svg: an ``<svg>`` element.
    """

    title: str
    caption: str
    svg: str


@dataclass(frozen=True)
class _Interval:
    """A value with its interval, all in percentage points; ``band`` is the margin around zero, if any."""

    label: str
    state: str
    value: float
    low: float
    high: float
    band: float | None = None


def figures(results: Results) -> list[Figure]:
    """Those figures of the run that have something to show."""
    found = [_forest(results), _equivalence(results), _candidates(results)]
    return [figure for figure in found if figure is not None]


def _forest(results: Results) -> Figure | None:
    rows = [
        _Interval(words.cell(c), c.reported, c.difference * 100, c.ci[0] * 100, c.ci[1] * 100)
        for c in results.comparisons
    ]
    if not rows:
        return None
    svg = _draw(
        len(rows),
        lambda axes: _intervals(axes, rows, "accuracy of medical minus base, percentage points"),
        "Differences with their intervals",
        "; ".join(f"{r.label}: {words.points(r.value / 100)} points, {r.state}" for r in rows),
        "forest",
    )
    caption = (
        f"Each bar is the {results.confidence * 100:g} % interval of one difference. To the right of the zero line "
        "the medical model is better. Arrowheads: win or loss; circle: tie; cross: not verified."
    )
    return Figure("Accuracy differences", caption, svg)


def _equivalence(results: Results) -> Figure | None:
    rows = []
    for comparison in results.comparisons:
        check = comparison.equivalence
        sides = {"medical": check.medical, "base": check.base} if check is not None else {}
        for role, side in sides.items():
            if side is not None:
                label = f"{words.cell(comparison)}, {role}"
                low, high = side.ci[0] * 100, side.ci[1] * 100
                rows.append(
                    _Interval(label, side.outcome, side.difference * 100, low, high, side.margin * 100)
                )
    if not rows:
        return None
    svg = _draw(
        len(rows),
        lambda axes: _intervals(axes, rows, "accuracy quantised minus full precision, percentage points"),
        "Differences between precisions",
        "; ".join(f"{r.label}: {words.points(r.value / 100)} points, {r.state}" for r in rows),
        "equivalence",
    )
    caption = (
        "What quantisation did to each model's accuracy. Equivalent: the whole interval lies inside the shaded "
        "margin. Cross: inconclusive; diamond: different."
    )
    return Figure("Equivalence of precisions", caption, svg)


def _candidates(results: Results) -> Figure | None:
    rows = [
        (f"{words.cell(c)}, {role}", role, choice)
        for c in results.comparisons
        for role, choice in (("medical", c.prompt.medical), ("base", c.prompt.base))
        if any(candidate.accuracy is not None for candidate in choice.candidates)
    ]
    if not rows:
        return None

    def draw(axes: Axes) -> None:
        for place, (label, role, choice) in enumerate(rows):
            _strip(axes, -place, label, role, choice)
        axes.set_xlabel("validation accuracy, %")

    svg = _draw(
        len(rows),
        draw,
        "Validation accuracy of every candidate",
        "; ".join(f"{label}: {_spoken(choice)}" for label, _, choice in rows),
        "candidates",
    )
    caption = (
        "Every prompt that was tried: dots are candidates, larger where several meet, fainter where they were scored "
        "on fewer validation questions; the ring is the chosen one, a bar marks the default format. The wider a "
        "strip, the more an accuracy hangs on the prompt, or on chance where there are few questions: the chosen one "
        "is the best on these very questions, and other questions will show less of its lead."
    )
    return Figure("Prompt candidates", caption, svg)


def _spoken(choice: PromptChoice) -> str:
    scores = [c.accuracy for c in choice.candidates if c.accuracy is not None]
    return f"{words.percent(min(scores))} to {words.percent(max(scores))}, chosen {words.prompt(choice)}"


def _intervals(axes: Axes, rows: Sequence[_Interval], what: str) -> None:
    for place, row in enumerate(rows):
        y, colour = -place, COLOURS[row.state]
        if row.band is not None:
            axes.fill_betweenx(
                [y - 0.44, y + 0.02], -row.band, row.band, color="#e3f1e7", linewidth=0, zorder=0
            )
        axes.plot([0, 0], [y - 0.44, y + 0.02], color=INK, linewidth=1)
        axes.plot([row.low, row.high], [y - 0.2] * 2, color=colour, linewidth=2.4, solid_capstyle="butt")
        hollow = "white" if row.state in ("tie", "not verified", "inconclusive") else colour
        axes.plot(
            [row.value], [y - 0.2], MARKS[row.state], color=colour, markerfacecolor=hollow, markersize=7
        )
        numbers = f"{words.points(row.value / 100)}  {row.state}"
        _label(axes, y, row.label, numbers, colour)
    reach = max(max(abs(r.low), abs(r.high), abs(r.value), 1.3 * (r.band or 0)) for r in rows)
    axes.set_xlim(-1.08 * max(reach, 0.5), 1.08 * max(reach, 0.5))
    axes.set_xlabel(what)


def _strip(axes: Axes, y: int, label: str, role: str, choice: PromptChoice) -> None:
    from matplotlib.colors import to_rgba

    colour = SIDES[role]
    scored = [(c.accuracy * 100, c) for c in choice.candidates if c.accuracy is not None and c.questions]
    most = max((c.questions for _, c in scored), default=1)
    at: dict[float, list[int]] = {}
    for x, candidate in scored:
        at.setdefault(x, []).append(candidate.questions)
    axes.scatter(
        list(at),
        [y - 0.2] * len(at),
        s=[16 + 10 * (len(questions) - 1) ** 0.5 for questions in at.values()],
        c=[to_rgba(colour, 0.2 + 0.5 * max(questions) / most) for questions in at.values()],
        linewidths=0,
    )
    defaults = sorted({x for x, candidate in scored if candidate.format == "default"})
    axes.plot(defaults, [y - 0.2] * len(defaults), "|", color=INK, markersize=11)
    if choice.validation_accuracy is not None:
        best = choice.validation_accuracy * 100
        axes.plot(
            [best], [y - 0.2], "o", color=INK, markerfacecolor="none", markersize=10, markeredgewidth=1.6
        )
        _label(axes, y, label, f"{best:.1f} %", colour)
    else:
        _label(axes, y, label, "", colour)


def _label(axes: Axes, y: int, label: str, value: str, colour: str) -> None:
    """The name of a row at the left edge and its value at the right one, above its mark."""
    place = axes.get_yaxis_transform()
    axes.text(0, y + 0.2, words.shortened(label, LABEL), transform=place, va="center", ha="left")
    axes.text(1, y + 0.2, value, transform=place, va="center", ha="right", color=colour)


def _draw(rows: int, draw: Callable[[Axes], None], title: str, text: str, name: str) -> str:
    """The SVG of a figure of ``rows`` rows; nothing in its layout depends on the size of a text."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure as Canvas

    height = rows * ROW + 0.6
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # the reader's fonts draw the text, not these
        canvas = Canvas(figsize=(WIDTH, height))
        FigureCanvasSVG(canvas)
        axes = canvas.add_axes((0.02, 0.55 / height, 0.96, rows * ROW / height))
        axes.set_ylim(0.5 - rows, 0.5)
        axes.yaxis.set_visible(False)
        axes.tick_params(axis="x", length=3)
        for side in ("left", "right", "top"):
            axes.spines[side].set_visible(False)
        axes.patch.set_visible(False)
        for place in range(1, rows):
            axes.axhline(0.5 - place, color=LINE, linewidth=0.6, zorder=0)
        draw(axes)
        file = io.StringIO()
        canvas.savefig(
            file, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
        )
    return _inline(file.getvalue(), title, text, name)


def _inline(svg: str, title: str, text: str, name: str) -> str:
    """An SVG file as an element of a page: no prologue, a name for who listens, no id used twice."""
    ElementTree.register_namespace("", SVG)
    ElementTree.register_namespace("xlink", XLINK)
    root = ElementTree.fromstring(svg)
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{{{SVG}}}metadata", f"{{{SVG}}}style"):
                parent.remove(child)
    used = {
        value[start + 1 :].rstrip(")")
        for element in root.iter()
        for value in element.attrib.values()
        if (start := value.find("#")) >= 0 and (value.startswith(("#", "url(#")))
    }
    for element in root.iter():
        if (own := element.get("id")) is not None:
            if own in used:
                element.set("id", f"{name}-{own}")
            else:
                del element.attrib["id"]
        for key, value in element.attrib.items():
            if value.startswith("url(#"):
                element.set(key, f"url(#{name}-{value[5:]}")
            elif key == f"{{{XLINK}}}href" and value.startswith("#"):
                element.set(key, f"#{name}-{value[1:]}")
    root.attrib.pop("width", None)
    root.attrib.pop("height", None)
    root.set("role", "img")
    root.set("aria-labelledby", f"{name}-title {name}-text")
    for place, (kind, content) in enumerate((("title", title), ("desc", text))):
        element = ElementTree.Element(f"{{{SVG}}}{kind}", {"id": f"{name}-{('title', 'text')[place]}"})
        element.text = content
        root.insert(place, element)
    return ElementTree.tostring(root, encoding="unicode")
