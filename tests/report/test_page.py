from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from medbench_local.report.page import html
from medbench_local.results.evidence import Evidence
from tests.report import asked
from tests.report.examples import CASES, EMOJI, RIGHT_TO_LEFT, checked, comparison, results

VOID = {"meta", "input"}


class Page(HTMLParser):
    """The elements of a page as another parser sees them; fails where they do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def filled(case: str) -> str:
    return html(CASES[case], asked.some(CASES[case], 12))


@pytest.mark.parametrize("case", CASES)
def test_a_page_is_well_formed_and_needs_nothing_from_outside(case: str) -> None:
    for text in (html(CASES[case]), filled(case), html(CASES[case], asked.hostile(CASES[case]))):
        page = Page(text)
        assert not page.tags & {"img", "iframe", "object", "embed", "link", "form", "base"}
        for name, value in page.attributes:
            assert not name.startswith("on")
            assert name not in ("src", "srcset", "action", "style")
            assert not (name in ("href", "xlink:href") and not (value or "").startswith("#"))
        ids = [value for name, value in page.attributes if name == "id"]
        assert len(ids) == len(set(ids))
        classes = {
            part for name, value in page.attributes if name == "class" for part in (value or "").split()
        }
        assert "none" not in classes


def test_the_policy_names_the_hashes_of_the_only_style_and_script() -> None:
    text = filled("hostile")
    policy = re.findall(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', text)
    assert len(policy) == 1
    for tag, kind in (("style", "style-src"), ("script", "script-src")):
        parts = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        assert len(parts) == 1
        digest = base64.b64encode(hashlib.sha256(parts[0].encode()).digest()).decode()
        assert f"{kind} 'sha256-{digest}';" in policy[0].replace("&#39;", "'")
        assert "<!--" not in parts[0]
    assert "unsafe" not in policy[0]
    assert "default-src 'none'" in policy[0].replace("&#39;", "'")
    assert text.index("Content-Security-Policy") < text.index("<style>")


def carried(text: str) -> dict[str, Any]:
    """The questions that a page carries."""
    data = re.findall(r'<script type="application/json" id="packed">(".*?")</script>', text)
    assert len(data) == 1
    found: dict[str, Any] = json.loads(gzip.decompress(base64.b64decode(json.loads(data[0]))))
    return found


def test_the_questions_are_in_the_page_once() -> None:
    run = results([comparison(shots=0), comparison(shots=3)])
    found = carried(html(run, asked.some(run, 30)))
    assert len(found["rows"]) == 60
    assert len(found["questions"]) == 30
    assert found["comparisons"] == [["medqa", 0, None, "medqa, 0-shot"], ["medqa", 3, None, "medqa, 3-shot"]]
    assert found["names"] == ["meditron-7b", "llama-2-7b"]
    assert list(found["pictures"]) == [asked.PICTURE]
    question, where, medical, base = found["rows"][35]
    assert (question, where) == (5, 1)
    assert medical == [1, [0.1, 0.7, 0.1, 0.1], "The answer is (B).", "", False, False]
    assert base == [2, [0.1, 0.1, 0.7, 0.1], "", "", False, False]
    assert found["questions"][5][:2] == ["q/5", ""]


def test_without_questions_the_page_says_so() -> None:
    for text in (html(CASES["one comparison"]), html(CASES["one comparison"], Evidence())):
        assert "The folder that this page was made from has no questions" in text
        assert "has no texts of prompts" in text
        assert 'id="packed"' not in text


def test_what_the_evidence_says_of_its_questions_stands_above_them() -> None:
    text = html(CASES["one comparison"], asked.some(CASES["one comparison"], 1))
    questions = text[text.index('<section id="questions">') :]
    assert questions.index("Probabilities are of the options&#39; letters.") < questions.index('id="packed"')
    missing = html(CASES["one comparison"], Evidence(notes=("They were left out: --no-questions.",)))
    assert "They were left out: --no-questions." in missing


def test_what_is_copied_is_one_line() -> None:
    evidence = asked.some(CASES["every kind"], 1)
    text = html(CASES["every kind"], evidence)
    assert f"<code>{evidence.command}</code>" in text
    assert re.search(r"<code>medbench-local:[^\n]*\|device:unknown</code>", text)


def test_every_hash_and_the_protocol_are_there_in_full() -> None:
    run = CASES["one comparison"].model_copy(
        update={
            "protocol_content": {"name": "laptop", "limits": {"test": 1273}},
            "identity": "01234567",
        }
    )
    text = html(run)
    assert "0123456789abcdef" * 4 in text
    assert "limits:\n  test: 1273" in text
    assert "2024.emnlp-main.677" in text
    assert "computed on" in text


def test_a_prompt_s_invisible_end_is_said() -> None:
    text = html(CASES["one comparison"], asked.some(CASES["one comparison"], 1))
    assert '<pre dir="auto">Question of medical:\n(A) yes\n(B) no\nAnswer: </pre>' in text
    assert text.count("It ends with a blank.") == 2


def test_what_was_not_checked_is_never_called_checked() -> None:
    text = html(
        results([comparison(check=checked("none")), comparison("pubmedqa", "win", check=checked("none"))])
    )
    tiles = re.findall(r'<dd class="small">(.*?)</dd>', text)
    assert tiles == ["not checked", "not checked", ""]
    assert "0 not verified" not in text
    assert "% not verified" not in text
    assert "not checked against full precision (--check sample does that)" in text


def test_the_forest_lies_where_the_numbers_say() -> None:
    """The interval of a win lies wholly to the right of the zero line, that of a loss to the left, in proportion."""
    run = results([comparison(verdict=verdict, candidates=0) for verdict in ("win", "tie", "loss")])
    forest = re.findall(r'<svg class="plot".*?</svg>', html(run))[:3]
    places = []
    for drawn, found in zip(forest, run.comparisons, strict=True):
        zero = float(re.findall(r'class="zero" x1="([\d.]+)"', drawn)[0])
        low, high = map(
            float,
            re.findall(rf'class="bar {found.verdict} sure" x1="([\d.]+)" y1="\S+" x2="([\d.]+)"', drawn)[0],
        )
        assert (low > zero) == (found.verdict == "win")
        assert (high < zero) == (found.verdict == "loss")
        places += [((low - zero), found.ci[0]), ((high - zero), found.ci[1])]
    scales = [x / value for x, value in places]
    assert max(scales) - min(scales) < 0.02 * max(scales)
    hollow = html(results([comparison(verdict="win", check=checked("unsettled", "tie", "win"))]))
    assert 'class="bar win open"' in hollow


@pytest.mark.parametrize("case", ["every kind", "one comparison", "other scripts", "forty"])
def test_everything_is_on_the_page(case: str) -> None:
    text = " ".join(Page(html(CASES[case])).text)
    for wanted in CASES[case].comparisons:
        assert wanted.task in text
        assert wanted.reported in text
    assert "How to read this" in text
    assert "medbench-local:" in text


def test_a_right_to_left_name_does_not_turn_round_what_follows_it() -> None:
    page = html(CASES["other scripts"])
    assert f"<h1>\u2068{RIGHT_TO_LEFT}\u2069 against {EMOJI}</h1>" in page
    assert f"\u2068{RIGHT_TO_LEFT}\u2069, 3-shot" in page


def test_equal_results_are_equal_bytes_but_for_timing() -> None:
    one, again, slower = (html(results([comparison()], seconds=s)) for s in (1.0, 1.0, 99.0))
    assert one == again
    assert sum(a != b for a, b in zip(one.splitlines(), slower.splitlines(), strict=True)) == 1
