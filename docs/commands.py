"""Writes docs/commands.md from the command line itself: `python docs/commands.py`.

It reads the parameters that the functions declare, not the help that a terminal shows, so that the page is the same
whatever the terminal and its width. `tests/docs/test_reference.py` fails while the page is not what this script writes.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin

import typer
from rich.text import Text

from medbench_local.cli import commands
from medbench_local.cli.main import app

PAGE = Path(__file__).with_suffix(".md")

EXAMPLE = "<!-- needs: what the example names -->\n"

HEAD = """\
# All commands

<!-- made by `python docs/commands.py`; do not edit -->

Every command has `--help` (`-h`); the program itself has `--version` and `--install-completion`. Exit codes: 0 done;
1 the thing checked does not hold; 2 bad usage or input (one line says what, one what to do); 3 it could not be settled;
130 interrupted. With `--json`, stdout holds JSON only; everything else goes to stderr.

A MODEL is a catalog name, a `.gguf` file, a folder of a checkpoint or a LoRA adapter, `hf:owner/name[@revision]` or
`gguf:owner/name/file.gguf`. What several commands call alike means the same in all of them.
"""


@dataclass(frozen=True)
class Command:
    """A command: the words that call it, and the function behind it."""

    path: tuple[str, ...]
    function: Callable[..., None]

    @property
    def paragraphs(self) -> list[str]:
        """Its description, a paragraph a line."""
        parts = (inspect.getdoc(self.function) or "").split("\n\n")
        return [" ".join(part.split()) for part in parts]

    def parameters(self, kind: type[Any]) -> list[Parameter]:
        """Its arguments (`typer.models.ArgumentInfo`) or options (`typer.models.OptionInfo`)."""
        found = inspect.signature(self.function, eval_str=True).parameters.values()
        return [Parameter(one) for one in found if isinstance(get_args(one.annotation)[1], kind)]


class Parameter:
    """An argument or an option, as the function declares it."""

    def __init__(self, declared: inspect.Parameter) -> None:
        hint, info = get_args(declared.annotation)[:2]
        self.name = declared.name
        self.info = info
        self.required = declared.default is inspect.Parameter.empty
        self.default = None if self.required else declared.default
        kept = [part for part in get_args(hint) if part is not NoneType]
        self.kind: Any = kept[0] if NoneType in get_args(hint) and len(kept) == 1 else hint

    @property
    def help(self) -> str:
        """What it is, in one line, without markup."""
        return " ".join(Text.from_markup(self.info.help or "").plain.split())

    @property
    def flags(self) -> list[str]:
        """How an option is written, the negative form of a switch last."""
        first = (
            self.info.default
        )  # where Annotated is used, the first name stands in the place of the default
        names = [*([first] if isinstance(first, str) else []), *self.info.param_decls]
        return "/".join(names or [f"--{self.name.replace('_', '-')}"]).split("/")

    @property
    def values(self) -> str:
        """What is written behind an option."""
        if isinstance(self.kind, type) and issubclass(self.kind, Enum):
            return ", ".join(f"`{one.value}`" for one in self.kind)
        if get_origin(self.kind) is Literal:
            return ", ".join(f"`{one}`" for one in get_args(self.kind))
        return {bool: "", int: "N", float: "X", Path: "PATH"}.get(self.kind, "TEXT")

    @property
    def said(self) -> str:
        """What holds without it, where its help does not say so."""
        value = getattr(self.default, "value", self.default)
        if self.required:
            return " **Required.**"
        if "[default:" in self.help or value is None or value is False or value == "":
            return ""
        return f" [default: {value.as_posix() if isinstance(value, Path) else value}]"


def page() -> str:
    """The text of the page."""
    if not app.registered_commands:
        commands.register(app)
    found = list(all_commands(app))
    index = "\n".join(f"* [`{' '.join(one.path)}`](#{'-'.join(one.path)}): {_summary(one)}" for one in found)
    return "\n".join([HEAD, index, "", *map(_section, found)])


def all_commands(group: typer.Typer, path: tuple[str, ...] = ()) -> Iterator[Command]:
    """The commands of a group and its groups, in the order of help: those of the group itself first."""
    for one in group.registered_commands:
        assert one.callback is not None
        yield Command((*path, one.name or one.callback.__name__.replace("_", "-")), one.callback)
    for inner in group.registered_groups:
        assert inner.typer_instance is not None
        name = inner.name if isinstance(inner.name, str) else inner.typer_instance.info.name
        yield from all_commands(inner.typer_instance, (*path, str(name)))


def _summary(command: Command) -> str:
    first = command.paragraphs[0]
    return first[0].lower() + first[1:].rstrip(".")


def _section(command: Command) -> str:
    arguments = command.parameters(typer.models.ArgumentInfo)
    options = command.parameters(typer.models.OptionInfo)
    usage = " ".join(
        ["medbench-local", *command.path, *map(_place, arguments), *["[OPTIONS]"] * bool(options)]
    )
    parts = [f"## {' '.join(command.path)}\n", f"```\n{usage}\n```\n"]
    for text in command.paragraphs:
        example = re.fullmatch(r"Example: (medbench-local .+)", text)
        parts.append(f"{EXAMPLE}```sh\n{example[1]}\n```\n" if example else f"{text}\n")
    for title, found in (("argument", arguments), ("option", options)):
        if found:
            parts += [f"| {title} | |", "|---|---|", *(_row(one, title) for one in found), ""]
    return "\n".join(parts)


def _place(argument: Parameter) -> str:
    name = argument.name.upper() + ("…" if get_origin(argument.kind) is list else "")
    return name if argument.required else f"[{name}]"


def _row(parameter: Parameter, title: str) -> str:
    if title == "argument":
        written, said = f"`{parameter.name.upper()}`", ""
    else:
        written = " ".join([", ".join(f"`{flag}`" for flag in parameter.flags), parameter.values]).rstrip()
        said = parameter.said
    help = parameter.help.replace("|", "\\|").replace("<", "&lt;")
    return f"| {written} | {help}{said} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8", newline="\n")
