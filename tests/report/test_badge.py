from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

import pytest

from medbench_local.report.badge import badge, sweep_badge
from tests.report.examples import CASES, checked, comparison, results
from tests.report.sweeps import SWEEPS, study_sized

LINE = re.compile(r"\[!\[((?:\\.|[^\]\\])*)\]\((\S+?)\)\]\((\S*?)\) (.*)")


def parts(line: str) -> tuple[str, dict[str, list[str]], str, str]:
    """Alternative text, what the badge is asked to show, target and the rest."""
    found = LINE.fullmatch(line)
    assert found is not None, line
    alt, address, target, rest = found.groups()
    split = urlsplit(address)
    assert (split.scheme, split.netloc, split.path) == ("https", "img.shields.io", "/static/v1")
    return alt, parse_qs(split.query), target, rest


def test_a_line_says_counts_tasks_precision_and_date() -> None:
    alt, shown, target, rest = parts(badge(CASES["every kind"]))
    assert shown["label"] == ["meditron-7b against llama-2-7b"]
    assert shown["message"] == ["1 win, 1 tie, 1 loss, 1 not verified"]
    assert alt == "meditron-7b against llama-2-7b: 1 win, 1 tie, 1 loss, 1 not verified"
    assert target == "report.html"
    assert rest == (
        "4 tasks, 0/3-shot, q8_0, 1 of 4 comparisons reported at full precision, 2026-01-02; medbench-local"
    )


def test_only_what_is_settled_is_counted() -> None:
    found = results([comparison(check=checked("none")), comparison("pubmedqa", "win")])
    assert parts(badge(found))[1]["message"] == ["1 win, 0 ties, 0 losses, 1 not checked"]
    doubtful = comparison("medqa", "win").model_copy(update={"mcnemar_p": 0.2})
    assert parts(badge(results([doubtful])))[1]["message"] == ["0 wins, 0 ties, 0 losses, 1 doubtful"]


def test_a_limit_and_the_tasks_are_said() -> None:
    found = CASES["one comparison"].model_copy(update={"limit": 40})
    assert parts(badge(found))[3].startswith("medqa, 3-shot, at most 40 questions of each, ")


def test_all_badges_have_one_colour() -> None:
    assert {parts(badge(case))[1]["color"][0] for case in CASES.values()} == {"555"}


@pytest.mark.parametrize("case", CASES)
def test_nothing_in_a_name_ends_a_part_of_the_line(case: str) -> None:
    line = badge(CASES[case], "https://example.org/a b)(c>?x=[1]\n")
    assert "\n" not in line
    assert "](https://example.org/a%20b%29%28c%3E?x=%5B1%5D%0A) " in line
    parts(line)


def test_a_sweep_says_its_pairs() -> None:
    _, shown, _, rest = parts(sweep_badge(study_sized()))
    assert shown["label"] == ["medical models, 12 pairs"]
    assert re.fullmatch(
        r"\d+ wins, \d+ ties, \d+ losses, \d+ not verified, \d+ doubtful", shown["message"][0]
    )
    assert sum(map(int, re.findall(r"\d+", shown["message"][0]))) == 154
    assert rest == "13 tasks, q8_0, 2026-01-02; medbench-local"
    assert parts(sweep_badge(SWEEPS["partial"]))[1]["label"] == ["medical models, 2 of 3 pairs"]
