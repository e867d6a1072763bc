"""Figures for a paper, as SVG and PDF: a heat map of pairs and tasks, and forest plots.

They are as wide as a page's text, or a column's, and have no colour that a grey print needs: numbers, marks and their
filling say what the colour says. Equal results give the same bytes. Matplotlib draws both forms; a converter of SVG
files would be one more library, with others of the system below it.
"""

from __future__ import annotations

import io
import math
import textwrap
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from medbench_local.report import words
from medbench_local.report.sweep_sections import Grid, grid
from medbench_local.results.schema import Comparison
from medbench_local.results.sweep import Sweep

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

PAGE, COLUMN = 7.0, 3.5
"""Inches: the text of a page of two columns, and one of its columns."""

TASK_LABEL, PAIR_LABEL = 26, 24
"""Most characters of a label; the tables have the whole name."""

INK, QUIET, LINE = "#1a1a1a", "#555555", "#d0d0d0"
COLOURS = {"win": "#00619b", "loss": "#b3450b", "tie": "#555555", "not verified": "#555555"}
"""Blue and orange, which most colour-blind readers tell apart; the marks do not need them."""
MARKS = {"win": ">", "loss": "<", "tie": "o", "not verified": "x"}
MAP = ("#b3450b", "#e98e4c", "#f6cfae", "#f7f7f7", "#b9d7ea", "#5aa2cf", "#00619b")
"""From losses to wins; as light at both ends, so that a grey print shows the size and the number shows the sign."""

LEAST_REACH = 10.0
"""Points at which the colours of the heat map end at least: no small difference looks like a large one."""

TURNED = 60
"""Degrees by which names of tasks are turned."""

CHARACTER = 0.049
"""Inches, the width of a character of a note on average."""

OTHER_FONTS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans", "Noto Sans Arabic", "Noto Sans Hebrew", "Noto Sans Devanagari",
    "Microsoft YaHei", "Segoe UI", "Segoe UI Symbol", "PingFang SC", "Hiragino Sans", "Arial Unicode MS",
)  # fmt: skip
"""For scripts that the first font lacks, where a system has them."""

STYLE: dict[str, Any] = {
    "svg.hashsalt": "medbench-local",
    "svg.fonttype": "none",
    "pdf.fonttype": 42,  # text that can be searched and copied
    "text.parse_math": False,
    "axes.unicode_minus": False,
    "font.size": 7,
    "text.color": INK,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "xtick.color": QUIET,
    "xtick.major.width": 0.6,
}


@dataclass(frozen=True)
class PaperFigure:
    """One figure in both forms.

    Attributes:
        name: of its files, without the ending.
        svg, pdf: their contents.
    """

    name: str
    svg: bytes
    pdf: bytes


def paper_figures(found: Sweep) -> list[PaperFigure]:
    """A heat map and a forest plot for each number of shots.

    Args:
        found: a sweep; a run is one of a single pair.
    """
    figures = []
    for summary in found.summaries:
        cells = grid(found, summary.shots)
        level = "/".join(dict.fromkeys(f"{run.results.confidence * 100:g}" for run in found.runs))
        for name, draw in (("heat-map", _heat_map), ("forest", _forest)):
            figures.append(_drawn(f"{name}-{summary.shots}-shot", draw, cells, level))
    return figures


def _drawn(name: str, draw: Callable[[Grid, str], Canvas], cells: Grid, level: str) -> PaperFigure:
    import matplotlib

    fonts = {"font.family": _fonts()}
    with matplotlib.rc_context(STYLE | fonts), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # of scripts that the font lacks
        canvas = draw(cells, level)
        svg, pdf = io.BytesIO(), io.BytesIO()
        nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
        canvas.savefig(svg, format="svg", metadata=nothing)
        canvas.savefig(pdf, format="pdf", metadata={"CreationDate": None, "Creator": None, "Producer": None})
    return PaperFigure(name, svg.getvalue(), pdf.getvalue())


