"""Printing what is finished loads no native engine: it works where llama.cpp does not, and starts at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import medbench_local
from tests.cli.command import Command

REPORT = sorted(path.stem for path in (Path(medbench_local.__file__).parent / "report").glob("[a-z]*.py"))

RUN = """
import json, pathlib, sys
def watch(event, arguments):  # ctypes tells of every library that it loads
    if event == "ctypes.dlopen":
        libraries.append(str(arguments[0]))
libraries = []
sys.addaudithook(watch)
sys.argv[0] = "medbench-local"
try:
    {what}
except SystemExit as ended:
    assert not ended.code, ended.code
loaded = sorted(set(sys.modules) & {{"llama_cpp", "torch", "transformers", "matplotlib"}})
names = [pathlib.Path(path).name for path in libraries]
loaded += [name for name in names if "llama" in name or "ggml" in name]
pathlib.Path("loaded.json").write_text(json.dumps(loaded))
"""
MAIN = "from medbench_local.cli.main import main; main(sys.argv[1:])"


def _loaded(what: str, *words: str) -> list[str]:
    """What of the heavy libraries a fresh process loads, which must end well."""
    ended = subprocess.run(
        [sys.executable, "-c", RUN.format(what=what), *words],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(medbench_local.__file__).parents[1])},
    )
    assert ended.returncode == 0, ended.stderr
    found: list[str] = json.loads(Path("loaded.json").read_text(encoding="utf-8"))
    return found


def test_no_report_needs_the_engine(home: Path) -> None:
    assert {"figures", "files", "sweep", "terminal", "validation"} <= set(REPORT)
    assert _loaded(f"import {', '.join(f'medbench_local.report.{module}' for module in REPORT)}") == []


def test_what_is_finished_is_printed_without_the_engine(command: Command, home: Path) -> None:
    words = ["compare", "demo-med", "demo-base", "--tasks", "demo-anatomy", "--limit", "5", "--shots", "0"]
    assert command(*words).code == 0
    (run,) = (home / "runs").iterdir()
    for printing in (
        words,
        [*words, "--json"],
        ["report", run.name],
        ["report", run.name, "--format", "md", "--output", "report.md"],
        ["report", run.name, "--format", "csv"],
        ["runs", "list"],
    ):
        assert _loaded(MAIN, *printing) == [], printing


def test_the_watch_sees_the_engine(home: Path) -> None:
    """What it must not find elsewhere, it finds here."""
    found = _loaded("import medbench_local.engine.bindings")
    assert "llama_cpp" in found
    assert any("llama" in Path(name).name for name in found if name != "llama_cpp")
