"""How progress looks: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    ProgressColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import (
    Progress as RichProgress,
)
from rich.text import Text

from medbench_local.progress import Advance, Progress

_SECONDS_BETWEEN_LINES = 15.0


def amount(value: float, unit: str) -> str:
    """``value`` of ``unit`` for people: "12.3 MB", "4,096 tokens"."""
    if unit == "B":
        for name, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
            if value >= size:
                return f"{value / size:.1f} {name}"
        return f"{value:.0f} B"
    return f"{value:,.0f} {unit}"


def duration(seconds: float) -> str:
    """Seconds for people: "8 s", "3 min", "2 h 05 min"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds // 3600:.0f} h {seconds % 3600 / 60:02.0f} min"


class _Speed(ProgressColumn):
    def render(self, task: Task) -> Text:
        if task.speed is None:
            return Text("")
        return Text(f"{amount(task.speed, task.fields['unit'])}/s", style="progress.data.speed")


class LiveProgress:
    """Bars with speed and time left, on stderr."""

    def __init__(self, console: Console) -> None:
        self._display = RichProgress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            _Speed(),
            TimeRemainingColumn(compact=True),
            console=console,
            transient=True,
            speed_estimate_period=120,
        )
        self._open = 0

    @contextmanager
    def step(self, label: str, *, total: float | None, unit: str) -> Iterator[Advance]:
        """See `medbench_local.progress.Progress.step`."""
        if self._open == 0:
            self._display.start()
        self._open += 1
        task = self._display.add_task(label, total=total, unit=unit)
        try:
            yield lambda amount: self._display.advance(task, amount)
        finally:
            self._display.remove_task(task)
            self._open -= 1
            if self._open == 0:
                self._display.stop()

    def note(self, text: str) -> None:
        """See `medbench_local.progress.Progress.note`."""
        self._display.console.print(text, markup=False)


class PlainProgress:
    """A line now and then, on stderr."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def step(self, label: str, *, total: float | None, unit: str) -> Iterator[Advance]:
        """See `medbench_local.progress.Progress.step`."""
        started = last = time.monotonic()
        done = 0.0

        def advance(more: float) -> None:
            nonlocal done, last
            done += more
            now = time.monotonic()
            if now - last < _SECONDS_BETWEEN_LINES or done <= 0:
                return
            last = now
            speed = done / (now - started)
            text = f"{label}: {amount(done, unit)}, {amount(speed, unit)}/s"
            if total:
                text += f", {min(done / total, 1):.0%}, {duration(max(total - done, 0) / speed)} left"
            self.note(text)

        yield advance
        seconds = time.monotonic() - started
        if seconds >= 1:
            self.note(f"{label}: {amount(done, unit)} in {duration(seconds)}")

    def note(self, text: str) -> None:
        """See `medbench_local.progress.Progress.note`."""
        self._console.print(text, markup=False)


def progress() -> Progress:
    """The listener that fits where stderr goes."""
    console = Console(file=sys.stderr, highlight=False, soft_wrap=not sys.stderr.isatty())
    return LiveProgress(console) if console.is_terminal else PlainProgress(console)