def _fonts() -> list[str]:
    """DejaVu Sans, which matplotlib brings along, and those of `OTHER_FONTS` that are installed."""
    from matplotlib.font_manager import fontManager

    installed = {font.name for font in fontManager.ttflist}
    return ["DejaVu Sans", *(name for name in OTHER_FONTS if name in installed)]


def _wrapped(note: str, width: float) -> str:
    """A note in lines that fit into ``width`` inches."""
    return textwrap.fill(note, max(20, int(width / CHARACTER)))


def _canvas(width: float, height: float) -> Canvas:
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    canvas = Figure(figsize=(width, height))
    FigureCanvasSVG(canvas)
    return canvas


def _heat_map(cells: Grid, level: str) -> Canvas:
    """Every difference in a field coloured by its size, with the number and the verdict in words."""
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    left, top = 1.45, 1.35  # inches: names of pairs, of tasks
    tasks = [_short(task, TASK_LABEL) for task in cells.tasks]
    column, right = _columns_that_fit(tasks, PAGE - left)
    row = 0.36
    width = left + column * len(tasks) + right
    note = f"Medical minus base, percentage points; win, loss: the {level} % interval lies above, below 0."
    if open_ones := [c for c in cells.comparisons if not c.verified]:
        note += f" ?: {words.open_word(open_ones)} at full precision."
    note = _wrapped(note, width - 0.1)
    bottom = 0.2 + 0.12 * len(note.splitlines())
    height = top + row * len(cells.pairs) + bottom
    canvas = _canvas(width, height)
    axes = canvas.add_axes(
        (left / width, bottom / height, column * len(cells.tasks) / width, row * len(cells.pairs) / height)
    )
    reach = max([LEAST_REACH, *(abs(c.difference) * 100 for c in cells.comparisons)])
    colours, scale = LinearSegmentedColormap.from_list("differences", MAP), Normalize(-reach, reach)
    for y, own in enumerate(cells.rows):
        for x, comparison in enumerate(own):
            _field(axes, x, y, comparison, colours, scale)
    axes.set_xlim(0, len(cells.tasks))
    axes.set_ylim(len(cells.pairs), 0)
    axes.axis("off")
    for y, (medical, base) in enumerate(cells.pairs):
        axes.text(-0.12, y + 0.32, _short(medical, PAIR_LABEL), ha="right", va="center", fontsize=6.5)
        text = f"against {_short(base, PAIR_LABEL)}"
        axes.text(-0.12, y + 0.7, text, ha="right", va="center", fontsize=5.5, color=QUIET)
    for x, task in enumerate(tasks):
        axes.text(x + 0.5, -0.12, task, rotation=TURNED, rotation_mode="anchor", ha="left", fontsize=6.5)
    canvas.text(0.05 / width, 0.05 / height, note, va="bottom", fontsize=6, color=QUIET)
    return canvas


def _columns_that_fit(tasks: Sequence[str], room: float) -> tuple[float, float]:
    """Inches of a column of the heat map, and of what turned names need to the right of the last one."""
    column, right = 0.55, 0.1
    for _ in range(
        3
    ):  # narrower columns leave less of the names above the others; names are larger than notes
        reaches = [
            1.15 * len(task) * CHARACTER * math.cos(math.radians(TURNED))
            - (len(tasks) - place - 0.5) * column
            for place, task in enumerate(tasks)
        ]
        right = max([0.1, *reaches])
        column = min(0.55, (room - right) / max(len(tasks), 1))
    return column, right


def _field(axes: Axes, x: int, y: int, comparison: Comparison | None, colours: Any, scale: Any) -> None:
    from matplotlib.patches import Rectangle

    if comparison is None:
        axes.text(x + 0.5, y + 0.5, "–", ha="center", va="center", color=QUIET)
        return
    value = comparison.difference * 100
    red, green, blue, _ = colour = colours(scale(value))
    axes.add_patch(Rectangle((x, y), 1, 1, facecolor=colour, edgecolor="white", linewidth=1))
    ink = "white" if 0.299 * red + 0.587 * green + 0.114 * blue < 0.5 else INK
    settled = comparison.verdict != "tie" and comparison.verified
    weight = "bold" if settled else "normal"
    axes.text(
        x + 0.5,
        y + 0.36,
        words.points(value / 100),
        ha="center",
        va="center",
        color=ink,
        weight=weight,
        fontsize=6.5,
    )
    said = comparison.verdict + ("" if comparison.verified else "?")
    axes.text(x + 0.5, y + 0.74, said, ha="center", va="center", color=ink, weight=weight, fontsize=5.5)


