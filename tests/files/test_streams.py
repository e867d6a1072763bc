"""What is read is a file: nothing waits for a pipe, or reads a device for ever."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from medbench_local.acquire.conversion.safetensors_reader import read_safetensors
from medbench_local.acquire.conversion.torch_reader import read_torch
from medbench_local.acquire.other_files import what_it_is
from medbench_local.catalog.protocol import load_protocol
from medbench_local.catalog.quantisation import load_quant
from medbench_local.engine.importance import read_importance
from medbench_local.errors import MedbenchError
from medbench_local.files import json_objects
from medbench_local.files.gguf_header import read_gguf_header
from medbench_local.files.hashes import file_sha256
from medbench_local.files.json_objects import read_json, read_text
from medbench_local.files.readers import json_lines
from medbench_local.files.rows import SourceFile
from medbench_local.paths import without_home
from medbench_local.results.folder import RunFolder
from medbench_local.vision.tensor_file import TensorFile

READERS: dict[str, Callable[[Path], object]] = {
    "text": read_text,
    "JSON": read_json,
    "lines": lambda path: list(json_lines(SourceFile(path))),
    "gz": lambda path: list(json_lines(SourceFile(path.rename(path.with_name("a.jsonl.gz"))))),
    "zip": lambda path: list(json_lines(SourceFile(path, "member.jsonl"))),
    "hash": lambda path: file_sha256(path, path.parent),
    "gguf": read_gguf_header,
    "safetensors": read_safetensors,
    "torch": read_torch,
    "importance": read_importance,
    "tensors": TensorFile.open,
    "protocol": load_protocol,
    "quant": load_quant,
    "samples": lambda path: RunFolder(path.parent).read_samples("../" + path.stem),
    "weights": what_it_is,
}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_a_pipe_is_not_waited_for(tmp_path: Path, read: Callable[[Path], object]) -> None:
    (tmp_path / "samples").mkdir()
    path = tmp_path / ("pipe.yaml" if read in (load_protocol, load_quant) else "pipe.jsonl")
    os.mkfifo(path)
    with pytest.raises(MedbenchError, match=r"is a pipe, not a file"):
        read(path)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="needs a device without an end")
def test_a_device_is_not_read(tmp_path: Path) -> None:
    for read in (read_text, read_json, lambda path: file_sha256(path, tmp_path)):
        with pytest.raises(MedbenchError, match="is a device, not a file"):
            read(Path("/dev/zero"))


def test_a_text_without_an_end_in_sight_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_objects, "LARGEST", 100)
    (tmp_path / "text").write_text("x" * 101)
    with pytest.raises(MedbenchError, match="too large"):
        read_text(tmp_path / "text")


def test_a_home_folder_is_taken_out_wherever_it_begins_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, home = tmp_path / "data" / "jane", tmp_path / "jane"
    real.mkdir(parents=True)
    home.symlink_to(real)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    sep = os.sep
    for name in (home, real):
        assert without_home(str(name)) == "~"
        assert without_home({"file": [f"{name}{sep}a", f"--x={name}{sep}b '{name}'"]}) == {
            "file": [f"~{sep}a", f"--x=~{sep}b '~'"]
        }
    for other in (f"{home}t{sep}x", f"{home}.old", f"{sep}mnt{home}{sep}x"):
        assert without_home(other) == other
