"""What a command loads: printing needs no native engine, and what is short starts at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import medbench_local
from tests.cli.command import Command

_FOLDER = Path(medbench_local.__file__).parent / "report"
REPORT = sorted(
    ".".join(path.relative_to(_FOLDER).with_suffix("").parts) for path in _FOLDER.rglob("[a-z]*.py")
)

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
loaded = sorted(set(sys.modules) & set({heavy!r}))
names = [pathlib.Path(path).name for path in libraries]
loaded += [name for name in names if "llama" in name or "ggml" in name]
pathlib.Path("loaded.json").write_text(json.dumps(loaded))
"""
MAIN = "from medbench_local.cli.main import main; main(sys.argv[1:])"


ENGINES = ("llama_cpp", "torch", "transformers", "matplotlib", "ray")
SLOW = (*ENGINES, "scipy", "pyarrow", "httpx2", "httpx", "gguf", "jinja2", "sentencepiece")
"""What a comparison that is only found again, and a list, can do without."""


def _loaded(what: str, *words: str, heavy: tuple[str, ...] = ENGINES) -> list[str]:
    """What of the heavy libraries a fresh process loads, which must end well."""
    ended = subprocess.run(
        [sys.executable, "-c", RUN.format(what=what, heavy=heavy), *words],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(medbench_local.__file__).parents[1])},
    )
    assert ended.returncode == 0, ended.stderr
    found: list[str] = json.loads(Path("loaded.json").read_text(encoding="utf-8"))
    return found


def test_no_report_needs_the_engine(home: Path) -> None:
    assert {"page.document", "files", "sweep", "terminal", "validation"} <= set(REPORT)
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


@pytest.mark.parametrize("words", [["--help"], ["--version"]], ids=" ".join)
def test_help_reads_no_file_and_needs_no_numbers(home: Path, words: list[str]) -> None:
    assert _loaded(MAIN, *words, heavy=(*SLOW, "pydantic", "yaml", "numpy", "sqlite3")) == []


def test_a_list_of_models_needs_no_numbers(home: Path) -> None:
    assert _loaded(MAIN, "models", "list", heavy=(*SLOW, "numpy", "sqlite3")) == []


def test_a_finished_run_is_found_without_what_computes(command: Command, home: Path) -> None:
    words = ["compare", "demo-med", "demo-base", "--tasks", "demo-anatomy", "--limit", "5", "--shots", "0"]
    assert command(*words).code == 0
    assert _loaded(MAIN, *words, heavy=SLOW) == []


CLUSTER = ("ray", "medbench_local.cluster")


@pytest.mark.parametrize("more", ["--yes", "--dry-run"])
def test_without_a_cluster_nothing_of_it_is_loaded(home: Path, more: str) -> None:
    words = ["compare", "demo-med", "demo-base", "--tasks", "demo-anatomy", "--limit", "5", "--shots", "0"]
    assert not set(CLUSTER) & set(_loaded(MAIN, *words, more, heavy=CLUSTER))


def test_what_a_cluster_may_be_is_known_without_ray(home: Path) -> None:
    assert _loaded(MAIN, "compare", "--help", heavy=CLUSTER) == []
    assert _loaded("import medbench_local.cluster.connect", heavy=CLUSTER) == ["medbench_local.cluster"]


def test_the_watch_sees_the_engine(home: Path) -> None:
    """What it must not find elsewhere, it finds here."""
    found = _loaded("import medbench_local.engine.bindings")
    assert "llama_cpp" in found
    assert any("llama" in Path(name).name for name in found if name != "llama_cpp")
