"""Who sees progress without asking for it: a terminal and a notebook, nobody else."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from medbench_local.progress import Asking, Silent
from medbench_local.report import live


class _Handle:
    def __init__(self, shown: list[str]) -> None:
        self.shown = shown

    def update(self, drawn: str) -> None:
        self.shown.append(drawn)


@pytest.fixture
def cell(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a cell of a notebook shows, one after the other."""
    shown: list[str] = []

    def display(drawn: str, display_id: bool) -> _Handle:
        shown.append(drawn)
        return _Handle(shown)

    screen = SimpleNamespace(HTML=str, display=display)
    kernel = SimpleNamespace(kernel=object())
    monkeypatch.setitem(
        sys.modules,
        "IPython",
        SimpleNamespace(get_ipython=lambda: kernel, display=screen),
    )
    monkeypatch.setitem(sys.modules, "IPython.display", screen)
    return shown


def test_nothing_is_shown_where_nobody_looks() -> None:
    assert isinstance(live.shown_to_people(), Silent)


def test_a_terminal_shows_bars_and_asks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    found = live.shown_to_people()
    assert isinstance(found, live.LiveProgress)
    assert not isinstance(found, Asking)


def test_a_notebook_shows_one_line_that_changes(cell: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    listener = live.shown_to_people()
    assert isinstance(listener, live.NotebookProgress)
    with listener.step("scoring <med>", total=100, unit="prompts") as advance:
        advance(25)
        advance(25)
    listener.note("a note")
    assert cell[0] == "<pre>scoring &lt;med&gt;</pre>"
    assert "25 prompts" in cell[1]
    assert "25%" in cell[1]
    assert len(cell) == 3, "no more than two changes a second, and nothing is left in the end"
    assert cell[-1] == ""
    assert capsys.readouterr().out == "a note\n"
