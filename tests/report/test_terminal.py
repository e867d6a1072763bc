from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from medbench_local.report import sections, words
from medbench_local.report.screen import Screen
from medbench_local.report.section import Column, Section
from medbench_local.report.terminal import FittedTable, show_results
from medbench_local.results.schema import Results
from tests.report.examples import CASES, LONG

FOLDER = Path("runs") / "a-vs-b-01234567"


def shown(results: Results, width: int, *, colour: bool = False, brief: bool = False) -> str:
    file = io.StringIO()
    console = Screen(
        file=file,
        width=width,
        highlight=False,
        force_terminal=colour,
        color_system="standard" if colour else None,
    )
    console.print(show_results(results, FOLDER, brief=brief))
    return file.getvalue()


@pytest.mark.parametrize("width", [80, 100, 160, 1000])
@pytest.mark.parametrize("case", CASES)
def test_nothing_is_cut_and_nothing_is_too_wide(case: str, width: int) -> None:
    text = shown(CASES[case], width)
    assert "…" not in text
    tables = (*sections.verdicts(CASES[case]), *sections.details(CASES[case]))
    names = {row[0] for section in tables for row in section.rows}
    for line in text.splitlines():
        if (
            cell_len(line) > width
        ):  # what is copied is left to the terminal, and so is a word that is too long
            copied = line.startswith(("files: ", "signature: ")) or line in names
            assert copied or cell_len(max(line.split(), key=len)) > width - 2, line
    assert "\x1b" not in text


@pytest.mark.parametrize("width", [80, 100, 160])
@pytest.mark.parametrize("case", CASES)
def test_every_number_of_a_verdict_is_on_one_line(case: str, width: int) -> None:
    lines = shown(CASES[case], width).splitlines()
    for section in sections.verdicts(CASES[case]):
        longest = max(len(row[0]) for row in section.rows)
        for task, n, medical, base, difference, verdict in section.rows:
            wanted = [n, medical, base, *difference.split(), *verdict.split()]
            named = f"  n {n}; medical {medical}; base {base}; difference {' '.join(difference.split())}"
            in_a_table = any(line.split()[-len(wanted) :] == wanted for line in lines)
            below_its_name = task in lines and any(line.startswith(named) for line in lines)
            assert in_a_table or (longest > 40 and below_its_name), wanted


def test_a_short_name_stands_on_the_line_of_its_numbers_at_80_columns() -> None:
    lines = shown(CASES["every kind"], 80).splitlines()
    line = next(line for line in lines if line.startswith("mmlu-professional-medicine"))
    assert "-0.4 [-3.5, +2.7]" in line


def test_long_names_are_whole() -> None:
    (task,) = {row[0] for section in sections.verdicts(CASES["long names"]) for row in section.rows}
    assert LONG in task
    assert task in shown(CASES["long names"], 80).splitlines()


def test_colour_marks_verdicts_only_where_there_is_colour() -> None:
    assert "\x1b[1;32mwin" in shown(CASES["every kind"], 100, colour=True)
    assert "\x1b" not in shown(CASES["every kind"], 100)


def test_everything_that_was_scored_is_shown() -> None:
    text = shown(CASES["every kind"], 160)
    for part in (
        "Ablations",
        "Precisions tried",
        "pubmedqa, 0-shot is not verified: after 318 of 1,273",
        "Check against full precision",
        "Changes by quantisation",
        "tie or win",
        "43.2",
    ):
        assert part in text
    for part in (
        "format 3, demonstrations 7",
        "2,345/12,345",
        "≤ 0.05",
        "47.5",
        "+3.1",
        "warning: 12 of 1,273",
    ):
        assert part in text
    assert "*: on the questions that the prompt was chosen by" in text
    assert "+12.5" not in text, "what it gained on the questions it was chosen by"
    assert "Ablations" not in shown(CASES["one comparison"], 160)
    assert "Precisions tried" not in shown(CASES["one comparison"], 160)
    assert "not selected" in shown(CASES["no candidates"], 160)


def test_brief_keeps_verdicts_reasons_and_warnings() -> None:
    text = shown(CASES["every kind"], 160, brief=True)
    assert "is not verified:" in text
    assert "warning:" in text
    assert "Prompts" not in text


def test_escape_sequences_of_a_name_do_not_reach_the_terminal() -> None:
    text = shown(CASES["hostile"], 80)
    assert not {"\x1b", "\x00", "\u202e"} & set(text)


def test_headline_of_the_run_is_first() -> None:
    assert shown(CASES["every kind"], 160).splitlines()[0] == words.headline(CASES["every kind"])


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_table_on_a_narrow_terminal_loses_no_character(width: int) -> None:
    names = ("n", "flips", "correct→wrong", "accuracy", "interval")
    columns = (Column("task", name_of_row=True), *(Column(name, numeric=True) for name in names))
    row = ("mmlu-college-medicine, 0-shot", "1,273", "123", "45", "71.2 % → 70.9 %", "[-1.25, +0.75]")
    file = io.StringIO()
    Console(file=file, width=width).print(
        FittedTable(Section("", "", (*columns, Column("outcome")), ((*row, "inconclusive"),)))
    )
    shown = file.getvalue()
    assert "…" not in shown
    for character in set("".join(row) + "inconclusive") - {" "}:
        in_a_table = shown.startswith("task")
        heads = "".join((*(["task"] if in_a_table else []), "outcome", *names))
        assert shown.count(character) == ("".join(row) + "inconclusive" + heads).count(character)
