"""docs/commands.md is what the command line is today."""

from __future__ import annotations

import re
import runpy
from collections.abc import Iterator
from typing import Any

import pytest

from tests.docs.pages import ROOT
from tests.docs.parsing import tree

PAGE = ROOT / "docs" / "commands.md"


def test_the_page_is_what_its_script_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    written = runpy.run_path(str(ROOT / "docs" / "commands.py"))["page"]()
    assert written == PAGE.read_text(encoding="utf-8"), "run `python docs/commands.py`"


def leaves(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    for name, one in node.commands.items():
        if hasattr(one, "commands"):
            yield from leaves(one, f"{path}{name} ")
        else:
            yield f"{path}{name}", one


def test_it_has_every_option_that_the_parser_knows() -> None:
    sections = dict(
        re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    )
    commands = dict(leaves(tree()))
    assert list(sections.keys() ^ commands.keys()) == []
    for name, node in commands.items():
        known = {
            flag
            for one in node.params
            if one.param_type_name == "option"
            for flag in (*one.opts, *one.secondary_opts)
        }
        said = set(re.findall(r"^\| (.+?) \|", sections[name], re.M))
        flags = {flag for row in said for flag in re.findall(r"`(--?[a-z][a-z-]*)`", row)}
        assert flags == known - {"--help", "-h"}, name