def _forest(cells: Grid, level: str) -> Canvas:
    """A panel a pair, a row a task; all panels have the same scale."""
    across = min(4, len(cells.pairs))
    down = -(-len(cells.pairs) // across)
    row, head, left, gap = 0.145, 0.36, 1.3, 0.1
    panel = (PAGE - left - 0.05 - gap * (across - 1)) / max(across, 2)
    inner = row * len(cells.tasks)
    width = left + across * panel + gap * (across - 1) + 0.05
    note = (
        f"Medical minus base, percentage points, with {level} % interval. Filled triangle: win (right), loss (left); "
        "circle: tie"
    )
    if open_ones := [c for c in cells.comparisons if not c.verified]:
        note += f"; cross: {words.open_word(open_ones)}"
    note = _wrapped(f"{note}.", width - 0.1)
    height = down * (inner + head) + 0.3 + 0.12 * len(note.splitlines())
    canvas = _canvas(width, height)
    reach = 1.08 * max((abs(bound) * 100 for c in cells.comparisons for bound in c.ci), default=1)
    for number, (pair, own) in enumerate(zip(cells.pairs, cells.rows, strict=True)):
        y, x = divmod(number, across)
        place = (
            (left + x * (panel + gap)) / width,
            1 - ((y + 1) * (inner + head)) / height,
            panel / width,
            inner / height,
        )
        axes = canvas.add_axes(place)
        lowest = number + across >= len(cells.pairs)
        _panel(axes, pair, own, max(reach, 0.5), lowest=lowest)
        if x == 0:
            for line, task in enumerate(cells.tasks):
                beside = axes.get_yaxis_transform()
                name = _short(task, TASK_LABEL)
                axes.text(-0.03, line, name, transform=beside, ha="right", va="center", fontsize=6)
    canvas.text(0.05 / width, 0.05 / height, note, va="bottom", fontsize=6, color=QUIET)
    return canvas


def _panel(
    axes: Axes, pair: tuple[str, str], own: Sequence[Comparison | None], reach: float, *, lowest: bool
) -> None:
    axes.axvline(0, color=INK, linewidth=0.6, zorder=1)
    for line, comparison in enumerate(own):
        if line % 2:
            axes.axhspan(line - 0.5, line + 0.5, color="#f3f3f3", linewidth=0, zorder=0)
        if comparison is None:
            continue
        state = comparison.reported
        colour = COLOURS[state]
        low, high = (bound * 100 for bound in comparison.ci)
        axes.plot([low, high], [line, line], color=colour, linewidth=1, solid_capstyle="butt", zorder=2)
        filled = colour if state in ("win", "loss") else "white"
        axes.plot(
            [comparison.difference * 100], [line], MARKS[state], color=colour, markerfacecolor=filled,
            markersize=3.6, markeredgewidth=0.8, zorder=3,
        )  # fmt: skip
    axes.set_xlim(-reach, reach)
    axes.set_ylim(len(own) - 0.5, -0.5)
    axes.yaxis.set_visible(False)
    axes.tick_params(axis="x", length=2, labelsize=5.5, pad=1.5, labelbottom=lowest)
    axes.locator_params(axis="x", nbins=5)
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    medical, base = pair
    title = f"{_short(medical, PAIR_LABEL)}\nagainst {_short(base, PAIR_LABEL)}"
    axes.text(0.5, 1, title, transform=axes.transAxes, ha="center", va="bottom", fontsize=6, linespacing=1.05)


def _short(name: str, length: int) -> str:
    """A name that fits, without the marks that keep scripts apart, which no font draws."""
    bare = name.replace(words.FIRST_STRONG_ISOLATE, "").replace(words.POP_ISOLATE, "")
    return words.shortened(words.plain(bare), length)
