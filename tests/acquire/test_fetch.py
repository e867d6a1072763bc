"""Fetching through the real client from a real server on loopback."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from collections import namedtuple
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from huggingface_hub import constants, snapshot_download

from medbench_local.acquire.fetch import FetchedRepository, fetch_checkpoint, fetch_gguf, recall
from medbench_local.errors import (
    AcquireError,
    DiskFullError,
    GatedError,
    InputError,
    NotFoundError,
    OfflineError,
    UnreachableError,
)
from medbench_local.hub.dataset import fetch_dataset_files
from medbench_local.hub.repository import Repository, hub_from_environment, open_repository
from medbench_local.progress import Advance, Progress, Silent
from medbench_local.settings import read_settings
from tests.hub_server import Fault, HubServer

WEIGHTS = hashlib.shake_256(b"weights").digest(700_000)
TOKEN = "hf_SecretSecretSecret"

SMALL = {
    "config.json": b'{"model_type": "llama"}',
    "generation_config.json": b'{"generation": 1}',
    "tokenizer.json": b'{"tokenizer": 1}',
    "tokenizer_config.json": b'{"tokenizer_config": 1}',
    "special_tokens_map.json": b'{"special": 1}',
}
NOT_NEEDED = {
    "README.md": b"# hello",
    ".gitattributes": b"*.bin filter=lfs",
    "LICENSE.txt": b"licence",
    "original/consolidated.00.pth": b"twice the weights",
    "original/tokenizer.model": b"tiktoken",
    "original/params.json": b"{}",
    "runs/events.out": b"x",
}


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def index(*shards: str) -> bytes:
    pairs = ", ".join(f'"tensor{i}": "{shard}"' for i, shard in enumerate(shards))
    return f'{{"metadata": {{}}, "weight_map": {{{pairs}}}}}'.encode()


LLAMA_2 = {
    **SMALL,
    **NOT_NEEDED,
    "tokenizer.model": b"sentencepiece",
    "model.safetensors.index.json": index(
        "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
    ),
    "model-00001-of-00002.safetensors": WEIGHTS[:400_000],
    "model-00002-of-00002.safetensors": WEIGHTS[400_000:],
    "pytorch_model.bin.index.json": index(
        "pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"
    ),
    "pytorch_model-00001-of-00002.bin": WEIGHTS[:400_000],
    "pytorch_model-00002-of-00002.bin": WEIGHTS[400_000:],
}
MEDITRON = {
    **SMALL,
    **NOT_NEEDED,
    "tokenizer.model": b"sentencepiece",
    "added_tokens.json": b'{"added": 1}',
    "pytorch_model.bin.index.json": index(
        "pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"
    ),
    "pytorch_model-00001-of-00002.bin": WEIGHTS[:350_000],
    "pytorch_model-00002-of-00002.bin": WEIGHTS[350_000:],
}
LLAMA_3 = {**SMALL, **NOT_NEEDED, "model.safetensors": WEIGHTS, "chat_template.jinja": b"{{ messages }}"}
BIOMISTRAL = {**SMALL, "tokenizer.model": b"sentencepiece", "pytorch_model.bin": WEIGHTS}


class Listener(Silent):
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.steps: list[tuple[str, float | None]] = []

    @contextmanager
    def step(self, label: str, *, total: float | None, unit: str) -> Iterator[Advance]:
        self.steps.append((label, total))
        yield lambda amount, *, known=False: None

    def note(self, text: str) -> None:
        self.notes.append(text)


def open_here(
    name: str, revision: str = "main", *, offline: bool = False, progress: Progress | None = None
) -> Repository:
    hub = hub_from_environment()
    return open_repository(name, revision, offline=offline, hub=hub, progress=progress or Silent())


def fetch(
    name: str, revision: str = "main", *, offline: bool = False, progress: Progress | None = None
) -> FetchedRepository:
    listener = progress or Silent()
    opened = open_here(name, revision, offline=offline, progress=listener)
    return fetch_checkpoint(opened, home=read_settings().home, progress=listener)


@pytest.mark.parametrize(
    ("files", "left_out"),
    [
        (LLAMA_2, {"pytorch_model.bin.index.json", *(n for n in LLAMA_2 if n.endswith(".bin"))}),
        (MEDITRON, set()),
        (LLAMA_3, set()),
        (BIOMISTRAL, set()),
    ],
    ids=[
        "llama-2: both kinds, sharded",
        "meditron: .bin, sharded",
        "llama-3: one file",
        "biomistral: one .bin",
    ],
)
def test_only_needed_files_are_fetched_whole_and_at_a_commit(
    hub: HubServer, tmp_path: Path, files: dict[str, bytes], left_out: set[str]
) -> None:
    commit = hub.add("owner/name", write(tmp_path / "repo", files))

    fetched = fetch("owner/name")

    wanted = {name for name in files if name not in left_out and name not in NOT_NEEDED}
    assert fetched.commit == commit
    assert {record.path for record in fetched.files} == wanted
    assert sorted(hub.contents()) == sorted(wanted)
    for record in fetched.files:
        content = (fetched.folder / record.path).read_bytes()
        assert content == files[record.path]
        assert (record.size, record.sha256) == (len(content), hashlib.sha256(content).hexdigest())


def test_the_cache_is_the_ordinary_one(hub: HubServer, tmp_path: Path) -> None:
    hub.add("owner/name", write(tmp_path / "repo", LLAMA_3))
    fetched = fetch("owner/name")
    found = snapshot_download(
        "owner/name", cache_dir=tmp_path / "hf" / "hub", endpoint=hub.endpoint, local_files_only=True
    )
    assert Path(found) == fetched.folder


def test_a_second_time_nothing_is_fetched(hub: HubServer, tmp_path: Path) -> None:
    hub.add("owner/name", write(tmp_path / "repo", LLAMA_2))
    first = fetch("owner/name")
    before = len(hub.contents())
    listener = Listener()
    assert fetch("owner/name", progress=listener) == first
    assert len(hub.contents()) == before
    assert not [label for label, _ in listener.steps if label.startswith("fetching")]


def test_one_step_of_known_size_for_all_files(hub: HubServer, tmp_path: Path) -> None:
    hub.add("owner/name", write(tmp_path / "repo", LLAMA_3))
    listener = Listener()
    fetched = fetch("owner/name", progress=listener)
    assert listener.steps[0] == (
        "fetching owner/name (7 files)",
        sum(record.size for record in fetched.files),
    )


def test_a_moved_branch_is_followed_and_a_commit_is_not(hub: HubServer, tmp_path: Path) -> None:
    old = hub.add("owner/name", write(tmp_path / "old", LLAMA_3))
    new = hub.add("owner/name", write(tmp_path / "new", {**LLAMA_3, "model.safetensors": WEIGHTS[::-1]}))
    assert fetch("owner/name").commit == new
    assert fetch("owner/name", old).commit == old


# --- interruptions


@pytest.mark.parametrize("files", [LLAMA_3, BIOMISTRAL], ids=["safetensors", "bin"])
def test_a_dropped_connection_goes_on_where_it_stopped(
    hub: HubServer, tmp_path: Path, files: dict[str, bytes]
) -> None:
    hub.add("owner/name", write(tmp_path / "repo", files))
    large = next(name for name in files if name in ("model.safetensors", "pytorch_model.bin"))
    hub.fail(Fault(large, drop_after=300_000, times=1))
    fetched = fetch("owner/name")
    assert (fetched.folder / large).read_bytes() == WEIGHTS
    ranges = [r.range for r in hub.requests if r.origin == "cdn" and r.path.endswith(large)]
    assert ranges[0] == ""
    assert int(ranges[1].removeprefix("bytes=").removesuffix("-")) > 0


def test_an_ended_run_is_continued_by_the_next_one(hub: HubServer, tmp_path: Path) -> None:
    hub.add("owner/name", write(tmp_path / "repo", LLAMA_3))
    hub.fail(Fault("model.safetensors", drop_after=300_000, times=1))
    hub.fail(Fault("model.safetensors", drop_after=0, times=3))
    with pytest.raises(AcquireError, match="cannot be reached"):
        fetch("owner/name")
    before = len(hub.requests)
    fetched = fetch("owner/name")
    assert (fetched.folder / "model.safetensors").read_bytes() == WEIGHTS
    asked = [r for r in hub.requests[before:] if r.origin == "cdn" and r.method == "GET"]
    assert [r.range.startswith("bytes=") for r in asked] == [True]


FETCH = """
from medbench_local.acquire.fetch import fetch_checkpoint
from medbench_local.hub.repository import hub_from_environment, open_repository
from medbench_local.progress import Silent
from medbench_local.settings import read_settings
opened = open_repository("owner/name", "main", offline=False, hub=hub_from_environment(), progress=Silent())
fetch_checkpoint(opened, home=read_settings().home, progress=Silent())
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="the system cannot kill")
def test_a_killed_process_is_continued_by_the_next_one(hub: HubServer, tmp_path: Path) -> None:
    hub.add("owner/name", write(tmp_path / "repo", LLAMA_3))
    hub.fail(Fault("model.safetensors", hang_after=300_000))
    process = subprocess.Popen([sys.executable, "-c", FETCH], env=dict(os.environ))
    assert hub.sent_to_hanging.wait(60)
    blobs = tmp_path / "hf" / "hub" / "models--owner--name" / "blobs"
    while not any(path.stat().st_size for path in blobs.glob("*.partial")):
        assert process.poll() is None
    process.kill()
    process.wait()

    before = len(hub.requests)
    fetched = fetch("owner/name")

    assert (fetched.folder / "model.safetensors").read_bytes() == WEIGHTS
    asked = [r for r in hub.requests[before:] if r.origin == "cdn" and r.method == "GET"]
    assert [r.range.startswith("bytes=") for r in asked] == [True]
    assert not list(blobs.glob("*.partial"))


