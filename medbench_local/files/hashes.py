"""Hashes of files, and what is noted of them."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medbench_local.errors import InputError, StoreError
from medbench_local.files.atomic import write_atomic
from medbench_local.files.json_objects import read_json_object
from medbench_local.files.streams import open_file
from medbench_local.progress import Progress, Silent

_BLOCK = 4 * 2**20
_WORTH_A_STEP = 64 * 2**20
_WORTH_A_RECORD = 4 * 2**20
_CLOCK_STEP = 2.0
"""Seconds within which some file systems give two changes one time."""


def content_key(*parts: object) -> str:
    """A hash of JSON-able ``parts``: 64 hexadecimal digits, equal for equal content."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def file_sha256(path: Path, home: Path, progress: Progress | None = None) -> str:
    """SHA-256 of the file's content.

    A small file is always read. Of a large one the hash is known from last time if size, times of change of content and
    of the file itself, and inode are the same: a copy put in its place with an old date, as archives and rsync make
    them, has another of these. Just after a change nothing is noted, because a second change within the clock's step
    would leave no trace.

    Raises:
        OSError: it cannot be read.
        InputError: it is a pipe or a device.
    """
    state = _state(path)
    if state["size"] < _WORTH_A_RECORD:
        return hash_file(path, Silent())
    known = read_record(_hash_record(path, home))
    digest = known.pop("sha256", None)
    if known == state and isinstance(digest, str):
        return digest
    digest = hash_file(path, progress or Silent())
    if time.time() - max(state["mtime_ns"], state["ctime_ns"]) / 1e9 > _CLOCK_STEP:
        with suppress(StoreError):  # the record only saves time
            write_record(_hash_record(path, home), {**state, "sha256": digest})
    return digest


def remember_sha256(path: Path, home: Path, digest: str) -> None:
    """Note the hash of a file that was just written, so that it need not be read again.

    Raises:
        StoreError: it cannot be written, or the disk is full.
    """
    write_record(_hash_record(path, home), {**_state(path), "sha256": digest})


def hash_file(path: Path, progress: Progress, *, called: str = "") -> str:
    """SHA-256 of the file's content, read now; a step (under the name ``called``) only if that takes a while."""
    size = path.stat().st_size
    listener = progress if size >= _WORTH_A_STEP else Silent()
    digest = hashlib.sha256()
    with listener.step(f"hashing {called or path.name}", total=size, unit="B") as advance:
        _feed(digest, path, advance)
    return digest.hexdigest()


def git_hash_file(path: Path) -> str:
    """Git's own hash of the file's content: SHA-1 of "blob <size>", a zero byte, and the content."""
    digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    _feed(digest, path, lambda _: None)
    return digest.hexdigest()


def _feed(digest: hashlib._Hash, path: Path, advance: Callable[[float], None]) -> None:
    with open_file(path) as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            advance(len(block))


def _state(path: Path) -> dict[str, int]:
    status = path.stat()
    return {
        "size": status.st_size,
        "mtime_ns": status.st_mtime_ns,
        "ctime_ns": status.st_ctime_ns,
        "inode": status.st_ino,
    }


def _hash_record(path: Path, home: Path) -> Path:
    return home / "hashes" / f"{content_key(str(path.resolve()))[:32]}.json"


def read_record(path: Path) -> dict[str, Any]:
    """What this program noted in the file; empty if it is absent or damaged."""
    try:
        return read_json_object(path)
    except InputError:
        return {}


def write_record(path: Path, content: dict[str, Any]) -> None:
    """Note a JSON object in the file, whole or not at all; makes its folder.

    Raises:
        StoreError: it cannot be written, or the disk is full.
    """
    write_atomic(path, json.dumps(content, indent=1, ensure_ascii=False))


@dataclass(frozen=True)
class FileRecord:
    """One file that was used.

    Attributes:
        path: relative to its repository or folder, with forward slashes.
        size: bytes.
        sha256: of the content, 64 hexadecimal digits.
    """

    path: str
    size: int
    sha256: str


def prompt_sha256(prompt: str) -> str:
    """Hash of a prompt's text, as in samples and in lm-evaluation-harness logs (``prompt_hash``)."""
    return hashlib.sha256(prompt.encode("utf-8")).hexdigest()


def parts_sha256(parts: Iterable[str | Sequence[str]]) -> str:
    """Hash of what a model sees; of text alone, that of `prompt_sha256`.

    A place of pictures is a byte that is in no UTF-8 text for each, with its hash, and one at the end: no text and no
    other pictures stand for it.

    Args:
        parts: in order, texts and places; a place is the hashes of its pictures, 64 hexadecimal digits each.
    """
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            digest.update(part.encode("utf-8"))
            continue
        for picture in part:
            digest.update(b"\xff" + bytes.fromhex(picture))
        digest.update(b"\xfe")
    return digest.hexdigest()


def text_sha256(text: str, options: Sequence[str]) -> str:
    """Hash of a question: its text and its options, joined by line breaks."""
    return hashlib.sha256("\n".join((text, *options)).encode("utf-8")).hexdigest()
