"""The plan of several comparisons on the terminal: a row or a paragraph a pair, and the total."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from medbench_local.report import words
from medbench_local.results.sweep_cost import GPU_RATE, PairCost, SweepCost

_NUMBERS = ("GB to fetch", "million tokens", "hours here", "GPU-hours")


def show_sweep_plan(
    found: SweepCost, *, rate: float = GPU_RATE, worded: Callable[[str], str] = str
) -> RenderableType:
    """What each pair and all together would fetch, make and compute.

    Args:
        found: the plan.
        rate: tokens a second of a model with 7 billion weights on the GPU that is asked about.
        worded: what becomes of texts that speak of arguments and functions of Python.
    """
    here = _span(found.seconds, found.seconds_most, 3600)
    gpu = _span(found.gpu_hours(rate), found.gpu_hours_most(rate), 1)
    total = [
        f"{words.counted(found.models, 'model')}, each counted once: {found.download / 1e9:,.1f} GB to fetch, "
        f"{found.disk / 1e9:,.1f} GB of disk still needed (data sets not counted)",
        f"{_span(found.tokens, found.tokens_most, 1e6)} million tokens; a model of several pairs is asked once what "
        "they have in common, which is not taken off",
        f"{here} hours of decoding on this machine" if here else "the speed of this machine is not known",
        f"{gpu} GPU-hours, if it reads {rate:,.0f} tokens a second for 7 billion weights: "
        + ("an assumption; `gpu_rate=` gives your own" if rate == GPU_RATE else "as given")
        if gpu
        else "GPU-hours are not known: the size of a model is not",
    ]
    if found.written:
        total.append(
            f"{found.written:,} of the tokens at most are written one after another, which takes longer than the hours "
            "of a GPU say"
        )
    parts: list[RenderableType] = [
        _Pairs(found.pairs, rate),
        Text("two numbers: what is expected, and what it is at most", style="dim"),
        Text(""),
        *(Text(worded(line)) for line in total),
        *(Text(worded(f"assumed: {words.plain(line)}"), style="yellow") for line in found.assumed),
        *(Text(worded(f"warning: {words.plain(line)}"), style="yellow") for line in found.warnings),
    ]
    return Group(*parts)


@dataclass(frozen=True)
class _Pairs:
    """A row a pair where all of it fits, else a paragraph each; names are never cut."""

    pairs: tuple[PairCost, ...]
    rate: float

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for gap in (2, 1):
            table = self._table(gap)
            if Measurement.get(console, options.update(max_width=10_000), table).maximum <= options.max_width:
                yield table
                return
        for pair in self.pairs:
            yield Text(words.plain(pair.label), overflow="fold")
            named = zip(_NUMBERS, self._numbers(pair), strict=True)
            yield Text("; ".join(f"{number} {name}" for name, number in named if number), overflow="fold")
            yield Text("")

    def _table(self, gap: int) -> Table:
        table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, gap, 0, 0))
        table.add_column("pair", no_wrap=True)
        for name in _NUMBERS:
            table.add_column(name.replace(" ", "\n"), justify="right", no_wrap=True)
        for pair in self.pairs:
            name = f"{words.plain(pair.cost.medical.name)}\nagainst {words.plain(pair.cost.base.name)}"
            table.add_row(Text(name), *self._numbers(pair))
        return table

    def _numbers(self, pair: PairCost) -> tuple[str, ...]:
        cost = pair.cost
        expected, most = (pair.gpu_hours(tokens, self.rate) for tokens in (cost.tokens, cost.tokens_most))
        return (
            f"{pair.download / 1e9:,.1f}",
            _span(cost.tokens, cost.tokens_most, 1e6),
            _span(cost.seconds, cost.seconds_most, 3600),
            _span(expected, most, 1),
        )


def _span(expected: float | None, most: float | None, unit: float) -> str:
    """Both in a unit, "1.2 to 3.4"; "" if one is not known."""
    if expected is None or most is None:
        return ""
    return " to ".join(_short(number / unit) for number in (expected, most))


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.1f}" if number >= 0.1 else f"{number:.2g}"
