"""The examples of every command's help: each is understood as it stands, and runs where that needs no network."""

from __future__ import annotations

import shlex
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

from medbench_local.cli.help import examples
from medbench_local.cli.main import app
from tests.cli.command import Command
from tests.cli.test_every_width import leaves
from tests.docs.running import in_folder

DEMO = ["compare", "demo-med", "demo-base", "--tasks", "demo-anatomy", "--limit", "5", "--shots", "0"]


@cache
def program() -> Any:
    return typer.main.get_command(app)


def node(words: tuple[str, ...]) -> Any:
    found = program()
    for word in words:
        found = found.commands[word]
    return found


EXAMPLES = {example: words for words in leaves() for example in examples(node(words).callback.__doc__ or "")}
RUN = (
    "runs list",
    "runs show",
    "report",
    "cache",
    "doctor",
    "models list",
    "tasks list",
    "quants list",
    "quants show",
    "verdict",
)
"""What runs at once beside a finished run of the embedded pair; others need a download, a GPU or a person to ask."""


def test_every_command_has_an_example_of_its_own() -> None:
    assert set(EXAMPLES.values()) == set(leaves())


@pytest.mark.parametrize("example", EXAMPLES)
def test_it_is_understood(example: str) -> None:
    words = EXAMPLES[example]
    program, *typed = shlex.split(example)
    assert program == "medbench-local"
    assert tuple(typed[: len(words)]) == words
    found = node(words)
    with found.make_context(words[-1], typed[len(words) :]) as context:
        assert not context.args


@pytest.fixture(scope="module")
def finished(demo_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the pair was compared, with rows of results."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDBENCH_HOME", str(demo_home))
        assert in_folder(DEMO, folder)[0] == 0
    (run,) = (folder / "runs").iterdir()
    for role, name in (("medical", "finetuned"), ("base", "baseline")):
        shutil.copy(run / "samples" / f"{role}.demo-anatomy.0-shot.jsonl", folder / f"{name}.jsonl")
    return folder


@pytest.mark.parametrize(
    "example", [example for example, words in EXAMPLES.items() if " ".join(words) in RUN]
)
def test_it_runs(command: Command, home: Path, finished: Path, example: str) -> None:
    shutil.copytree(finished, home, dirs_exist_ok=True)
    ended = command(*shlex.split(example)[1:])
    assert ended.code == 0, ended.err
