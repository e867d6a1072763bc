"""What many threads do, told as one piece of work."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from medbench_local.progress import Advance
from medbench_local.report.together import TogetherProgress

SOON = 10.0


class Drawing:
    """A display as that of a terminal: whoever tells it something waits for who draws it, in another thread."""

    def __init__(self) -> None:
        self.drawn: list[str] = []
        self._text: Callable[[], str] = str

    @contextmanager
    def show(self, text: Callable[[], str]) -> Iterator[None]:
        """See `Showing.show`."""
        self._text = text
        yield

    @contextmanager
    def step(self, label: str, *, total: float | None, unit: str) -> Iterator[Advance]:
        """See `Progress.step`."""
        self._draw()
        yield lambda _amount, *, known=False: self._draw()
        self._draw()

    def note(self, text: str) -> None:
        """See `Progress.note`."""
        self._draw()

    def _draw(self) -> None:
        thread = threading.Thread(target=lambda: self.drawn.append(self._text()), daemon=True)
        thread.start()
        thread.join(SOON)
        assert not thread.is_alive(), "who draws waits for who tells, who waits for who draws"


def _note(progress: TogetherProgress) -> None:
    progress.note("An engine is left out.")


def _step(progress: TogetherProgress) -> None:
    with progress.step("sending model.gguf", total=10, unit="B") as advance:
        advance(10)


@pytest.mark.parametrize("tell", [_note, _step])
def test_who_draws_the_line_never_waits_for_who_tells_something(
    tell: Callable[[TogetherProgress], None],
) -> None:
    display = Drawing()
    progress = TogetherProgress(display)
    with progress.showing(lambda: ()):
        tell(progress)
    assert set(display.drawn) == {"0 of 0 engines busy"}