def test_a_server_without_ranges_starts_again(hub: HubServer, tmp_path: Path) -> None:
    hub.add("owner/name", write(tmp_path / "repo", LLAMA_3))
    hub.fail(Fault("model.safetensors", drop_after=300_000))
    hub.fail(Fault("model.safetensors", ignore_range=True))
    fetched = fetch("owner/name")
    assert (fetched.folder / "model.safetensors").read_bytes() == WEIGHTS


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("about", ["/api/models/", "config.json"])
def test_a_busy_hub_is_asked_again(hub: HubServer, tmp_path: Path, status: int, about: str) -> None:
    hub.add("owner/name", write(tmp_path / "repo", LLAMA_3))
    hub.fail(Fault(about, status=status, times=2))
    listener = Listener()
    fetch("owner/name", progress=listener)
    assert sum(f"answer {status}" in note for note in listener.notes) == 2


# --- what arrives is checked


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_a_corrupt_file_is_refused_and_not_kept(hub: HubServer, tmp_path: Path, name: str) -> None:
    hub.add("owner/name", write(tmp_path / "repo", LLAMA_3))
    hub.fail(Fault(name, corrupt=True))
    with pytest.raises(AcquireError, match=f"{name} arrived damaged"):
        fetch("owner/name")
    assert (fetch("owner/name").folder / name).read_bytes() == LLAMA_3[name]


