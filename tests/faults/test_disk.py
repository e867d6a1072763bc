"""A disk that becomes full: an error that says so, nothing half-written, and the next run goes on."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from medbench_local.acquire.source import DEMO
from medbench_local.errors import StoreError
from medbench_local.files.atomic import write_atomic
from medbench_local.files.gguf_header import read_gguf_header
from medbench_local.store.scores import ScoreStore, StoredScore
from tests.acquire.conftest import hub as hub
from tests.corpus.command_line import run
from tests.hub_server import Fault, HubServer

SIZE = 24 * 2**20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "none", str(folder)]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except OSError as error:
        pytest.skip(f"needs to mount a small disk: {error}")
    if done.returncode:
        pytest.skip(f"needs to mount a small disk: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk: Path, leave: int) -> Path:
    """Fill the disk but for about ``leave`` bytes; the file to remove to make space."""
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(max(free - leave, 0)))
    return ballast


COMPARE = (
    "compare", "demo-med", "demo-base", "--tasks", "demo-anatomy", "--shots", "0", "--limit", "20", "--quant", "none"
)  # fmt: skip


@pytest.mark.parametrize("leave", [0, 2_000_000, 8_000_000])
def test_models_on_a_full_disk(disk: Path, monkeypatch: pytest.MonkeyPatch, leave: int) -> None:
    """Conversion and quantisation, hit at several places."""
    monkeypatch.setenv("MEDBENCH_HOME", str(disk / "home"))
    ballast = fill(disk, leave)
    hit = run("models", "fetch", "demo-med", "--quant", "q8_0")
    if hit.code != 0:
        assert hit.code == 2
        assert "room" in hit.err or "full" in hit.err or "GB" in hit.err or "No space" in hit.err
        assert "should not have happened" not in hit.err
    for path in disk.rglob("*.gguf"):
        if not path.name.startswith("unfinished"):
            read_gguf_header(path)
    ballast.unlink()
    assert run("models", "fetch", "demo-med", "--quant", "q8_0").code == 0


def test_a_download_for_which_there_is_no_room_is_not_begun(
    disk: Path, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(disk / "hf"))
    hub.add("someone/demo", DEMO / "demo-med")
    ballast = fill(disk, 1_000_000)
    hit = run("models", "fetch", "hf:someone/demo", "--quant", "none")
    assert hit.code == 2
    assert "free" in hit.err
    assert "model.safetensors" not in hub.contents()
    ballast.unlink()
    assert run("models", "fetch", "hf:someone/demo", "--quant", "none").code == 0


def test_a_disk_that_becomes_full_during_a_download(
    disk: Path, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(disk / "hf"))
    hub.add("someone/demo", DEMO / "demo-med")
    hub.fail(Fault("model.safetensors", hang_after=1_000_000))
    ballast = disk / "ballast"
    # The last bytes may wait in the writer's buffer until the connection times out, when it goes on at once.
    at_hand = 1_000_000 - io.DEFAULT_BUFFER_SIZE

    def fill_half_way() -> None:
        try:
            assert hub.sent_to_hanging.wait(60)
            while not any(path.stat().st_size >= at_hand for path in disk.rglob("*.partial")):
                time.sleep(0.01)
            fill(disk, 300_000)
        finally:
            hub.released.set()

    filler = threading.Thread(target=fill_half_way)
    filler.start()
    hit = run("models", "fetch", "hf:someone/demo", "--quant", "none")
    filler.join()
    assert hit.code == 2, hit.err
    assert "No space left" in hit.err
    assert "should not have happened" not in hit.err
    assert not list(disk.rglob("model.safetensors"))
    begun = sum(path.stat().st_size for path in disk.rglob("*.partial"))
    assert begun >= 1_000_000

    ballast.unlink()
    assert run("models", "fetch", "hf:someone/demo", "--quant", "none").code == 0
    sent = [
        (request.path.rpartition("/")[2], request.range)
        for request in hub.requests
        if request.origin == "cdn" and request.method == "GET"
    ]
    assert sent.count(("model.safetensors", "")) == 1, "only the first time from the beginning"
    assert sent[-1] == ("model.safetensors", f"bytes={begun}-"), "then what was missing"


@pytest.mark.parametrize("leave", [0, 30_000, 90_000])
def test_a_run_on_a_full_disk(
    disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, leave: int
) -> None:
    """Scoring and reporting, hit at several places."""
    monkeypatch.setenv("MEDBENCH_HOME", str(tmp_path / "home"))
    ballast = fill(disk, leave)
    hit = run(*COMPARE, "--output", disk / "runs" / "run")
    if hit.code != 0:
        assert hit.code == 2
        assert "the disk is full" in hit.err or "No space" in hit.err
        assert "should not have happened" not in hit.err
        assert not (disk / "runs" / "run" / "results.json").exists()
    ballast.unlink()
    assert run(*COMPARE, "--output", disk / "runs" / "run").code == 0
    assert not list(disk.rglob("*.part"))


def test_the_store_and_files_on_a_full_disk(disk: Path) -> None:
    write_atomic(disk / "report.md", "old")
    with ScoreStore(disk / "scores.sqlite") as store:
        store.put({b"a" * 20: StoredScore((-1.0,), 0.5, None, 7)})
        ballast = fill(disk, 0)
        with pytest.raises(StoreError, match="the disk is full"):
            store.put({bytes([n]) * 20: StoredScore((), None, "x" * 4000, 7) for n in range(99)})
        with pytest.raises(StoreError, match="the disk is full"):
            write_atomic(disk / "report.md", "new" * 99_999)
        assert (disk / "report.md").read_text(encoding="utf-8") == "old"
        assert len(store) == 1
        ballast.unlink()
        store.put({b"b" * 20: StoredScore((-1.0,), 0.5, None, 7)})
        assert len(store) == 2


LIMITED = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
sys.argv[1:] = ["convert", "demo-med", "--output", "model.gguf"]
from medbench_local.cli.main import main
main()
"""


@pytest.mark.skipif(os.name != "posix", reason="limits as POSIX has them")
def test_a_file_that_may_not_grow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDBENCH_HOME", str(tmp_path / "home"))
    done = subprocess.run(
        [sys.executable, "-c", LIMITED], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "error: " in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "model.gguf").exists()
    assert not list(tmp_path.glob("*.part"))
