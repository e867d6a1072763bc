from __future__ import annotations

import io
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from medbench_local.cli.output import out
from medbench_local.cli.report import report
from medbench_local.errors import InputError, UsageError
from medbench_local.report.files import ENDINGS, FORMATS, SWEEP_FORMATS, report_text
from medbench_local.report.identity import signature
from medbench_local.report.terminal import show_results
from medbench_local.results.evidence_reading import LEFT_OUT, read_evidence
from medbench_local.results.folder import RunFolder
from medbench_local.results.partial import ComparisonName, PartialResults
from medbench_local.results.sweep_folder import SweepFolder
from tests.report.examples import CASES
from tests.report.sweeps import SWEEPS, written

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


def expected(runs: Path, format: str) -> str:
    """The report of the finished run, with what its folder says beside its results."""
    return report_text(format, RESULTS, read_evidence(RunFolder(runs / "a-vs-b-01234567"), RESULTS))


@pytest.mark.parametrize("ending", ["html", "md", "csv", "latex", "json"])
def test_stdout_is_the_report_and_nothing_else(runs: Path, ending: str) -> None:
    text = called("a-vs-b", "--folder", str(runs), "--format", ending)
    assert text == expected(runs, ending)


def test_json_is_the_run_s_own_file(runs: Path) -> None:
    text = called(str(runs / "a-vs-b-01234567"), "--format", "json")
    assert text == (runs / "a-vs-b-01234567" / "results.json").read_text(encoding="utf-8")
    assert json.loads(text)["schema"] == 2


@pytest.mark.parametrize("name", ["r.html", "r.md", "r.csv", "r.tex", "r.JSON"])
def test_the_ending_of_the_output_says_the_format(runs: Path, name: str) -> None:
    output = runs / name
    assert called("01234567", "--folder", str(runs), "--output", str(output)) == ""
    assert output.read_text(encoding="utf-8") == expected(runs, ENDINGS[name.split(".")[1].lower()])


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


@pytest.mark.parametrize("format", [None, "html", "md"])
def test_what_is_finished_of_a_run_that_goes_on_is_shown_and_marked(runs: Path, format: str | None) -> None:
    first = next(c for c in RESULTS.comparisons if not c.check.settled)
    RunFolder(runs / "c-vs-d-89abcdef").write_partial(
        PartialResults(
            **dict(RESULTS),
            missing=(ComparisonName(task="<b>late*r", shots=3),),
            provisional=(ComparisonName(task=first.task, shots=first.shots),),
        )
    )
    asked = ("c-vs-d", "--folder", str(runs), *(() if format is None else ("--format", format)))
    text = called(*asked)
    done = len(RESULTS.comparisons)
    assert f"PARTIAL: {done} of {done + 1} comparisons answered by both models" in text
    name = {"html": "&lt;b&gt;late*r", "md": r"\<b\>late\*r", None: "<b>late*r"}[format]
    assert f"missing: {name}, 3-shot" in text
    assert text.count(f"{first.verdict}, provisional") == 1
    assert f"|comparisons:{done} of {done + 1}|" in text
    assert "adjusted p-values are over these alone and may change" in text
    if format == "html":
        assert "Not finished; so far: of " in text, "the sentence that is quoted says so itself"


CHECKED = next(c for c in RESULTS.comparisons if c.verified)


@pytest.mark.parametrize(
    ("missing", "provisional", "key"),
    [
        ([CHECKED], [], "missing"),
        ([], [CHECKED], "provisional"),
        ([], [ComparisonName(task="of no comparison", shots=0)], "provisional"),
        ([ComparisonName(task="later", shots=0)] * 2, [], "missing"),
    ],
)
def test_a_partial_file_that_contradicts_itself_is_not_shown(
    runs: Path, missing: list[Any], provisional: list[Any], key: str
) -> None:
    run = RunFolder(runs / "c-vs-d-89abcdef")
    names = [
        tuple(ComparisonName(task=one.task, shots=one.shots) for one in ones)
        for ones in (missing, provisional)
    ]
    run.write_partial(PartialResults(**dict(RESULTS), missing=names[0], provisional=names[1]))
    with pytest.raises(InputError, match=f"key '{key}'"):
        called("c-vs-d", "--folder", str(runs))