def test_a_short_file_is_refused(hub: HubServer, tmp_path: Path) -> None:
    hub.add("owner/name", write(tmp_path / "repo", LLAMA_3))
    hub.fail(Fault("model.safetensors", short=1000))
    with pytest.raises(AcquireError, match="1,000 bytes, not 700,000"):
        fetch("owner/name")


@pytest.mark.parametrize("damaged", [b"x" + WEIGHTS[1:], WEIGHTS[:-1]], ids=["changed", "cut"])
def test_a_file_damaged_in_the_cache_is_fetched_again(hub: HubServer, tmp_path: Path, damaged: bytes) -> None:
    hub.add("owner/name", write(tmp_path / "repo", LLAMA_3))
    path = fetch("owner/name").folder / "model.safetensors"
    path.write_bytes(damaged)
    os.utime(path, ns=(1, 1))
    assert (fetch("owner/name").folder / "model.safetensors").read_bytes() == WEIGHTS


def test_a_partial_file_of_other_content_is_found_out(hub: HubServer, tmp_path: Path) -> None:
    hub.add("owner/name", write(tmp_path / "repo", LLAMA_3))
    blob = hashlib.sha256(WEIGHTS).hexdigest()
    blobs = tmp_path / "hf" / "hub" / "models--owner--name" / "blobs"
    write(blobs, {f"{blob}.partial": b"nonsense" * 1000})
    with pytest.raises(AcquireError, match="arrived damaged"):
        fetch("owner/name")
    fetch("owner/name")


