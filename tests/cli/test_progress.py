"""How speed and time left are worked out, and what is said of them."""

from __future__ import annotations

import io
import time

import pytest
from rich.console import Console

from medbench_local.cli.progress import AskingProgress, progress
from medbench_local.progress import Asking
from medbench_local.report.live import LiveProgress, Pace, PlainProgress


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class TestPace:
    def test_nothing_is_said_before_anything_was_done(self) -> None:
        clock = Clock()
        pace = Pace(100, clock)
        clock.now += 5
        assert pace.speed is None
        assert pace.left is None
        assert pace.seconds == 5

    def test_steady_work(self) -> None:
        clock = Clock()
        pace = Pace(100, clock)
        for _ in range(10):
            clock.now += 2
            pace.advance(4)
        assert (pace.done, pace.speed, pace.left) == (40, 2, 30)

    def test_what_was_known_says_nothing_about_the_speed(self) -> None:
        clock = Clock()
        pace = Pace(1000, clock)
        pace.advance(900, known=True)
        clock.now += 10
        pace.advance(10)
        assert (pace.done, pace.speed, pace.left) == (910, 1, 90)

    def test_bytes_that_have_to_come_again_are_taken_back(self) -> None:
        clock = Clock()
        pace = Pace(100, clock)
        pace.advance(60, known=True)
        pace.advance(-60, known=True)
        clock.now += 1
        pace.advance(20)
        assert (pace.done, pace.left) == (20, 4)

    def test_only_the_last_minutes_count(self) -> None:
        clock = Clock()
        pace = Pace(10_000, clock)
        for _ in range(600):
            clock.now += 1
            pace.advance(10)
        for _ in range(400):
            clock.now += 1
            pace.advance(1)
        assert pace.speed == pytest.approx(1, abs=0.05)
        assert pace.done == 6400

    def test_never_less_than_nothing_is_left_and_an_unknown_end_is_not_guessed(self) -> None:
        clock = Clock()
        pace, endless = Pace(10, clock), Pace(None, clock)
        clock.now += 1
        for one in (pace, endless):
            one.advance(12)
        assert pace.left == 0
        assert endless.left is None


def test_plain_lines_come_now_and_then_with_speed_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(Pace.__init__, "__defaults__", (clock,))
    out = io.StringIO()
    listener = PlainProgress(Console(file=out, soft_wrap=True))
    with listener.step("demo", total=1000, unit="prompts") as advance:
        advance(500, known=True)
        for _ in range(40):
            clock.now += 1
            advance(5)
    assert out.getvalue().splitlines() == [
        "demo: 575 prompts, 5 prompts/s, 57%, 85 s left",
        "demo: 650 prompts, 5 prompts/s, 65%, 70 s left",
        "demo: 700 prompts in 40 s",
    ]


def test_a_live_display_shows_speed_and_time_left() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=120, color_system=None)
    with LiveProgress(console).step("demo", total=1000, unit="prompts") as advance:
        advance(250, known=True)
        for _ in range(100):
            advance(0.01)
            if "left" in out.getvalue():
                break
            time.sleep(0.1)  # it refreshes ten times a second
    shown = out.getvalue()
    assert "demo" in shown
    assert "prompts/min" in shown, "a speed that rounds to 0 a second is told by the minute"
    assert "left" in shown
    assert "25%" in shown


@pytest.mark.parametrize(("answer", "expected"), [("y\n", True), ("n\n", False), ("\n", False)])
def test_who_sits_at_a_terminal_is_asked(
    monkeypatch: pytest.MonkeyPatch, answer: str, expected: bool
) -> None:
    typed = io.StringIO(answer)
    monkeypatch.setattr(typed, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", typed)
    asking = AskingProgress(Console(file=io.StringIO(), force_terminal=True))
    assert isinstance(asking, Asking)
    assert asking.confirm("Go on?") is expected


@pytest.mark.parametrize(
    ("stdin", "stderr", "yes"), [(0, 1, False), (1, 0, False), (0, 0, False), (1, 1, True)]
)
def test_nobody_is_asked_without_a_terminal(
    monkeypatch: pytest.MonkeyPatch, stdin: bool, stderr: bool, yes: bool
) -> None:
    monkeypatch.setattr("sys.stdin", _stream(terminal=stdin))
    monkeypatch.setattr("sys.stderr", _stream(terminal=stderr))
    assert not isinstance(progress(yes=yes), Asking)


def test_somebody_at_a_terminal_can_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", _stream(terminal=True))
    monkeypatch.setattr("sys.stderr", _stream(terminal=True))
    assert isinstance(progress(yes=False), Asking)
    assert not isinstance(progress(), Asking), "only commands that take long and have --yes ask"
    monkeypatch.setattr("sys.stdin", None)
    assert not isinstance(progress(yes=False), Asking)


def _stream(*, terminal: bool) -> io.StringIO:
    class Stream(io.StringIO):
        def isatty(self) -> bool:
            return bool(terminal)

    return Stream()
