"""The help of a command: each option with all its values in one line, each example in one that can be copied."""

from __future__ import annotations

import inspect
import re
from typing import Any

from rich.text import Text
from typer.core import TyperCommand

from medbench_local.report.screen import Prose

_EXAMPLE = "Example: "


class WholeHelp(TyperCommand):
    """A command whose help is as wide as the terminal and breaks no name; typer's own cuts them in narrow ones."""

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        """Print usage, description, arguments, options and the docstring's examples."""
        from medbench_local.cli.output import out

        console = out()
        console.print(Text(self.get_usage(ctx), style="bold"))
        described = [text for text in paragraphs(self.help or "") if not text.startswith(_EXAMPLE)]
        for text in described:
            console.print()
            console.print(Text(text))
        kinds: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                kind = "Arguments" if parameter.param_type_name == "argument" else "Options"
                kinds[kind].append(record)
        for title, records in kinds.items():
            if records:
                console.print()
                console.print(Text(title, style="bold"))
            for name, text in records:
                console.print(Prose(Text(name, style="cyan"), whole=True, indent=2))
                console.print(Prose(_plain(text), indent=6))
        console.print()
        for example in examples(self.help or ""):
            console.print(Prose(Text.assemble((_EXAMPLE, "bold"), example), whole=True))


def paragraphs(docstring: str) -> list[str]:
    """The paragraphs of a docstring, each in one line."""
    return [
        " ".join(text.split()) for text in re.split(r"\n\s*\n", inspect.cleandoc(docstring)) if text.strip()
    ]


def examples(docstring: str) -> list[str]:
    """The commands of a docstring's paragraphs "Example: medbench-local …"."""
    return [text.removeprefix(_EXAMPLE) for text in paragraphs(docstring) if text.startswith(_EXAMPLE)]


def _plain(help: str) -> Text:
    """The text of a parameter, which is escaped for typer's own help; what holds by default is dim."""
    text = Text(" ".join(help.replace("\\[", "[").split()))
    text.highlight_regex(r"\[(default|required).*?\]", "dim")
    return text
