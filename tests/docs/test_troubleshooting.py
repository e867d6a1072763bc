"""Every message that docs/troubleshooting.md quotes is one that the code has."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import medbench_local
from medbench_local.cli.wording import on_command_line
from tests.docs.pages import ROOT, table_rows

PACKAGE = Path(medbench_local.__file__).parent
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
QUOTED = [row[0].strip("`") for row in table_rows(PAGE) if row[0].startswith("`")]


@cache
def texts() -> tuple[str, ...]:
    """Every text of the code, what is filled in as "…"."""
    return tuple(
        re.sub("…+", "…", on_command_line(text))
        for path in PACKAGE.rglob("*.py")
        for text in _texts(ast.parse(path.read_text(encoding="utf-8")))
    )


def _texts(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_there_are_some() -> None:
    assert len(QUOTED) > 40
    assert len(set(QUOTED)) == len(QUOTED)


@pytest.mark.parametrize("message", QUOTED)
def test_a_message_is_in_the_code(message: str) -> None:
    parts = [re.escape(part) for part in re.split("…+", message)]
    assert max(map(len, parts)) > 10, "it says hardly anything of its own"
    pattern = re.compile(".*".join(parts).removeprefix(".*"), re.DOTALL)
    assert any(pattern.search(text) for text in texts()), message
