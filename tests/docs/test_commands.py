"""Every command of the pages is understood by the program, and run where that takes neither a network nor weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, ShellCommand, blocks, shell_commands
from tests.docs.parsing import parse
from tests.docs.running import Tutorial, why_not_run

CASES = [(page, number, one) for page in PAGES for number, one in enumerate(shell_commands(page))]


@pytest.fixture(scope="module")
def tutorials(demo_run: Path) -> Iterator[dict[Path, Tutorial]]:
    """The pages whose commands were run so far; at the end it is said how many were, and why others were not."""
    found: dict[Path, Tutorial] = {}
    yield found
    run = sum(text is not None for one in found.values() for text in one.done.values())
    reasons = Counter(reason for one in found.values() for reason in one.reasons.values())
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
