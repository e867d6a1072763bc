"""A sweep of the embedded pair, both ways round: stopped, gone on with, read again, moved."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from medbench_local.cli import errors
from medbench_local.cli.main import main
from tests.cli.command import Command
from tests.cli.test_interruption import _but_timing

PROTOCOL = """
name: small
summary: Nothing is searched for.
shots: [0]
selection: {method: none}
"""
WORDS = [
    *("sweep", "demo-med=demo-base", "demo-base=demo-med", "--tasks", "demo-anatomy", "--limit", "12"),
    *("--protocol", "small.yaml", "--quant", "none"),
]


@pytest.mark.skipif(sys.platform == "win32", reason="signals are others there")
def test_a_sweep_that_was_stopped_goes_on_to_the_same_results(command: Command, home: Path) -> None:
    (home / "small.yaml").write_text(PROTOCOL)
    process = subprocess.Popen(
        [sys.executable, "-m", "medbench_local", *WORDS],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + 200
    while not list(home.glob("runs/demo-med-vs-demo-base-*/results.json")) and time.monotonic() < until:
        assert process.poll() is None, "it ended before it could be stopped"
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    # Interrupted while a class is being made (by `exec`, on import), Python ends by the signal itself: 130 to a shell
    assert process.returncode in (130, -signal.SIGINT)
    assert f"\n  medbench-local {' '.join(WORDS)}\n" in said, "the command, in one line"

    (file,) = home.glob("runs/sweep-*/sweep.json")
    first = json.loads(file.read_text())
    finished = sum(pair["run"] is not None for pair in first["pairs"])
    assert finished < 2
    ended = command("report", file.parent, "--format", "md")
    if finished:
        assert "partial: 1 of 2 pairs finished" in ended.out
    else:
        assert (ended.code, "is finished" in ended.err) == (2, True)

    ended = command(*WORDS)
    assert ended.code == 0
    assert "signature: medbench-local:" in ended.out
    elsewhere = command(*WORDS, "--output", home / "elsewhere")
    assert elsewhere.code == 0
    runs = sorted(home.glob("runs/demo-*"))
    assert [run.name.rpartition("-")[0] for run in runs] == ["demo-base-vs-demo-med", "demo-med-vs-demo-base"]
    for number, run in (("01", runs[1]), ("02", runs[0])):
        assert _but_timing(run / "results.json") == _but_timing(home / "elsewhere" / number / "results.json")
    assert (home / "elsewhere" / "report.html").is_file()

    rows = list(csv.DictReader(io.StringIO(command("report", "sweep-", "--format", "csv").out)))
    assert [row["pair"] for row in rows] == ["demo-med against demo-base", "demo-base against demo-med"]
    assert float(rows[0]["difference"]) == -float(rows[1]["difference"])
    data = json.loads(command(*WORDS, "--json").out)
    assert [pair["pair"] for pair in data["pairs"]] == [row["pair"] for row in rows]

    shutil.move(home / "runs", home / "kept")
    moved = next(home.glob("kept/sweep-*"))
    assert command("report", moved, "--format", "latex").out.count(r"\begin{tabular}") == 3
    shutil.rmtree(home / "kept" / runs[0].name)
    assert (
        f"the run of demo-base against demo-med is missing: {home / 'kept' / runs[0].name}"
        in command.fails("report", moved, "--format", "md")
    )


def _plain(text: str) -> list[str]:
    """Lines without the codes of colours."""
    return re.sub(r"\x1b\[[\d;]*m", "", text).splitlines()


def test_after_ctrl_c_the_command_is_in_one_line_on_a_narrow_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    words = ["compare", "a model", "b" * 60, "--tasks", "one,two,three", "--output", "some/where"]
    assert errors.report(KeyboardInterrupt(), words) == 130
    said = _plain(capsys.readouterr().err)
    assert (
        said[1] == f"  medbench-local compare 'a model' {'b' * 60} --tasks one,two,three --output some/where"
    )


def test_a_command_in_an_advice_is_not_broken(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.setenv("TERM", "xterm")
    with pytest.raises(SystemExit):
        main(["report", "no-such-run"])
    assert any("`medbench-local runs list`" in line for line in _plain(capsys.readouterr().err))
