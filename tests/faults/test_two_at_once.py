"""Two processes that want the same folder or the same file."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from medbench_local.files.lock import only_process
from tests.corpus.command_line import refusal

COMPARE = (
    "compare", "demo-med", "demo-base", "--tasks", "demo-anatomy", "--shots", "0", "--limit", "2", "--quant", "none"
)  # fmt: skip

FETCH = "import sys; sys.argv[1:] = ['models', 'fetch', 'demo-med', '--quant', 'q8_0']; " + (
    "from medbench_local.cli.main import main; main()"
)


def test_a_second_process_on_a_run_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDBENCH_HOME", str(tmp_path / "home"))
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, time; from pathlib import Path; from medbench_local.files.lock import only_process\n"
            "with only_process(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)",
            str(tmp_path / "run"),
        ],
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    line = refusal(*COMPARE, "--output", tmp_path / "run")
    assert f"in use by process {holder.pid} on" in line
    assert "since 2" in line
    holder.kill()
    holder.wait()
    holder.stdout.close()
    with only_process(tmp_path / "run"):
        pass


def test_two_processes_convert_a_model_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDBENCH_HOME", str(tmp_path / "home"))
    both = [subprocess.Popen([sys.executable, "-c", FETCH], stdout=subprocess.PIPE) for _ in range(2)]
    said = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert said[0] == said[1]
    made = [path.name for path in (tmp_path / "home" / "models").rglob("*.gguf")]
    assert len(made) == 2  # full and q8_0
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "home" / "models").rglob("*.gguf")}
    time.sleep(0.02)
    subprocess.run([sys.executable, "-c", FETCH], check=True, stdout=subprocess.DEVNULL)
    assert {path: path.stat().st_mtime_ns for path in files} == files
