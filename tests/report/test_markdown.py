from __future__ import annotations

import re
from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from medbench_local.report.markdown import escaped, markdown
from medbench_local.report.words import plain
from tests.report.examples import CASES, comparison, results

UNESCAPED_PIPE = re.compile(r"(?<!\\)(?:\\\\)*\|")


@pytest.mark.parametrize("case", CASES)
def test_every_table_has_one_width_and_one_number_of_columns(case: str) -> None:
    lines = markdown(CASES[case]).splitlines()
    tables = [list(group) for is_row, group in groupby(lines, lambda line: line.startswith("|")) if is_row]
    assert tables or case == "no comparison"
    for table in tables:
        assert len({len(UNESCAPED_PIPE.findall(line)) for line in table}) == 1
        assert len({cell_len(line) for line in table}) == 1
        assert re.fullmatch(r"\|( -+[-:] \|)+", table[1])


@given(st.text())
def test_escaping_keeps_the_text_and_leaves_no_pipe_or_tag(text: str) -> None:
    shown = escaped(plain(text))
    assert not UNESCAPED_PIPE.search(shown)
    assert not re.search(r"(?<!\\)(?:\\\\)*[<`*\[]", shown)
    assert "\n" not in shown
    assert re.sub(r"\\([^\w\s])|\\(_)", r"\1\2", shown) == plain(text)


def test_underscores_inside_names_stay_readable() -> None:
    assert escaped("q4_k_m") == "q4_k_m"
    assert escaped("_emphasis_") == r"\_emphasis\_"


def test_equal_results_are_equal_bytes_and_timing_is_one_line() -> None:
    one, again, slower = (results([comparison()], seconds=s) for s in (1.0, 1.0, 99.0))
    assert markdown(one) == markdown(again)
    differing = [
        (a, b)
        for a, b in zip(markdown(one).splitlines(), markdown(slower).splitlines(), strict=True)
        if a != b
    ]
    assert len(differing) == 1


def test_verdicts_and_reasons_are_in_it() -> None:
    text = markdown(CASES["every kind"])
    assert re.search(
        r"\| medqa +\| +1,273 \| +45\.6 \| +39\.4 \| +\+6\.2 \\\[\+3\.1, \+9\.3\\\] \| win +\|", text
    )
    assert (
        "pubmedqa, 0-shot is not verified: after 318 of 1,273 questions full precision may still give tie or win"
        in text
    )
    assert "medbench-local:" in text