@pytest.mark.parametrize("format", ["csv", "latex", "badge"])
def test_formats_that_cannot_say_so_are_of_finished_runs(runs: Path, format: str) -> None:
    partial = PartialResults(**dict(RESULTS), missing=(), provisional=())
    RunFolder(runs / "c-vs-d-89abcdef").write_partial(partial)
    with pytest.raises(UsageError, match="not finished"):
        called("c-vs-d", "--folder", str(runs), "--format", format)


@pytest.fixture
def sweep(tmp_path: Path) -> SweepFolder:
    """The folder of a partial sweep."""
    return written(SWEEPS["partial"], tmp_path)


@pytest.mark.parametrize("ending", ["html", "md", "csv", "latex", "json"])
def test_a_sweep_is_reported_in_every_format(sweep: SweepFolder, ending: str) -> None:
    text = called("sweep-0123", "--folder", str(sweep.path.parent), "--format", ending)
    assert text == SWEEP_FORMATS[ending](sweep.read())


def test_a_sweep_on_the_screen_says_what_is_missing_and_its_signature(sweep: SweepFolder) -> None:
    text = called(str(sweep.path))
    assert "partial: 2 of 3 pairs finished; not yet e against f" in text
    assert "signature: medbench-local:unknown|sweep:01234567|pairs:2 of 3|runs:00000000+00000001\n" in text
    assert "Beside the study" in text


def test_a_missing_run_is_named(sweep: SweepFolder) -> None:
    shutil.rmtree(sweep.path.parent / "run-01")
    with pytest.raises(UsageError, match=r"the run of .* is missing: .*run-01"):
        called(str(sweep.path), "--format", "md")


def test_a_sweep_s_own_files_are_not_written_over(sweep: SweepFolder) -> None:
    before = sweep.file.read_bytes()
    for target in (sweep.file, sweep.path.parent / "run-00" / "results.json"):
        with pytest.raises(UsageError, match="what this command reads"):
            called(str(sweep.path), "--output", str(target))
    assert sweep.file.read_bytes() == before


@pytest.mark.parametrize("what", ["run", "sweep"])
def test_figures_are_written_into_a_folder(runs: Path, sweep: SweepFolder, what: str) -> None:
    name = str(runs / "a-vs-b-01234567") if what == "run" else str(sweep.path)
    out = runs / "pictures"
    assert called(name, "--figures", str(out)) == ""
    shots = (0, 3) if what == "run" else (3,)
    assert {path.name for path in out.iterdir()} == {
        f"{kind}-{n}-shot.{end}" for kind in ("forest", "heat-map") for n in shots for end in ("svg", "pdf")
    }
    with pytest.raises(UsageError, match="--output only"):
        called(name, "--figures", str(out), "--format", "md")


@pytest.mark.parametrize("what", ["run", "sweep"])
def test_a_badge_is_one_line(runs: Path, sweep: SweepFolder, what: str) -> None:
    name = str(runs / "a-vs-b-01234567") if what == "run" else str(sweep.path)
    text = called(name, "--format", "badge", "--link", "https://example.org/r.html")
    assert text.count("\n") == 1
    assert "](https://example.org/r.html) " in text
    with pytest.raises(UsageError, match="--link is of"):
        called(name, "--link", "x")


@pytest.mark.parametrize("width", [40, 80])
def test_what_is_copied_is_in_one_line_on_a_terminal(
    runs: Path, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    """A narrow terminal folds words; signatures and paths it leaves to the terminal, which copies them whole."""
    found = RunFolder(runs / "a-vs-b-01234567")
    file = io.StringIO()
    monkeypatch.setattr(file, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys, "stdout", file)
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    out().print(show_results(RESULTS, found.path))
    lines = re.sub(r"\x1b\[[\d;]*m", "", file.getvalue()).splitlines()
    assert f"signature: {signature(RESULTS)}" in lines
    assert f"files: {found.path}" in lines
    assert all(len(line) <= width for line in lines if not line.startswith(("signature: ", "files: ")))


def test_the_help_names_every_format() -> None:
    said = CliRunner().invoke(app, ["--help"]).output.replace("│", " ")
    assert f"One of {', '.join(FORMATS)}, badge." in " ".join(said.split())


def test_questions_are_left_out_where_they_are_not_wanted(runs: Path) -> None:
    given = ("a-vs-b", "--folder", str(runs), "--format", "html")
    assert LEFT_OUT in called(*given, "--no-questions")
    assert LEFT_OUT not in called(*given)
