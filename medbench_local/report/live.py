"""How progress looks: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, Task, TaskID, TaskProgressColumn, TextColumn
from rich.progress import (
    Progress as RichProgress,
)
from rich.text import Text

from medbench_local.progress import Advance, Progress, Silent
from medbench_local.report.screen import Screen
from medbench_local.text import plain

_SECONDS_BETWEEN_LINES = 15.0
_SECONDS_BETWEEN_CHANGES = 0.5
_LATELY = 300.0
"""Seconds over which speed is measured: long enough for prompts of all lengths, short enough to notice a change."""


def amount(value: float, unit: str) -> str:
    """``value`` of ``unit`` for people: "12.3 MB", "4,096 tokens"."""
    if unit == "B":
        for name, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
            if value >= size:
                return f"{value / size:.1f} {name}"
        return f"{value:.0f} B"
    return f"{value:,.0f} {unit}"


def rate(speed: float, unit: str) -> str:
    """``speed`` in ``unit`` a second for people, or by the minute: "12 prompts/s", "9 cells/min"."""
    if unit == "B" or speed >= 2:
        return f"{amount(speed, unit)}/s"
    return f"{amount(60 * speed, unit)}/min"


def duration(seconds: float) -> str:
    """Seconds for people: "8 s", "3 min", "2 h 05 min"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds // 3600:.0f} h {seconds % 3600 / 60:02.0f} min"


class Pace:
    """How fast a piece of work has got on lately, and how long it still takes at that speed.

    Args:
        total: amount of work, or None if unknown.
        clock: seconds, from any moment on.
    """

    def __init__(self, total: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._total, self._clock = total, clock
        self._started = clock()
        self._worked = 0.0
        self._marks = deque([(0.0, 0.0)])
        self.done = 0.0

    def advance(self, amount: float, *, known: bool = False) -> None:
        """See `medbench_local.progress.Advance`."""
        self.done += amount
        if known:
            return
        self._worked += amount
        now = self.seconds
        if now - self._marks[-1][0] >= 1:
            self._marks.append((now, self._worked))
        while len(self._marks) > 2 and now - self._marks[1][0] > _LATELY:
            self._marks.popleft()

    @property
    def seconds(self) -> float:
        """Since the start."""
        return self._clock() - self._started

    @property
    def speed(self) -> float | None:
        """Amount of work a second in the last minutes, what was known not counted; None before any was done."""
        since, before = self._marks[0]
        seconds, worked = self.seconds - since, self._worked - before
        return worked / seconds if worked > 0 and seconds > 0 else None

    @property
    def left(self) -> float | None:
        """Seconds to the end at this speed; None if that cannot be said."""
        if self._total is None or self.speed is None:
            return None
        return max(self._total - self.done, 0.0) / self.speed


class _Speed(ProgressColumn):
    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        """Speed and time left."""
        pace: Pace = task.fields["pace"]
        if pace.speed is None:
            return Text("")
        text = rate(pace.speed, task.fields["unit"])
        if pace.left is not None:
            text += f", {duration(pace.left)} left"
        return Text(text, style="progress.data.speed")


@dataclass(frozen=True)
class _Changing:
    """A text that is another one whenever it is drawn."""

    text: Callable[[], str]

    def __str__(self) -> str:
        return plain(self.text())


class LiveProgress:
    """Bars with speed and time left.

    Args:
        console: where they are drawn.
        worded: what becomes of notes, which speak of arguments and functions of Python.
    """

    def __init__(self, console: Console, worded: Callable[[str], str] = str) -> None:
        self._worded = worded
        self._display = RichProgress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            _Speed(),
            console=console,
            transient=True,
        )
        self._open = 0

    @contextmanager
    def step(self, label: str, *, total: float | None, unit: str) -> Iterator[Advance]:
        """See `medbench_local.progress.Progress.step`."""
        pace = Pace(total)
        with self._shown(label, total=total, unit=unit, pace=pace) as task:

            def advance(amount: float, *, known: bool = False) -> None:
                pace.advance(amount, known=known)
                self._display.update(task, completed=pace.done)

            yield advance

    @contextmanager
    def _shown(
        self, description: str | _Changing, *, total: float | None, unit: str, pace: Pace
    ) -> Iterator[TaskID]:
        """A bar for as long as the block runs."""
        if self._open == 0:
            self._display.start()
        self._open += 1
        # What is shown is what a description is as text, asked for whenever it is drawn.
        task = self._display.add_task(description, total=total, unit=unit, pace=pace)  # type: ignore[arg-type]
        try:
            yield task
        finally:
            self._display.remove_task(task)
            self._open -= 1
            if self._open == 0:
                self._display.stop()

    @contextmanager
    def show(self, text: Callable[[], str]) -> Iterator[None]:
        """See `medbench_local.progress.Showing.show`."""
        with self._shown(_Changing(text), total=None, unit="", pace=Pace(None)):
            yield

    def note(self, text: str) -> None:
        """See `medbench_local.progress.Progress.note`."""
        self._display.console.print(plain(self._worded(text)), markup=False)


