from __future__ import annotations

import os
from pathlib import Path

import pytest

from medbench_local.report.files import FORMATS, write_reports
from medbench_local.results.reading import read_results
from tests.report.examples import CASES


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
