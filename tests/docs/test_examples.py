"""Examples in Python run as they stand and print what their pages say; tables of results are those of a real run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest
import yaml

from medbench_local.catalog.load import DATA
from tests.docs.pages import PAGES, PLAIN, ROOT, Block, blocks, name_of, table_rows
from tests.docs.running import Tutorial, entered

OF_THEIR_OWN = {"docs/python.md"}
"""Pages whose examples have tests that say more."""


def examples() -> Iterator[tuple[Block, Block | None]]:
    """Every example, with the block that follows it."""
    for page in PAGES:
        if name_of(page) not in OF_THEIR_OWN:
            found = list(blocks(page))
            yield from (
                (one, after) for one, after in zip_longest(found, found[1:]) if one.language == "python"
            )


EXAMPLES = list(examples())


@pytest.mark.parametrize(
    ("block", "following"), EXAMPLES, ids=[f"{name_of(one.page)}:{one.line}" for one, _ in EXAMPLES]
)
def test_an_example_runs(
    block: Block,
    following: Block | None,
    demo_run: Path,
    documented: None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    place = f"{name_of(block.page)}:{block.line}"
    code = compile(block.text, place, "exec")
    if "needs" in block.said:
        return
    with entered(Tutorial(block.page, tmp_path / "page", demo_run).folder):
        exec(code, {})  # noqa: S102
    printed = capsys.readouterr().out
    assert printed
    if following is not None and following.language == PLAIN and following.lines[0] - block.lines[-1] <= 4:
        assert printed == following.text


def comparisons(run: Path) -> dict[str, Any]:
    found = json.loads((run / "results.json").read_text(encoding="utf-8"))["comparisons"]
    return {one["task"]: one for one in found}


def test_the_example_of_a_verdict_is_a_real_one(demo_run: Path) -> None:
    """Other processors round otherwise: a question or two may fall to the other side."""
    text = (ROOT / "docs" / "verdict.md").read_text(encoding="utf-8")
    said = re.search(r"n, medical_only, base_only = (\d+), (\d+), (\d+)", text)
    assert said is not None
    n, *discordant = map(int, said.groups())
    found = comparisons(demo_run)["demo-anatomy"]
    assert (n, found["verdict"]) == (found["n"], "tie")
    for count, real in zip(discordant, found["discordant"].values(), strict=True):
        assert abs(count - real) <= 3


def shown_results(page: str) -> Sequence[Sequence[str]]:
    rows = list(table_rows((ROOT / page).read_text(encoding="utf-8")))
    return [row for row in rows if row[0].startswith("demo-")]


def test_the_readme_s_results_are_real(demo_run: Path) -> None:
    rows = shown_results("README.md")
    found = comparisons(demo_run)
    assert [row[0] for row in rows] == list(found)
    for task, n, medical, base, difference, verdict in rows:
        real = found[task]
        assert (int(n), verdict) == (real["n"], real["verdict"])
        numbers = [medical, base, *re.findall(r"[+-]?\d+\.\d", difference)]
        exact = [real["accuracy"]["medical"], real["accuracy"]["base"], real["difference"], *real["ci"]]
        assert [float(one) for one in numbers] == pytest.approx([100 * one for one in exact], abs=1.0)


def test_the_files_of_data_sets_are_those_that_are_looked_for() -> None:
    """Those of docs/offline.md against the layouts of the catalog."""
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
