"""Every command: its help, its exit codes, where it writes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from medbench_local import WorkerDied, __version__
from medbench_local.cli import commands, errors
from medbench_local.cli.main import app
from medbench_local.study.options import CompareOptions
from tests.cli.command import Command, lines


def _commands() -> Iterator[tuple[str, ...]]:
    """The words of every command that can be run."""
    if not app.registered_commands:
        commands.register(app)

    def walk(node: Any, words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        children = getattr(node, "commands", None)
        if not children:
            yield words
            return
        for name, child in children.items():
            yield from walk(child, (*words, name))

    return walk(typer.main.get_command(app), ())


COMMANDS = sorted(_commands())


def test_the_commands_of_the_design_are_there() -> None:
    wanted = """compare sweep check validate verdict score convert quantize doctor
    prompts-export prompts-show models-list models-show models-fetch tasks-list tasks-show quants-list quants-show
    runs-list reference-run"""
    assert set(wanted.split()) <= {"-".join(words) for words in COMMANDS}


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_has_an_example_that_names_the_command(command: Command, words: tuple[str, ...]) -> None:
    for option in ("--help", "-h"):
        ended = command(*words, option)
        assert ended.code == 0
        assert f"Example: medbench-local {' '.join(words)}" in " ".join(ended.out.split())


def test_every_option_says_what_it_is_for() -> None:
    def walk(node: Any) -> Iterator[Any]:
        yield node
        for child in getattr(node, "commands", {}).values():
            yield from walk(child)

    for node in walk(typer.main.get_command(app)):
        for parameter in node.params:
            assert getattr(parameter, "help", None), f"{node.name}: {parameter.name}"


def test_no_word_shows_the_help(command: Command) -> None:
    ended = command()
    assert "compare demo-med demo-base" in ended.out + ended.err


def test_the_version(command: Command) -> None:
    assert command("--version").out == f"medbench-local {__version__}\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nonsense"], "nonsense"),
        (["compare"], "Missing argument"),
        (["compare", "a", "b", "--nonsense"], "--nonsense"),
        (["compare", "demo-med", "demo-base", "--limit", "x"], "--limit"),
        (["compare", "demo-med", "demo-base", "--limit", "0"], "--limit must be at least 1"),
        (["compare", "demo-med", "demo-base", "--shots", "3,x"], "--shots needs whole numbers such as 0,3"),
        (["compare", "demo-med", "demo-base", "--shots", ""], "--shots needs whole numbers"),
        (["compare", "demo-med", "demo-base", "--tasks", ","], "names nothing"),
        (["compare", "demo-med", "demo-base", "--tasks", "nonsense"], "nonsense"),
        (["compare", "demo-med", "demo-base", "--scoring", "best"], "--scoring"),
        (["compare", "demo-med", "demo-base", "--check=most"], "--check"),
        (["compare", "demo-med", "demo-base", "--mode", "slow"], "--mode"),
        (["compare", "demo-med", "demo-base", "--protocol", "laptpo"], "did you mean 'laptop'"),
        (["compare", "demo-med", "demo-base", "--protocol", "absent.yaml"], "absent.yaml"),
        (["compare", "demo-med", "demo-base", "--quant", "q4"], "q4"),
        (["compare", "demo-me", "demo-base"], "Did you mean demo-med"),
        (["compare", "demo-med", "demo-base", "--no-check"], "--no-check"),
        (["check", "demo-med"], "--quant"),
        (["sweep"], "No pair is named"),
        (["sweep", "nonsense"], "is not a pair"),
        (["validate", "nonsense", "--reference", "x"], "No run is called"),
        (["verdict", "absent.jsonl", "absent.jsonl"], "absent.jsonl"),
        (["score", "demo-med", "absent.jsonl"], "absent.jsonl"),
        (["prompts", "export", "--output", "x"], "--model and --task"),
        (["prompts", "export", "--output", "x", "--run", "r", "--task", "t"], "leave --model and --task out"),
        (["prompts", "export", "--output", "x", "--run", "nonsense"], "No run is called"),
        (
            ["prompts", "export", "--output", "x", "--run", "r", "--shots", "3", "--protocol", "demo"],
            "leave --shots and --protocol out",
        ),
        (["prompts", "show", "--model", "demo-med", "--task", "demo-anatomy", "--format", "x"], "--format"),
        (
            ["prompts", "show", "--model", "demo-med", "--task", "demo-anatomy", "--item", "300"],
            "no item 300",
        ),
        (["prompts", "show", "--model", "demo-med", "--task", "demo-anatomy", "--shots", "-1"], "--shots"),
        (["models", "show", "nonsense"], "nonsense"),
        (["tasks", "show", "nonsense"], "nonsense"),
        (["tasks", "show", "demo-anatomy", "--item", "-1"], "test questions 0 to"),
        (["quants", "show", "nonsense"], "nonsense"),
        (["convert", "absent", "--output", "x.gguf"], "absent"),
        (["quantize", "absent.gguf", "--quant", "q8_0", "--output", "x.gguf"], "absent.gguf"),
        (["reference", "run", "absent", "absent.jsonl", "--output", "x"], "absent"),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, list) else "",
)
def test_bad_usage_is_exit_code_2_and_a_line_that_names_it(
    command: Command, home: Path, words: list[str], said: str
) -> None:
    text = " ".join(command.fails(*words).split())
    assert said in text
    assert not list(home.rglob("results.json"))


def test_an_error_is_one_line_and_the_advice_another(command: Command, home: Path) -> None:
    said = lines(command.fails("compare", "demo-me", "demo-base"))
    assert len(said) == 2
    assert said[0].startswith("error: ")


def _ends_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def broken(*arguments: object, **options: object) -> None:
        raise error

    monkeypatch.setattr("medbench_local.api.run_comparison", broken)


def test_an_interrupt_is_130_with_the_command_that_resumes(
    command: Command, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _ends_with(monkeypatch, KeyboardInterrupt())
    ended = command("compare", "demo-med", "demo-base", "--system-prompt", "Be brief; $HOME")
    assert ended.code == 130
    assert ended.out == ""
    assert "medbench-local compare demo-med demo-base --system-prompt 'Be brief; $HOME'" in ended.err


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (WorkerDied("The worker\nended.", advice="Try again."), "error: The worker ended."),
        (MemoryError(), "out of memory"),
        (RuntimeError("odd"), "RuntimeError: odd"),
    ],
)
def test_what_went_wrong_is_said_without_a_traceback(
    command: Command, home: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, said: str
) -> None:
    _ends_with(monkeypatch, error)
    assert said in command.fails("compare", "demo-med", "demo-base")


def test_the_traceback_is_shown_on_demand(
    capsys: pytest.CaptureFixture[str], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDBENCH_DEBUG", "1")
    assert errors.report(RuntimeError("odd"), []) == 2
    assert "RuntimeError: odd" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "scope"),
    [
        ([], "sample"),
        (["--check", "sample"], "sample"),
        (["--check=full"], "full"),
        (["--check", "none"], "none"),
    ],
)
def test_the_scope_of_the_check_arrives(
    command: Command, home: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], scope: object
) -> None:
    seen = []

    def options(asked: CompareOptions, **more: object) -> None:
        seen.append(asked.check)
        raise KeyboardInterrupt

    monkeypatch.setattr("medbench_local.api.resolve", options)
    for name in ("compare", "sweep"):
        command(name, *words, "demo-med", *(["demo-base"] if name == "compare" else []))
    assert seen == [scope, scope]


def test_it_runs_as_a_module_without_a_terminal() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "medbench_local", "quants", "list"],
        capture_output=True,
        text=True,
        env=os.environ | {"TERM": "dumb"},
        check=True,
    )
    assert "q4_k_m" in ended.stdout
    assert not re.search("\x1b", ended.stdout + ended.stderr)
    assert ended.stderr == ""


@pytest.mark.parametrize(
    ("option", "known"), [("--mode", "'exact', 'reproducible'"), ("--scoring", "'greedy'")]
)
def test_a_value_that_is_no_choice_is_refused_in_the_words_of_the_option(
    command: Command, option: str, known: str
) -> None:
    said = " ".join(command.fails("compare", "demo-med", "demo-base", option, "quick").split())
    assert f"Invalid value for '{option}': 'quick' is not one of" in said
    assert known in said
