from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from rich.console import Console

from medbench_local.report.files import FORMATS, write_reports
from medbench_local.report.terminal import show_check
from medbench_local.results.checks import EquivalenceRecord
from medbench_local.results.model_check import ModelCheck, TaskCheck
from medbench_local.results.reading import read_results
from tests.report.examples import CASES
from tests.report.test_terminal import shown


def test_a_run_gets_its_reports(tmp_path: Path) -> None:
    write_reports(tmp_path, CASES["every kind"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "report.md"]
    assert (tmp_path / "report.md").read_text(encoding="utf-8") == FORMATS["md"](CASES["every kind"])


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
def test_a_report_can_be_read_by_whom_the_user_lets_read(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    write_reports(tmp_path, CASES["one comparison"])
    assert (tmp_path / "report.html").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("ending", ["md", "html", "csv", "json"])
def test_reports_of_a_file_that_was_read_back_are_the_same(tmp_path: Path, ending: str) -> None:
    path = tmp_path / "results.json"
    path.write_text(CASES["other scripts"].to_json(), encoding="utf-8")
    assert FORMATS[ending](read_results(path)) == FORMATS[ending](CASES["other scripts"])


def test_the_headings_are_those_of_the_field() -> None:
    """Names that a reader of the field would have to guess at are used no more; their successors are."""
    results = CASES["every kind"]
    for text in (FORMATS["html"](results), FORMATS["md"](results), shown(results, 160)):
        for old in ("Noticed", "Beside the verdicts", "settled by", "lost/won", "other answer"):
            assert old not in text
        assert "Evidence" in text
    for ending in ("html", "md"):
        assert "Provenance" in FORMATS[ending](results)


def test_a_check_of_a_model_names_flips_in_both_directions() -> None:
    found = EquivalenceRecord(
        outcome="inconclusive",
        reference_precision="full",
        n=150,
        flips=13,
        flip_ci=(0.056, 0.132),
        correct_to_wrong=7,
        wrong_to_correct=2,
        accuracy_full=0.70,
        accuracy_quantised=0.667,
        difference=-0.033,
        ci=(-0.073, 0.001),
        confidence=0.9,
        margin=0.03,
        questions_needed=36850,
        kl_mean=0.0012,
        kl_max=0.1,
        flip_margins=(),
        near_ties=3,
    )
    file = io.StringIO()
    Console(file=file, width=160).print(
        show_check(ModelCheck("demo-med", "q2_k", "full", (TaskCheck("medqa", 0, found),), found))
    )
    text = file.getvalue()
    row = next(line for line in text.splitlines() if line.startswith("medqa,"))
    assert [row.split()[i] for i in (2, 3, 4, 5)] == ["150", "13", "7", "2"]
    assert "flips  correct→wrong  wrong→correct" in text
    assert "to settle it: about 36,850 questions" in " ".join(text.split())
