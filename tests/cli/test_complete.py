"""What a shell offers: asked as a shell asks, in a process of its own, and what that loads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import medbench_local
from tests.cli.test_imports import MAIN, RUN, SLOW


def _offered(words: str, *, heavy: tuple[str, ...] = (*SLOW, "numpy", "sqlite3")) -> list[str]:
    """What bash is offered behind the words; the last one is what was typed of the next."""
    parts = words.split(" ")
    code = RUN.format(what=MAIN, heavy=heavy)
    ended = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=os.environ
        | {
            "PYTHONPATH": str(Path(medbench_local.__file__).parents[1]),
            "_MEDBENCH_LOCAL_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(parts) - 1),
        },
    )
    assert ended.returncode == 0, ended.stderr
    assert json.loads(Path("loaded.json").read_text(encoding="utf-8")) == []
    return ended.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("medbench-local compare meditron-7", ["meditron-7b"]),
        ("medbench-local compare meditron-7b demo-b", ["demo-base"]),
        ("medbench-local compare a b --tasks pubm", ["pubmedqa"]),
        ("medbench-local compare a b --tasks medqa,pubm", ["medqa,pubmedqa"]),
        ("medbench-local compare a b --quant q4_k", ["q4_k_m"]),
        ("medbench-local compare a b --protocol em", ["emnlp2024"]),
        ("medbench-local tasks show mmm", ["mmmu"]),
        ("medbench-local report one", ["one-vs-other-12345678"]),
        ("medbench-local runs rm one", ["one-vs-other-12345678"]),
        ("medbench-local models rm my", ["my-model"]),
    ],
)
def test_names_are_offered(
    words: str, offered: list[str], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = home / "runs" / "one-vs-other-12345678"
    run.mkdir(parents=True)
    (run / "manifest.json").write_text("{}")
    (home / "own" / "models" / ("my-model-" + "0" * 16)).mkdir(parents=True)
    monkeypatch.setenv("MEDBENCH_HOME", str(home / "own"))
    found = _offered(words)
    assert offered[0] in found
    assert all(name.startswith(words.rpartition(" ")[2]) for name in found)
