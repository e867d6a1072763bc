"""What the pages say runs: commands, where that takes neither a network nor weights, examples in Python, real results.

All of it in one file, because all of it needs the one run of the embedded pair, and files are what workers share out.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import (
    PAGES,
    PLAIN,
    ROOT,
    Block,
    ShellCommand,
    blocks,
    name_of,
    shell_commands,
    table_rows,
)
from tests.docs.parsing import parse
from tests.docs.running import Tutorial, entered, why_not_run

CASES = [(page, number, one) for page in PAGES for number, one in enumerate(shell_commands(page))]


@pytest.fixture(scope="module")
def tutorials(demo_run: Path, request: pytest.FixtureRequest) -> Iterator[dict[Path, Tutorial]]:
    """The pages whose commands were run so far; at the end it is said how many were, and why others were not."""
    found: dict[Path, Tutorial] = {}
    yield found
    run = sum(text is not None for one in found.values() for text in one.done.values())
    reasons = Counter(reason for one in found.values() for reason in one.reasons.values())
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(f"\n{run} commands of the documentation were run, {reasons.total()} parsed only:")
        for reason, count in reasons.most_common():
            print(f"  {count:4} {reason}")


@pytest.mark.parametrize(("page", "number", "command"), CASES, ids=[str(one) for *_, one in CASES])
def test_a_command_is_understood_and_runs(
    page: Path,
    number: int,
    command: ShellCommand,
    tutorials: dict[Path, Tutorial],
    demo_run: Path,
    documented: None,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        parse(command, patch)
    if page not in tutorials:
        tutorials[page] = Tutorial(page, tmp_path_factory.mktemp(page.stem) / "page", demo_run)
    tutorials[page].reach(number)


def test_the_first_block_of_the_readme_has_two_commands() -> None:
    first = next(block for block in blocks(ROOT / "README.md") if block.language == "sh")
    assert [one.words for one in shell_commands(first.page) if one.line in first.lines] == [
        ("make", "demo"),
        ("make", "test"),
    ]


def test_enough_are_run(tmp_path: Path) -> None:
    """A reading that takes everything for something that cannot be run would be seen."""
    runnable = {one.words[1] for *_, one in CASES if why_not_run(one, tmp_path) is None}
    assert runnable >= {"compare", "check", "sweep", "report", "runs", "prompts", "quants", "verdict"}


@pytest.mark.parametrize(
    "words",
    [
        "medbench-local compare demo-med demo-base --shotz 0",
        "medbench-local compare demo-med demo-base --limit 0",
        "medbench-local compare demo-med demo-base --tasks medqqa",
        "medbench-local compare demo-med demo-base --quant q9_0",
        "medbench-local compare demo-med demo-base --protocol lap-top",
        "medbench-local compare meditron-8b llama-2-7b",
        "medbench-local check demo-med",
        "medbench-local model list",
        "medbench-local report RUN --formats csv",
        "medbench-local score MODEL",
        "make dmeo",
        "python -m benchmarks.sped",
        "python -m benchmarks.speed --thread",
        "pip install medbench-local[exel]",
    ],
)
def test_wrong_commands_are_found(words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ShellCommand(ROOT / "README.md", 1, tuple(words.split()), {}, inline=False, piped=False)
    with pytest.raises(AssertionError):
        parse(command, monkeypatch)


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
