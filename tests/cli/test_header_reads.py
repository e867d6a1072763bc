"""A comparison reads the header of each of its models once."""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path

import pytest

from medbench_local.files import gguf_header
from medbench_local.files.gguf_file import GgufFile, read_gguf_file
from tests.cli.command import Command


def test_the_header_of_a_model_is_read_once_a_comparison(
    command: Command, tmp_path: Path, demo_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDBENCH_HOME", str(demo_home))
    for model in ("demo-med", "demo-base"):
        assert command("models", "fetch", model, "--quant", "q8_0").code == 0
    for path in demo_home.glob("models/*/*.gguf"):
        os.utime(path, (time.time() - 60,) * 2)  # a file that was just written might change unnoticed
    reads: Counter[Path] = Counter()

    def counted(path: Path) -> GgufFile:
        reads[path] += 1
        return read_gguf_file(path)

    monkeypatch.setattr(gguf_header, "read_gguf_file", counted)
    words = ("--quant", "q8_0", "--limit", "4", "--shots", "0,3", "--output", tmp_path / "run")
    assert command("compare", "demo-med", "demo-base", *words).code in (0, 3)
    assert reads
    assert max(reads.values()) == 1, reads
