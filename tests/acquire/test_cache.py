"""Made once, complete or absent."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from medbench_local.acquire.cache import find, make_once, recorded
from medbench_local.errors import AcquireError
from medbench_local.files import hashes
from medbench_local.files.hashes import content_key, file_sha256
from medbench_local.progress import Silent

QUIET = Silent()


class Maker:
    """Writes some bytes, and counts."""

    def __init__(self, content: bytes = b"content") -> None:
        self.calls = 0
        self.content = content

    def __call__(self, path: Path) -> dict[str, Any]:
        self.calls += 1
        path.write_bytes(self.content)
        return {"warnings": ["careful"]}


def test_made_once_with_its_hash_and_notes(tmp_path: Path) -> None:
    maker, target = Maker(), tmp_path / "models" / "m-1" / "full.gguf"
    made = make_once(target, maker, home=tmp_path, progress=QUIET)
    again = make_once(target, maker, home=tmp_path, progress=QUIET)
    assert made == again == find(target, tmp_path) == recorded(target)
    assert maker.calls == 1
    assert made.sha256 == hashlib.sha256(b"content").hexdigest()
    assert made.notes == {"warnings": ["careful"]}
    assert sorted(p.name for p in target.parent.iterdir()) == ["full.gguf", "full.gguf.json"]


@pytest.mark.parametrize("damaged", [b"conten", b"contenT", b""])
def test_a_damaged_file_is_made_again(tmp_path: Path, damaged: bytes) -> None:
    maker, target = Maker(), tmp_path / "full.gguf"
    make_once(target, maker, home=tmp_path, progress=QUIET)
    target.write_bytes(damaged)
    os.utime(target, ns=(5, 5))
    assert find(target, tmp_path) is None
    make_once(target, maker, home=tmp_path, progress=QUIET)
    assert target.read_bytes() == b"content"
    assert maker.calls == 2


def test_what_was_noted_outlives_the_file(tmp_path: Path) -> None:
    target = tmp_path / "full.gguf"
    made = make_once(target, Maker(), home=tmp_path, progress=QUIET)
    target.unlink()
    assert find(target, tmp_path) is None
    assert recorded(target) == made


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    def fail(path: Path) -> dict[str, Any]:
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    target = tmp_path / "m" / "full.gguf"
    with pytest.raises(KeyboardInterrupt):
        make_once(target, fail, home=tmp_path, progress=QUIET)
    assert list(target.parent.iterdir()) == []
    assert recorded(target) is None


def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AcquireError, match="MEDBENCH_HOME"):
        make_once(tmp_path / "file" / "full.gguf", Maker(), home=tmp_path, progress=QUIET)


@pytest.mark.parametrize("content", ["", "[1]", "{", '{"sha256": 1, "size": "x"}', '{"size": 7}'])
def test_a_damaged_note_counts_as_absent(tmp_path: Path, content: str) -> None:
    maker, target = Maker(), tmp_path / "full.gguf"
    make_once(target, maker, home=tmp_path, progress=QUIET)
    (tmp_path / "full.gguf.json").write_text(content)
    make_once(target, maker, home=tmp_path, progress=QUIET)
    assert maker.calls == 2
    assert recorded(target) == find(target, tmp_path)


def test_a_large_file_is_read_again_only_when_it_was_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hashes, "_WORTH_A_RECORD", 0)
    monkeypatch.setattr(hashes, "_CLOCK_STEP", -1.0)
    path = tmp_path / "data"
    path.write_bytes(b"one")
    os.utime(path, ns=(1, 1))
    first = file_sha256(path, tmp_path)
    assert first == hashlib.sha256(b"one").hexdigest()
    monkeypatch.setattr(hashes, "hash_file", lambda _path, _progress: "read")
    assert file_sha256(path, tmp_path) == first
    os.utime(path, ns=(1, 2))
    assert file_sha256(path, tmp_path) == "read"


@pytest.mark.parametrize("size", [3, 5 * 2**20])
def test_another_file_of_the_same_size_and_date_has_another_hash(tmp_path: Path, size: int) -> None:
    """Archives, rsync and cp -p put an old date on what they write: another adapter in place of the one before."""
    path, other = tmp_path / "adapter", tmp_path / "other"
    for file, letter in ((path, b"a"), (other, b"b")):
        file.write_bytes(letter * size)
        os.utime(file, ns=(1, 1))
    assert file_sha256(path, tmp_path) == hashlib.sha256(b"a" * size).hexdigest()
    other.replace(path)
    assert file_sha256(path, tmp_path) == hashlib.sha256(b"b" * size).hexdigest()
    path.write_bytes(b"c" * size)
    os.utime(path, ns=(1, 1))
    assert file_sha256(path, tmp_path) == hashlib.sha256(b"c" * size).hexdigest()


def test_no_model_is_made_through_a_link(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "full.gguf").write_bytes(b"somebody else's")
    target = tmp_path / "models" / "m-1" / "full.gguf"
    target.parent.parent.mkdir()
    try:
        target.parent.symlink_to(elsewhere, target_is_directory=True)
    except OSError:
        pytest.skip("links cannot be made here")
    with pytest.raises(AcquireError, match="is a link, and nothing is written through it"):
        make_once(target, Maker(), home=tmp_path, progress=QUIET)
    assert [path.read_bytes() for path in elsewhere.iterdir()] == [b"somebody else's"]


def test_content_keys() -> None:
    assert content_key(1, ["a"]) == content_key(1, ("a",))
    assert (
        len({content_key("a", "b"), content_key("ab"), content_key("b", "a"), content_key(["a", "b"])}) == 4
    )


MAKE = """
import sys, time
from pathlib import Path
from medbench_local.acquire.cache import (make_once)
from medbench_local.progress import Silent

