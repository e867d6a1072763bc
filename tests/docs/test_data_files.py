"""The names of data files in docs/offline.md are those that the catalog looks for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from medbench_local.catalog.load import DATA
from tests.docs.pages import ROOT


def test_the_files_of_data_sets_are_those_that_are_looked_for() -> None:
    layouts = yaml.safe_load((DATA / "tasks.yaml").read_text(encoding="utf-8"))

    def texts(value: Any) -> Iterator[str]:
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict | list):
            for one in value.values() if isinstance(value, dict) else value:
                yield from texts(one)

    known = set(texts(layouts["sources"]))
    page = (ROOT / "docs" / "offline.md").read_text(encoding="utf-8").partition("## Data from a folder")[2]
    named = re.findall(r"`([a-z_]+/[^`]+)`", page)
    assert len(named) >= 19
    assert [name for name in named if name not in known] == []
