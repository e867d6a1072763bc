"""Hashes of files, and what is noted of them."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medbench_local.progress import Progress, Silent

_BLOCK = 4 * 2**20


_WORTH_A_STEP = 64 * 2**20


def content_key(*parts: object) -> str:
    """A hash of JSON-able ``parts``: 64 hexadecimal digits, equal for equal content."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def file_sha256(path: Path, home: Path, progress: Progress | None = None) -> str:
    """SHA-256 of the file's content; read again only if its size or time of change differ from last time."""
    state = _state(path)
    known = read_json(_hash_record(path, home))
    digest = known.pop("sha256", None)
    if known == state and isinstance(digest, str):
        return digest
    digest = hash_file(path, progress or Silent())
    with suppress(OSError):  # the record only saves time
        write_json(_hash_record(path, home), {**state, "sha256": digest})
    return digest


def remember_sha256(path: Path, home: Path, digest: str) -> None:
    """Note the hash of a file that was just written, so that it need not be read again."""
    write_json(_hash_record(path, home), {**_state(path), "sha256": digest})


def hash_file(path: Path, progress: Progress, *, called: str = "") -> str:
    """SHA-256 of the file's content, read now; a step (under the name ``called``) only if that takes a while."""
    size = path.stat().st_size
    listener = progress if size >= _WORTH_A_STEP else Silent()
    digest = hashlib.sha256()
    with (
        path.open("rb") as file,
        listener.step(f"hashing {called or path.name}", total=size, unit="B") as advance,
    ):
        while block := file.read(_BLOCK):
            digest.update(block)
            advance(len(block))
    return digest.hexdigest()


def _state(path: Path) -> dict[str, int]:
    status = path.stat()
    return {"size": status.st_size, "mtime_ns": status.st_mtime_ns}


def _hash_record(path: Path, home: Path) -> Path:
    return home / "hashes" / f"{content_key(str(path.resolve()))[:32]}.json"


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in the file; empty if it is absent or is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Put a JSON object into the file, whole or not at all; makes its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        unfinished.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


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


def text_sha256(text: str, options: Sequence[str]) -> str:
    """Hash of a question: its text and its options, joined by line breaks."""
    return hashlib.sha256("\n".join((text, *options)).encode("utf-8")).hexdigest()
