from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from medbench_local.cli.report import report
from medbench_local.errors import UsageError
from medbench_local.report.files import FORMATS, report_text
from medbench_local.results.evidence_reading import LEFT_OUT, read_evidence
from medbench_local.results.folder import RunFolder
from tests.report.examples import CASES

RESULTS = CASES["every kind"]
app = typer.Typer()
app.command()(report)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A folder with one finished run and one that is not."""
    finished, interrupted = RunFolder(tmp_path / "a-vs-b-01234567"), RunFolder(tmp_path / "c-vs-d-89abcdef")
    for run in (finished, interrupted):
        run.path.mkdir()
        run.write_manifest({})
    finished.write_results(RESULTS)
    return tmp_path


def called(*arguments: str) -> str:
    done = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


def expected(runs: Path, ending: str) -> str:
    """The report of the finished run, with what its folder says beside its results."""
    return report_text(ending, RESULTS, read_evidence(RunFolder(runs / "a-vs-b-01234567"), RESULTS))


@pytest.mark.parametrize("ending", ["html", "md", "csv", "json"])
def test_stdout_is_the_report_and_nothing_else(runs: Path, ending: str) -> None:
    text = called("a-vs-b", "--folder", str(runs), "--format", ending)
    assert text == expected(runs, ending)


def test_json_is_the_run_s_own_file(runs: Path) -> None:
    text = called(str(runs / "a-vs-b-01234567"), "--format", "json")
    assert text == (runs / "a-vs-b-01234567" / "results.json").read_text(encoding="utf-8")
    assert json.loads(text)["schema"] == 2


@pytest.mark.parametrize("name", ["r.html", "r.md", "r.csv", "r.JSON"])
def test_the_ending_of_the_output_says_the_format(runs: Path, name: str) -> None:
    output = runs / name
    assert called("01234567", "--folder", str(runs), "--output", str(output)) == ""
    assert output.read_text(encoding="utf-8") == expected(runs, name.split(".")[1].lower())


def test_without_a_format_the_run_is_shown_uncut_in_a_pipe(runs: Path) -> None:
    text = called("a-vs-b", "--folder", str(runs))
    assert "mmlu-professional-medicine" in text
    assert "2,345/12,345" in text
    assert "…" not in text
    assert "\x1b" not in text


def test_an_unfinished_run_and_an_unknown_ending_are_refused(runs: Path) -> None:
    with pytest.raises(UsageError, match="not finished"):
        called("c-vs-d", "--folder", str(runs))
    with pytest.raises(UsageError, match="format is meant"):
        called("a-vs-b", "--folder", str(runs), "--output", str(runs / "report.pdf"))
    assert not (runs / "report.pdf").exists()


def test_the_help_names_every_format() -> None:
    shown = CliRunner().invoke(app, ["--help"]).output.replace("│", " ")
    assert f"One of {', '.join(FORMATS)}." in " ".join(shown.split())


def test_questions_are_left_out_where_they_are_not_wanted(runs: Path) -> None:
    given = ("a-vs-b", "--folder", str(runs), "--format", "html")
    assert LEFT_OUT in called(*given, "--no-questions")
    assert LEFT_OUT not in called(*given)