def test_without_links_nothing_is_kept_twice(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_SYMLINKS", True)
    hub.add("owner/name", write(tmp_path / "repo", LLAMA_3))
    fetched = fetch("owner/name")
    assert (fetched.folder / "model.safetensors").read_bytes() == WEIGHTS
    cache = tmp_path / "hf" / "hub" / "models--owner--name"
    kept = [path for path in cache.rglob("*") if path.is_file() and path.stat().st_size > 100_000]
    assert kept == [fetched.folder / "model.safetensors"]
    before = len(hub.contents())
    assert fetch("owner/name") == fetched
    assert len(hub.contents()) == before


@pytest.mark.parametrize(
    "path", ["../../x.safetensors", "/etc/x.safetensors", "a\\b.safetensors", "c:x.safetensors"]
)
def test_a_hub_that_lists_files_outside_the_folder(hub: HubServer, tmp_path: Path, path: str) -> None:
    outside = tmp_path / "hf" / "hub" / "models--owner--name" / "x.safetensors"
    write(outside.parent, {outside.name: b"mine"})
    files = {**LLAMA_3, "model.safetensors.index.json": index(path.replace("\\", "\\\\"))}
    del files["model.safetensors"]
    hub.add("owner/name", write(tmp_path / "repo", files))
    hub.listed_too["owner/name"] = path
    with pytest.raises(AcquireError, match="outside owner/name"):
        fetch("owner/name")
    assert outside.read_bytes() == b"mine"


# --- refusals, each its own


def test_gated_without_a_token_names_the_page(hub: HubServer, tmp_path: Path) -> None:
    hub.add("meta-llama/Llama-2-7b-hf", write(tmp_path / "repo", LLAMA_2), gated=True)
    with pytest.raises(GatedError, match="is gated: its authors ask") as caught:
        fetch("meta-llama/Llama-2-7b-hf")
    assert f"{hub.endpoint}/meta-llama/Llama-2-7b-hf" in caught.value.advice
    assert "hf auth login" in caught.value.advice


def test_gated_with_a_token_that_has_no_access(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add("owner/name", write(tmp_path / "repo", LLAMA_2), gated=True)
    hub.tokens[TOKEN] = set()
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with pytest.raises(GatedError, match="the token's account has no access") as caught:
        fetch("owner/name")
    assert TOKEN not in str(caught.value)


def test_a_token_with_access_is_sent_to_the_hub_only(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add("owner/name", write(tmp_path / "repo", LLAMA_2), gated=True, private=True)
    hub.tokens[TOKEN] = {"owner/name"}
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    fetch("owner/name")
    assert {r.token for r in hub.requests if r.origin == "hub"} == {TOKEN}
    assert {r.token for r in hub.requests if r.origin == "cdn"} == {""}
    kept = [p for p in (tmp_path / "home").rglob("*") if p.is_file()]
    assert kept
    assert not any(TOKEN.encode() in p.read_bytes() for p in kept)


def test_a_wrong_token(hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add("owner/name", write(tmp_path / "repo", LLAMA_2))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with pytest.raises(AcquireError, match="does not accept the token") as caught:
        fetch("owner/name")
    assert TOKEN not in repr(caught.value) + str(caught.value)


@pytest.mark.parametrize("token", ["", TOKEN])
def test_a_missing_repository(hub: HubServer, monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    if token:
        hub.tokens[token] = set()
        monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(NotFoundError, match="There is no repository owner/nothing"):
        fetch("owner/nothing")


def test_a_missing_revision(hub: HubServer, tmp_path: Path) -> None:
    hub.add("owner/name", write(tmp_path / "repo", LLAMA_2))
    with pytest.raises(NotFoundError, match="has no such revision"):
        fetch("owner/name", "v9")


@pytest.mark.parametrize(
    ("status", "kind", "text"),
    [
        (429, UnreachableError, "no more requests"),
        (503, UnreachableError, "server error"),
        (403, AcquireError, "refused"),
    ],
)
def test_a_hub_that_stays_so(
    hub: HubServer, tmp_path: Path, status: int, kind: type[AcquireError], text: str
) -> None:
    hub.add("owner/name", write(tmp_path / "repo", LLAMA_2))
    hub.fail(Fault("/resolve/", status=status, times=99))
    with pytest.raises(kind, match=text):
        fetch("owner/name")


def test_no_network(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UnreachableError, match=r"http://127.0.0.1:9 cannot be reached"):
        fetch("owner/name")


def test_something_that_is_no_hub(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.fail(Fault("/api/models/", status=200))
    with pytest.raises(AcquireError, match="did not answer as a hub does"):
        fetch("owner/name")


def test_not_enough_room_is_said_before_the_weights(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add("owner/name", write(tmp_path / "repo", BIOMISTRAL))
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(10, 5, 5))
    with pytest.raises(DiskFullError, match=r"Not enough room .* for the download"):
        fetch("owner/name")
    assert hub.contents() == []


def test_repositories_that_are_no_checkpoint(hub: HubServer, tmp_path: Path) -> None:
    hub.add("owner/gguf", write(tmp_path / "gguf", {"README.md": b"", "model.Q4_K_M.gguf": b"GGUF"}))
    with pytest.raises(AcquireError, match=r"no config.json") as caught:
        fetch("owner/gguf")
    assert "model.Q4_K_M.gguf" in caught.value.advice
    hub.add("owner/empty", write(tmp_path / "empty", SMALL))
    with pytest.raises(AcquireError, match="holds no weights"):
        fetch("owner/empty")


@pytest.mark.parametrize(
    "content",
    [
        index("../../../outside.safetensors"),
        index("model-00009-of-00009.safetensors"),
        index("README.md"),
        b'{"weight_map": {"a": 3}}',
        b'{"weight_map": []}',
        b"[" * 5000,
        b"\xff",
    ],
)
def test_a_bad_index_is_an_error_and_fetches_no_weights(
    hub: HubServer, tmp_path: Path, content: bytes
) -> None:
    hub.add("owner/name", write(tmp_path / "repo", {**LLAMA_2, "model.safetensors.index.json": content}))
    with pytest.raises(InputError):
        fetch("owner/name")
    assert hub.contents() == ["model.safetensors.index.json"]


# --- offline


def test_offline_uses_what_is_there_and_asks_nobody(hub: HubServer, tmp_path: Path) -> None:
    hub.add("owner/name", write(tmp_path / "repo", LLAMA_2))
    first = fetch("owner/name")
    before = len(hub.requests)
    assert fetch("owner/name", offline=True) == first
    assert fetch("owner/name", first.commit, offline=True) == first
    assert len(hub.requests) == before


def test_offline_and_not_cached(hub: HubServer, tmp_path: Path) -> None:
    hub.add("owner/name", write(tmp_path / "repo", LLAMA_2))
    with pytest.raises(OfflineError, match="not completely in the cache"):
        fetch("owner/name", offline=True)
    fetched = fetch("owner/name")
    (fetched.folder / "tokenizer.model").unlink()
    with pytest.raises(OfflineError, match="not completely in the cache"):
        fetch("owner/name", offline=True)
    assert hub.requests


def test_an_unreachable_hub_falls_back_to_the_cache_with_a_note(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add("owner/name", write(tmp_path / "repo", LLAMA_3))
    first = fetch("owner/name")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    listener = Listener()
    assert fetch("owner/name", progress=listener) == first
    assert any("Going on with commit" in note for note in listener.notes)


def test_what_was_fetched_is_recalled_even_when_the_files_are_gone(hub: HubServer, tmp_path: Path) -> None:
    commit = hub.add("owner/name", write(tmp_path / "repo", LLAMA_3))
    fetched = fetch("owner/name")
    home = tmp_path / "home"
    assert recall(home, "owner/name", revision="main") == fetched
    assert recall(home, "owner/name", commit=commit) == fetched
    assert recall(home, "owner/name", commit="0" * 40) is None
    assert recall(home, "owner/other", revision="main") is None


# --- other things than checkpoints


def test_a_gguf_with_its_parts(hub: HubServer, tmp_path: Path) -> None:
    files = {f"big-{i:05d}-of-00003.gguf": b"GGUF%d" % i for i in (1, 2, 3)} | {"other.gguf": b"GGUF"}
    hub.add("owner/name", write(tmp_path / "repo", files))
    opened, home = open_here("owner/name"), tmp_path / "home"
    fetched = fetch_gguf(opened, "big-00001-of-00003.gguf", home=home, progress=Silent())
    assert [record.path for record in fetched.files] == sorted(files)[:3]
    with pytest.raises(NotFoundError, match=r"no file x.gguf"):
        fetch_gguf(opened, "x.gguf", home=home, progress=Silent())


def test_files_of_a_data_set_at_a_revision_with_slashes(hub: HubServer, tmp_path: Path) -> None:
    files = {"anatomy/test/0000.parquet": b"PAR1", "data.jsonl": b"{}\n", "big.zip": b"PK"}
    hub.add("cais/mmlu", write(tmp_path / "repo", files), kind="dataset", revisions=("refs/convert/parquet",))
    paths = fetch_dataset_files("cais/mmlu", "refs/convert/parquet", list(files)[:2])
    assert {path: local.read_bytes() for path, local in paths.items()} == {
        path: files[path] for path in list(files)[:2]
    }
    assert fetch_dataset_files("cais/mmlu", "refs/convert/parquet", list(files)[:2], offline=True) == paths
    with pytest.raises(OfflineError, match="not completely in the cache"):
        fetch_dataset_files("cais/mmlu", "refs/convert/parquet", ["big.zip"], offline=True)
