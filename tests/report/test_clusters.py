"""The interval over pictures in every report, and nothing of it where no picture has several questions."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest

from medbench_local import read_results
from medbench_local.report import clusters, words
from medbench_local.report.markdown import markdown
from medbench_local.report.page import html
from medbench_local.report.tabular import as_csv
from medbench_local.results.schema import Results
from tests.report.examples import CASES, comparison, results
from tests.report.test_terminal import shown

FOUND = CASES["pictures"]
TEXT_ONLY = [name for name in CASES if name != "pictures"]


def _in_one(text: str) -> str:
    return " ".join(text.split())


def test_they_come_back_from_the_file(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text(FOUND.to_json(), encoding="utf-8")
    again = read_results(path)
    assert again.to_json() == FOUND.to_json()
    assert [c.clusters is not None for c in again.comparisons] == [True, True, True, False]


def test_verdicts_that_another_one_stands_beside_are_marked() -> None:
    said = [words.verdict(c, FOUND.confidence) for c in FOUND.comparisons]
    assert said == ["win†", "tie", "win, unverified†", "win"]
    assert [words.state(text) for text in said] == ["not verified", "tie", "not verified", "win"]


def test_what_differs_is_said_once() -> None:
    first, second = clusters.differences(FOUND)
    assert first.startswith(
        "vqa-rad, 3-shot: win over 1,273 questions, tie over 895 pictures [-2.3, +13.7]: "
    )
    assert second == (
        "pathvqa, 3-shot: the win rests on questions about 3 pictures, which are too few to show a difference"
    )


def _terminal(found: Results) -> str:
    return shown(found, 160)


def _brief(found: Results) -> str:
    return shown(found, 160, brief=True)


@pytest.mark.parametrize("made", [_terminal, _brief, markdown, html])
def test_every_report_says_what_differs(made: object) -> None:
    text = _in_one(made(FOUND).replace("\\", ""))  # type: ignore[operator]
    for sentence in clusters.differences(FOUND):
        assert text.count(sentence) == 1
    assert "†: over pictures it is another one" in text


@pytest.mark.parametrize("made", [_terminal, markdown, html])
def test_every_report_shows_the_interval_beside(made: object) -> None:
    text = re.sub(r"<[^>]*>|\|", " ", made(FOUND).replace("\\", ""))  # type: ignore[operator]
    line = r"vqa-rad, 3-shot\s+1,273\s+895\s+19\s+\[-2\.3, \+13\.7\]\s+tie\s+win\s+full"
    assert re.search(line, text)
    assert re.search(r"pathvqa, 3-shot\s+1,273\s+3\s+425\s+\S+ \S+\s+win, doubtful\s+win\s+q8_0", text)


def test_the_precision_of_the_interval_is_said() -> None:
    (section,) = clusters.sections(FOUND)
    assert "verified does not verify it" in section.note
    (full,) = clusters.sections(results(FOUND.comparisons[:1]))
    assert "verify" not in full.note
    assert full.rows[0][-1] == "full"


def test_csv_has_it_and_is_empty_elsewhere() -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv(FOUND))))
    first, last = rows[0], rows[-1]
    beside = FOUND.comparisons[0].clusters
    assert beside is not None
    assert (first["clusters_by"], first["clusters_n"], first["clusters_verdict"]) == ("picture", "895", "tie")
    assert (float(first["clusters_ci_low"]), float(first["clusters_ci_high"])) == beside.ci
    assert {last[name] for name in last if name.startswith("clusters_")} == {""}


@pytest.mark.parametrize("case", TEXT_ONLY)
def test_nothing_of_it_where_there_are_no_pictures(case: str) -> None:
    found = CASES[case]
    assert clusters.sections(found) == []
    assert clusters.differences(found) == []
    for text in (found.to_json(), markdown(found), _terminal(found), str(found)):
        assert not re.search("clusters|over pictures|†", text)
    assert not re.search("over pictures|†", html(found))


def test_as_text() -> None:
    assert str(FOUND.comparisons[0]).endswith("; over 895 pictures: tie [-2.3, +13.7]")
    assert "pictures" not in str(comparison())
