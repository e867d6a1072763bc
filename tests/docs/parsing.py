"""Commands of the pages, held against the command line that there is, without running them."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Sequence
from dataclasses import fields
from enum import Enum
from typing import Any, Literal, get_args, get_origin

import pytest
from typer.main import get_command

from medbench_local import api
from medbench_local.catalog.model import models
from medbench_local.catalog.protocol import load_protocol, protocol_names
from medbench_local.catalog.quantisation import quant_names
from medbench_local.catalog.task import task_groups, task_names
from medbench_local.cli import commands
from medbench_local.cli.main import app
from medbench_local.errors import MedbenchError
from medbench_local.study.options import CompareOptions, check_ranges
from tests.docs.pages import ROOT, ShellCommand
from tests.docs.running import PLACEHOLDER

THROUGH_THE_OPTIONS = ("compare", "sweep", "check")
"""Commands whose options are looked at in one place behind the parser."""

OTHER_PROGRAMS = {
    "sudo",
    "xcode-select",
    "winget",
    "uv",
    "pipx",
    "uvx",
    "cd",
    "export",
    "git",
    "hf",
    "nvidia-smi",
}


class Parsed(Exception):
    """A command came as far as the function that it calls, with these arguments."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(given, named)
        self.given, self.named = given, named


def _reached(*given: Any, **named: Any) -> None:
    raise Parsed(*given, **named)


def parse(command: ShellCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read a command as the program itself does, up to where it would begin to work.

    Raises:
        AssertionError: it would not be understood, or names something that there is not.
    """
    program, *words = command.words
    if program == "medbench-local":
        _ours(words, command.inline, monkeypatch)
    elif program == "make":
        targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        assert set(words) <= set(targets)
    elif program in ("python", "/usr/bin/time"):
        _python(words)
    elif program == "pip":
        _pip(words)
    elif program == ".":
        assert words == [".venv/bin/activate"]
    else:
        assert program in OTHER_PROGRAMS, f"{command}: an unknown program"


def tree() -> Any:
    """The command line as a tree of click's commands, freshly built."""
    if not app.registered_commands:
        commands.register(app)
    return get_command(app)


def _ours(words: Sequence[str], inline: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tree()
    if not words or PLACEHOLDER.search(words[0]) or words[0].startswith("--"):
        if words and words[0].startswith("--"):
            assert words[0] in {name for one in root.params for name in one.opts} | {"--help"}
        return
    node, depth = root, 0
    while hasattr(node, "commands"):
        if depth == len(words):
            return  # a group, named as such
        assert words[depth] in node.commands, f"there is no command {' '.join(words[: depth + 1])}"
        node, depth = node.commands[words[depth]], depth + 1
    filled = _filled(words[depth:], node)
    if "--help" in filled:
        return
    if inline:
        for parameter in node.params:  # a sentence may leave out what it is not about
            parameter.required = False
    if words[0] in THROUGH_THE_OPTIONS:
        for name in ("compare", "plan", "sweep", "plan_sweep", "check"):
            monkeypatch.setattr(api, name, _reached)
    else:
        node.callback = _reached
    try:
        root.main(args=[*words[:depth], *filled], prog_name="medbench-local", standalone_mode=False)
    except Parsed as found:
        try:
            _known(found, words[0])
        except MedbenchError as error:
            raise AssertionError(f"{' '.join(words)}: {error}") from error
    except Exception as error:  # those of click, whose copy in typer has classes of its own
        raise AssertionError(f"{' '.join(words)}: {getattr(error, 'message', error)}") from error
    else:
        raise AssertionError("the command ended before it did anything")


def _filled(words: Sequence[str], node: Any) -> list[str]:
    """Words with a value that the parser takes in the place of those that stand for something."""
    options = {name: one.name for one in node.params for name in one.opts}
    declared = inspect.signature(node.callback, eval_str=True).parameters
    found = []
    for before, word in zip(("", *words), words, strict=False):
        if PLACEHOLDER.search(word):
            if before not in options and "…" in word and word.strip("…") == "":
                continue
            if before in options and (values := _values(declared[options[before]])):
                word = values[0]
        found.append(word)
    return found


def _values(parameter: inspect.Parameter) -> list[str]:
    """What the parser takes for an option that is not just any text."""
    hint = get_args(parameter.annotation)[0]
    for kind in (hint, *get_args(hint)):
        if isinstance(kind, type) and issubclass(kind, Enum):
            return [str(one.value) for one in kind]
        if get_origin(kind) is Literal:
            return [str(one) for one in get_args(kind)]
        if kind is int:
            return ["1"]
    return []


def _known(found: Parsed, command: str) -> None:
    """Names of models, tasks, precisions and protocols are those of the catalog, or files."""
    if command in THROUGH_THE_OPTIONS:
        own = {one.name for one in fields(CompareOptions)}
        check_ranges(CompareOptions(**{name: value for name, value in found.named.items() if name in own}))
        named = [one for one in found.given if isinstance(one, str)] or list(found.given[0] or ())
        for name in [part for one in named for part in re.split(r"=|-vs-", one)]:
            assert name in {*models(), "all", "catalog"} or _elsewhere(name), (
                f"the catalog has no model {name}"
            )
    for task in found.named.get("tasks") or ():
        assert task in {*task_names(), *task_groups()} or _elsewhere(task), f"there is no task {task}"
    for option in ("quant", "check_precision"):
        quant = found.named.get(option)
        if quant is not None:
            assert quant in {*quant_names(), "full", "auto"} or _elsewhere(str(quant)), (
                f"no precision {quant}"
            )
    if (protocol := found.named.get("protocol")) is not None and not _elsewhere(str(protocol)):
        assert protocol in protocol_names(), f"there is no protocol {protocol}"
        load_protocol(protocol)


def _elsewhere(name: str) -> bool:
    """Whether a name is a file, something on the hub, or what a reader replaces."""
    return bool(re.search(r"[./:]", name)) or PLACEHOLDER.search(name) is not None


def _python(words: Sequence[str]) -> None:
    if "medbench-local" in words:
        return
    words = words[words.index("python") + 1 :] if "python" in words else words
    if words[:2] == ["-m", "venv"]:
        return
    if words[:2] == ["-m", "pytest"]:
        assert all(
            (ROOT / word.partition("::")[0]).exists() for word in words[2:] if not word.startswith("-")
        )
        return
    place, rest = (
        (words[1].replace(".", "/") + ".py", words[2:]) if words[0] == "-m" else (words[0], words[1:])
    )
    script = ROOT / place
    assert script.is_file(), f"there is no {place}"
    source = script.read_text(encoding="utf-8")
    told = {
        node.value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    for word in rest:
        flag = word.strip("[]").partition("=")[0]
        assert not flag.startswith("--") or flag in told, f"{place} has no {flag}"


def _pip(words: Sequence[str]) -> None:
    assert words[0] == "install"
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for word in words:
        if found := re.match(r"(?:\.|medbench-local)\[([^\]]+)\]$", word):
            assert all(f"\n{extra} = [" in project for extra in found[1].split(","))
        if word.startswith("llama-cpp-python=="):
            assert f'"{word}"' in project