class Listener(Silent):
    def note(self, text):
        print(text, flush=True)

def make(path):
    print("making", flush=True)
    with open(Path(sys.argv[1]) / "calls", "a") as calls:
        calls.write("x")
    time.sleep(float(sys.argv[2]))
    path.write_bytes(b"content")
    return {}

home = Path(sys.argv[1])
make_once(home / "m" / "full.gguf", make, home=home, progress=Listener())
"""


def start(home: Path, seconds: float) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", MAKE, str(home), str(seconds)], stdout=subprocess.PIPE, text=True
    )


def test_two_processes_make_it_once(tmp_path: Path) -> None:
    first = start(tmp_path, 1.5)
    assert first.stdout
    assert first.stdout.readline() == "making\n"
    second = start(tmp_path, 0)
    assert second.stdout
    assert "waiting" in second.communicate(timeout=60)[0]
    first.communicate(timeout=60)
    assert (first.returncode, second.returncode) == (0, 0)
    assert (tmp_path / "calls").read_text() == "x"


def test_the_lock_and_the_leavings_of_a_dead_process_are_taken_over(tmp_path: Path) -> None:
    first = start(tmp_path, 60)
    assert first.stdout
    assert first.stdout.readline() == "making\n"
    first.kill()
    first.communicate()
    left = [tmp_path / "m" / name for name in ("unfinished-full.gguf", ".unfinished-full.gguf.7.part")]
    for path in left:
        path.write_bytes(b"half")
    began = time.monotonic()
    made = make_once(tmp_path / "m" / "full.gguf", Maker(), home=tmp_path, progress=QUIET)
    assert time.monotonic() - began < 30
    assert made.size == 7
    assert not any(path.exists() for path in left)
    assert json.loads((tmp_path / "m" / "full.gguf.json").read_text())["size"] == 7


def test_what_is_there_needs_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder may be somebody else's, to be read only."""
    target = tmp_path / "models" / "full.gguf"
    made = make_once(target, Maker(), home=tmp_path, progress=QUIET)
    monkeypatch.setattr("medbench_local.acquire.cache.alone", None)
    assert make_once(target, Maker(), home=tmp_path, progress=QUIET) == made
