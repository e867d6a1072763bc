"""Every command on terminals of every width: what is typed or copied is whole, as it is in a pipe."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import typer

from medbench_local.cli import commands
from medbench_local.cli.main import app, main
from tests.cli.command import Command

ASKED = ["--tasks", "demo-anatomy", "--limit", "5", "--shots", "0"]
COMPARE = ["compare", "demo-med", "demo-base", *ASKED]
SCREENS = [(60, False), (60, True), (80, False), (120, True)]
VARYING = ("doctor", "models", "cache", "runs")
"""Commands that show sizes and speeds, which change meanwhile."""

FIRST_HEADINGS = {
    "task",
    "comparison",
    "run",
    "model",
    "name",
    "cell",
    "threshold",
    "medical",
    "pair",
    "detectable",
}
"""Headings of what rows are called by, or that nothing may be said for; paragraphs do without."""


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def on_terminal(monkeypatch: pytest.MonkeyPatch, width: int, colour: bool, words: Sequence[str]) -> str:
    """What a command writes to a terminal, on both streams, as a person sees it."""
    screen = Terminal()
    with monkeypatch.context() as here:
        here.setenv("COLUMNS", str(width))
        here.setenv("TERM", "xterm-256color")
        here.delenv("NO_COLOR", raising=False)
        if not colour:
            here.setenv("NO_COLOR", "1")
        here.setattr(sys, "stdout", screen)
        here.setattr(sys, "stderr", screen)
        with pytest.raises(SystemExit):
            main(list(words))
    return screen.getvalue()


def words_of(text: str, *, numbers: bool) -> set[str]:
    """The words of what is shown, without colours and what stands between them."""
    found = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text).split()
    found = [word.strip(";,|") for word in found]
    return {word if numbers else re.sub(r"[0-9][0-9.,]*", "0", word) for word in found}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, demo_home: Path) -> Path:
    """A folder with a comparison, a check, a sweep, rows of results and a file of questions."""
    return tmp_path_factory.mktemp("a folder with blanks in its name and a long one as well")


@pytest.fixture
def place(shared: Path, demo_home: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MEDBENCH_HOME", str(demo_home))
    monkeypatch.chdir(shared)
    if not (shared / "rows.jsonl").exists():
        assert command(*COMPARE).code == 0
        assert command("sweep", "demo-med=demo-base", *ASKED, "--output", "runs/sweep").code == 0
        (run,) = shared.glob("runs/demo-med-vs-*")
        rows = (run / "samples" / "medical.demo-anatomy.0-shot.jsonl").read_text()
        (shared / "rows.jsonl").write_text(rows)
    return shared


CASES = {
    "compare": COMPARE,
    "plan": [*COMPARE, "--dry-run", "--output", "elsewhere"],
    "check": ["check", "demo-med", "--quant", "q8_0", *ASKED],
    "sweep": ["sweep", "demo-med=demo-base", *ASKED, "--output", "runs/sweep"],
    "validate": ["validate", "demo-med-vs", "--reference", "rows.jsonl"],
    "verdict": ["verdict", "rows.jsonl", "rows.jsonl"],
    "runs": ["runs", "list"],
    "a run": ["runs", "show", "demo-med-vs"],
    "report": ["report", "demo-med-vs"],
    "models": ["models", "list"],
    "pairs": ["models", "list", "--pair"],
    "a model": ["models", "show", "demo-med", "--quant", "q8_0"],
    "tasks": ["tasks", "list"],
    "a group": ["tasks", "show", "visual"],
    "a task": ["tasks", "show", "demo-anatomy"],
    "quants": ["quants", "list"],
    "a config": ["quants", "show", "q4_k_m"],
    "a prompt": ["prompts", "show", "--model", "demo-med", "--task", "demo-anatomy"],
    "cache": ["cache"],
    "doctor": ["doctor"],
    "no such task": ["compare", "demo-med", "demo-base", "--tasks", "demo-anatomi"],
    "no such run": ["runs", "show", "x"],
    "no such option": ["compare", "demo-med", "demo-base", "--taks", "x"],
    "removing": ["runs", "rm", "demo-med-vs"],
}


@pytest.mark.parametrize("case", CASES)
def test_no_word_is_cut_or_broken(
    command: Command, place: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    words = CASES[case]
    command(*words)  # whatever is computed is found from now on
    piped = command(*words)
    numbers = words[0] not in VARYING and "--dry-run" not in words  # a plan says what memory is free now
    wanted = words_of(piped.out + piped.err, numbers=numbers)
    assert wanted
    for width, colour in SCREENS:
        shown = on_terminal(monkeypatch, width, colour, words)
        missing = wanted - words_of(shown, numbers=numbers) - FIRST_HEADINGS
        assert missing == set(), (width, colour, shown)
        plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown)
        assert all(line.count("`") % 2 == 0 for line in plain.splitlines()), "a command is in one line"
        if case in ("compare", "report", "sweep", "a run"):
            assert re.search(r"^files: .+[\w-]$", plain, re.MULTILINE)
            assert re.search(r"^signature: \S+\|device:", plain, re.MULTILINE)


def leaves(node: Any = None, before: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every command, in words."""
    if not app.registered_commands:
        commands.register(app)
    node = typer.main.get_command(app) if node is None else node
    if not hasattr(node, "commands"):
        return [before]
    return [leaf for name, sub in node.commands.items() for leaf in leaves(sub, (*before, name))]


@pytest.mark.parametrize("words", leaves(), ids=" ".join)
def test_help_breaks_no_word_and_no_example(
    command: Command, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    piped = command(*words, "--help").out
    wanted = words_of(piped, numbers=True)
    examples = [line for line in piped.splitlines() if line.startswith("Example: ")]
    assert examples
    for width, colour in SCREENS:
        shown = on_terminal(monkeypatch, width, colour, [*words, "--help"])
        assert wanted - words_of(shown, numbers=True) == set()
        plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown)
        assert set(examples) <= {line.rstrip() for line in plain.splitlines()}


@pytest.mark.parametrize(("width", "colour"), SCREENS)
def test_the_command_that_resumes_is_in_one_line(
    place: Path, monkeypatch: pytest.MonkeyPatch, width: int, colour: bool
) -> None:
    from medbench_local import api

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(api, "compare", interrupted)
    words = [
        *COMPARE,
        "--output",
        "a folder/of a name that is longer than any terminal is wide, or nearly so",
    ]
    shown = on_terminal(monkeypatch, width, colour, words)
    (line,) = (line for line in shown.splitlines() if "medbench-local" in line)
    assert line.endswith("'a folder/of a name that is longer than any terminal is wide, or nearly so'")


def test_json_is_the_same_on_a_terminal(
    command: Command, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["runs", "list", "--json"]
    assert json.loads(on_terminal(monkeypatch, 60, True, words)) == json.loads(command(*words).out)
