"""Messages of the library speak of arguments and functions, which the command line turns into flags and commands."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

import medbench_local
from medbench_local import api
from medbench_local.cli import commands
from medbench_local.cli.main import app
from medbench_local.cli.wording import ARGUMENTS, COMMANDS, on_command_line

PACKAGE = Path(medbench_local.__file__).parent
TEXTS_FOR_THE_COMMAND_LINE = ("cli", "report", "demo")
"""Rooms that form commands: what is typed, what a report advises, and a script with flags of its own."""

FOREIGN = {"--outfile", "--outtype", "--log_samples"}
"""Flags of other programs."""

FLAG = re.compile(r"(?<![\w-])--[a-z][a-z_-]+")
ARGUMENT = re.compile(r"`([a-z][a-z_]*)=[^`\n]*`")
FUNCTION = re.compile(r"`([a-z][a-z_]*)\(\)`")
COMMAND = re.compile(r"medbench-local [a-z]")


def texts(*, docstrings: bool) -> Iterator[tuple[str, str]]:
    """Every string of the library outside those rooms, and where it stands."""
    for path in sorted(PACKAGE.rglob("*.py")):
        place = path.relative_to(PACKAGE)
        if place.parts[0] in TEXTS_FOR_THE_COMMAND_LINE:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        described = {
            id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and not docstrings
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in described:
                yield f"{place.as_posix()}:{node.lineno}", node.value


def names_of_arguments() -> set[str]:
    functions: list[Any] = [getattr(api, name) for name in api.__all__]
    return {
        name for one in functions if inspect.isfunction(one) for name in inspect.signature(one).parameters
    }


def test_no_text_of_the_library_has_a_flag() -> None:
    found = [f"{where}: {flag}" for where, text in texts(docstrings=True) for flag in FLAG.findall(text)]
    assert [one for one in found if one.split()[-1] not in FOREIGN] == []


def test_no_message_of_the_library_has_a_command() -> None:
    found = [where for where, text in texts(docstrings=False) if COMMAND.search(text)]
    assert [where for where in found if not where.startswith("catalog/protocol.py")] == []


def test_arguments_and_functions_in_messages_exist() -> None:
    arguments, functions = names_of_arguments(), set(api.__all__)
    seen = set()
    for where, text in texts(docstrings=False):
        for name in ARGUMENT.findall(text):
            assert name in arguments, f"{where}: no function has an argument {name}"
            assert name in ARGUMENTS, f"{where}: {name} would not become a flag"
            seen.add(name)
        for name in FUNCTION.findall(text):
            assert name in functions, f"{where}: there is no function {name}"
            assert name in COMMANDS, f"{where}: no command does what {name} does"
            seen.add(name)
    assert {"quant", "force", "output", "convert"} <= seen, "the reading finds some"


def test_no_message_has_an_argument_outside_backquotes() -> None:
    """What the command line does not turn into a flag would be read there as it is."""
    loose = re.compile(r"(?:^|[\s(])(?:" + "|".join(sorted(ARGUMENTS)) + r")=(?:$|[\s.'\"])")
    assert [where for where, text in texts(docstrings=False) if loose.search(text)] == []


def test_the_commands_of_the_functions_exist() -> None:
    if not app.registered_commands:
        commands.register(app)
    for function, command in COMMANDS.items():
        assert function in api.__all__
        node: Any = typer.main.get_command(app)
        for word in command.split():
            if not word.startswith("-"):
                node = node.commands[word]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("`limit=` must be at least 1, not 0.", "--limit must be at least 1, not 0."),
        ('Use `scoring="label"` or `scoring="cloze"`.', "Use --scoring label or --scoring cloze."),
        ("Override with `force=True`.", "Override with --force."),
        ('`check_precision="q8_0"`', "--check-precision q8_0"),
        ("`ablation=False`", "--no-ablation"),
        ('as in `metric="exact match"`.', "as in --metric 'exact match'."),
        ("Convert with `convert()`.", "Convert with `medbench-local convert`."),
        ("`model_names()` has all names.", "`medbench-local models list` has all names."),
        *[(text, text) for text in ("`a=b c`", "demo-med=demo-base", "`hf auth login`", "f()", "`f()`")],
    ],
)
def test_the_command_line_s_wording(text: str, said: str) -> None:
    assert on_command_line(text) == said