class PlainProgress:
    """A line now and then.

    Args:
        console: where they are written.
        worded: as of `LiveProgress`.
    """

    def __init__(self, console: Console, worded: Callable[[str], str] = str) -> None:
        self._console, self._worded = console, worded

    @contextmanager
    def step(self, label: str, *, total: float | None, unit: str) -> Iterator[Advance]:
        """See `medbench_local.progress.Progress.step`."""
        pace = Pace(total)
        last = 0.0

        def advance(more: float, *, known: bool = False) -> None:
            nonlocal last
            pace.advance(more, known=known)
            if pace.seconds - last < _SECONDS_BETWEEN_LINES or pace.speed is None:
                return
            last = pace.seconds
            text = f"{label}: {amount(pace.done, unit)}, {rate(pace.speed, unit)}"
            if total and pace.left is not None:
                text += f", {min(pace.done / total, 1):.0%}, {duration(pace.left)} left"
            self.note(text)

        yield advance
        if pace.seconds >= 1:
            self.note(f"{label}: {amount(pace.done, unit)} in {duration(pace.seconds)}")

    @contextmanager
    def show(self, text: Callable[[], str]) -> Iterator[None]:
        """See `medbench_local.progress.Showing.show`."""
        with _now_and_then(lambda: self.note(text()), _SECONDS_BETWEEN_LINES):
            yield

    def note(self, text: str) -> None:
        """See `medbench_local.progress.Progress.note`."""
        self._console.print(plain(self._worded(text)), markup=False)


@contextmanager
def _now_and_then(act: Callable[[], None], seconds: float) -> Iterator[None]:
    """Act in another thread after so many seconds, again and again, until the block ends."""
    over = threading.Event()

    def run() -> None:
        while not over.wait(seconds):
            act()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


class NotebookProgress:
    """One line in a notebook's cell that is written anew as work goes on; notes stay.

    It needs nothing but IPython itself: bars of rich would need ipywidgets.
    """

    def __init__(self) -> None:
        self._handle: Any = None

    @contextmanager
    def step(self, label: str, *, total: float | None, unit: str) -> Iterator[Advance]:
        """See `medbench_local.progress.Progress.step`."""
        pace = Pace(total)
        last = -_SECONDS_BETWEEN_CHANGES

        def advance(more: float, *, known: bool = False) -> None:
            nonlocal last
            pace.advance(more, known=known)
            if pace.seconds - last >= _SECONDS_BETWEEN_CHANGES:
                last = pace.seconds
                self._show(line_of(label, pace, total, unit))

        self._show(plain(label))
        try:
            yield advance
        finally:
            self._show("")

    @contextmanager
    def show(self, text: Callable[[], str]) -> Iterator[None]:
        """See `medbench_local.progress.Showing.show`."""
        with _now_and_then(lambda: self._show(plain(text())), 2 * _SECONDS_BETWEEN_CHANGES):
            yield
        self._show("")

    def note(self, text: str) -> None:
        """See `medbench_local.progress.Progress.note`."""
        print(plain(text))

    def _show(self, text: str) -> None:
        from html import escape

        from IPython.display import HTML, display

        drawn = HTML(f"<pre>{escape(text)}</pre>" if text else "")
        if self._handle is None:
            self._handle = display(drawn, display_id=True)
        else:
            self._handle.update(drawn)


def line_of(label: str, pace: Pace, total: float | None, unit: str) -> str:
    """A piece of work in one line: how much is done, how fast, how long it still takes."""
    text = f"{plain(label)}: {amount(pace.done, unit)}"
    if pace.speed is not None:
        text += f", {rate(pace.speed, unit)}"
    if total:
        text += f", {min(pace.done / total, 1):.0%}"
    return text + (f", {duration(pace.left)} left" if pace.left is not None else "")


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook, which shows more than text."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")


def shown_to_people() -> Progress:
    """What Python users see unless they say otherwise: bars in a terminal, a line in a notebook, else nothing."""
    if in_notebook():
        return NotebookProgress()
    if sys.stderr is not None and sys.stderr.isatty():
        return LiveProgress(Screen(file=sys.stderr, highlight=False))
    return Silent()
