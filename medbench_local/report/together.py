"""How work on a cluster gets on, in one line: what is done, who is busy, how fast, how long it still takes."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from medbench_local.engine.several import EngineState, being_stopped
from medbench_local.progress import Advance, Asking, Progress, Showing
from medbench_local.report.live import Pace, amount, duration

SHOWN = 8
"""Most engines whose speeds are named one by one."""


class TogetherProgress:
    """Counts what many threads do as one piece of work, and passes on everything else, one at a time.

    Args:
        progress: listens.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        # Two locks: a display that draws the line holds one of its own, which whoever tells it something waits for.
        self._telling, self._counting = threading.RLock(), threading.Lock()
        self._totals: defaultdict[str, float] = defaultdict(float)
        self._done: defaultdict[str, float] = defaultdict(float)
        self._pace = Pace(None)
        self._states: Callable[[], Sequence[EngineState]] = lambda: ()
        self._stopped: Callable[[], bool] = lambda: False

    @contextmanager
    def showing(
        self, states: Callable[[], Sequence[EngineState]], stopped: Callable[[], bool] = lambda: False
    ) -> Iterator[None]:
        """Show the line while the block runs, where somebody looks.

        Args:
            states: what the engines do now.
            stopped: whether all work was ended.
        """
        self._states, self._stopped = states, stopped
        with ExitStack() as shown:
            if isinstance(self._progress, Showing):
                shown.enter_context(self._progress.show(self.line))
            yield

    @contextmanager
    def step(self, label: str, *, total: float | None, unit: str) -> Iterator[Advance]:
        """See `Progress.step`: prompts and comparisons are counted together, whatever is said to make them."""
        if unit not in ("prompts", "comparisons") or total is None:
            with self._locked_step(label, total, unit) as advance:
                yield advance
            return
        told = 0.0

        def counted(amount: float, *, known: bool = False) -> None:
            self._need_going()
            nonlocal told
            with self._counting:
                told += amount
                self._done[unit] += amount
                if unit == "prompts":
                    self._pace.advance(amount, known=known)

        with self._counting:
            self._totals[unit] += total
        try:
            yield counted
        finally:
            with self._counting:  # what ends with less than was expected needs no more
                self._totals[unit] -= total - told

    def _need_going(self) -> None:
        """End what goes on in other threads once the work was stopped: what fetches or converts knows of no engine.

        Raises:
            CancelledError: it was.
        """
        if self._stopped():
            raise being_stopped()

    def note(self, text: str) -> None:
        """See `Progress.note`."""
        with self._telling:
            self._progress.note(text)

    def line(self) -> str:
        """What is done, how long the rest takes, what engines do: ``3 of 26 comparisons; 1,234 of 5,678 prompts,
        22%, 12 min left; 2 of 2 engines busy, 113 and 120 tokens/s``.
        """
        with self._counting:
            parts = []
            if comparisons := self._totals["comparisons"]:
                parts.append(f"{self._done['comparisons']:,.0f} of {amount(comparisons, 'comparisons')}")
            total, done = self._totals["prompts"], self._done["prompts"]
            if total:
                text = f"{done:,.0f} of {amount(total, 'prompts')}, {min(done / total, 1):.0%}"
                if speed := self._pace.speed:
                    text += f", {duration(max(total - done, 0) / speed)} left"
                parts.append(text)
        return "; ".join([*parts, engines_line(self._states())])

    @contextmanager
    def _locked_step(self, label: str, total: float | None, unit: str) -> Iterator[Advance]:
        with ExitStack() as stack:
            self._telling.acquire()
            stack.callback(self._telling.release)
            advance = stack.enter_context(self._progress.step(label, total=total, unit=unit))
            stack.callback(self._telling.acquire)  # its end is told under the lock, too
            self._telling.release()

            def locked(amount: float, *, known: bool = False) -> None:
                self._need_going()
                with self._telling:
                    advance(amount, known=known)

            yield locked


class AskingTogether(TogetherProgress):
    """The same, with somebody who can be asked.

    Args:
        progress: asks.
    """

    def __init__(self, progress: Asking) -> None:
        super().__init__(progress)
        self._asking = progress

    def confirm(self, question: str) -> bool:
        """See `medbench_local.progress.Asking.confirm`."""
        with self._telling:
            return self._asking.confirm(question)


def together(progress: Progress) -> TogetherProgress:
    """What listens to many threads in the place of ``progress``; can be asked where that can."""
    return AskingTogether(progress) if isinstance(progress, Asking) else TogetherProgress(progress)


def engines_line(states: Sequence[EngineState]) -> str:
    """What engines do: ``2 of 2 engines busy, 113 and 120 tokens/s``."""
    text = f"{sum(state.busy for state in states)} of {len(states)} engines busy"
    speeds = [state.speed for state in states if state.speed is not None]
    if not speeds:
        return text
    named = [f"{speed:,.0f}" for speed in speeds]
    if len(named) > SHOWN:
        return f"{text}, {min(speeds):,.0f} to {max(speeds):,.0f} tokens/s each"
    return f"{text}, {' and '.join(filter(None, [', '.join(named[:-1]), named[-1]]))} tokens/s"
