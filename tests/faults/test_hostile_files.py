"""Files that would hang the tool or fill the memory end with one clear line, in little of both."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SECONDS = 10
"""Of the processor, for one file; those here take one or two."""

MEMORY = 1 << 30


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not say how much memory a process took")
def test_small_files_that_would_take_much_are_refused(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "tests.faults.hostile_files", str(tmp_path)]
    environment = {**os.environ, "MEDBENCH_HOME": str(tmp_path / "home"), "COLUMNS": "2000"}
    ended = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    *tried, whole = map(json.loads, ended.stdout.splitlines())
    assert len(tried) > 30
    for one in tried:
        assert one["code"] == 2, one
        assert one["out"] == "", one
        assert len([said for said in one["err"].splitlines() if said.startswith("error: ")]) == 1, one
        assert "should not have happened" not in one["err"], one
        assert len(one["err"]) < 10_000, one
        assert one["took"] < SECONDS, one
    assert whole["memory"] < MEMORY
