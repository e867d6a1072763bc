"""Tables on narrow terminals: what must be typed is there in one piece, and no number is lost."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from medbench_local.catalog.model import models, pairs
from medbench_local.catalog.quantisation import quant_names
from medbench_local.catalog.task import task_names
from medbench_local.cli import cache, quants, runs, tasks
from medbench_local.cli import models as models_command
from medbench_local.cli.output import Listing
from medbench_local.report.screen import Screen
from tests.cli.command import Command

WIDTHS = (60, 80, 120)
RUNS = ["medical-model-of-seventy-billions-vs-its-base-of-the-same-12345678", "a-vs-b-87654321"]


def _made(home: Path) -> list[str]:
    for name in RUNS:
        (home / "runs" / name).mkdir(parents=True)
        manifest = {"settings": {"tasks": ["mmlu-anatomy", "medqa", "pubmedqa"]}}
        (home / "runs" / name / "manifest.json").write_text(json.dumps(manifest))
    return RUNS[1:]  # the other is longer than 60 columns: the terminal itself breaks that


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(
    ("words", "typed"),
    [
        (["runs", "list"], _made),
        (["models", "list"], lambda _: list(models())),
        (["models", "list", "--pair"], lambda _: [pair.medical for pair in pairs()]),
        (["tasks", "list"], lambda _: list(task_names())),
        (["quants", "list"], lambda _: quant_names()),
        (["cache"], lambda _: ["hub"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_typed_is_whole(
    command: Command,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    width: int,
    words: list[str],
    typed: Callable[[Path], list[str]],
) -> None:
    names = typed(home)
    for module in (cache, models_command, quants, runs, tasks):
        monkeypatch.setattr(
            module,
            "out",
            lambda: Console(width=width, force_terminal=True, color_system=None, highlight=False),
        )
    found = command(*words)
    assert found.code == 0
    said = found.out.replace(",", " ").replace(";", " ").split()
    assert [name for name in names if name not in said] == []
    assert "…" not in found.out


def test_a_name_longer_than_the_terminal_loses_nothing() -> None:
    file = io.StringIO()
    Screen(file=file, width=20).print(Listing(("run", "state"), [("x" * 30, "not finished at all")]))
    assert "".join(file.getvalue().split()) == "x" * 30 + "statenotfinishedatall"


def test_where_there_is_room_it_is_a_table() -> None:
    file = io.StringIO()
    Console(file=file, width=60).print(Listing(("run", "n"), [("a", "1"), ("bb", "12")], right=("n",)))
    assert [line.rstrip() for line in file.getvalue().splitlines()] == ["run   n", "a     1", "bb   12"]
