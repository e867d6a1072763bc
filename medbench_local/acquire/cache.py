"""The folder of converted and quantised models: names by content, made once, complete or absent.

::

    MEDBENCH_HOME/
      models/<name>-<16 hex>/full.gguf             the hex is a hash of the checkpoint's files
                             full.gguf.json        its hash, its file type, what the conversion warned of
                             <quant>-<8 hex>.gguf  the hex is a hash of the source and the configuration
      hashes/…                                     hashes of files, valid while size and time stay
      locks/…                                      one a target; the system frees a dead process's
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from medbench_local.errors import AcquireError
from medbench_local.progress import Progress, Silent

_BLOCK = 4 * 2**20
_WORTH_A_STEP = 64 * 2**20


@dataclass(frozen=True)
class Built:
    """A file of the cache and what was noted when it was made.

    Attributes:
        path: where it lies.
        sha256: of its content.
        size: bytes.
        notes: what its maker returned; JSON values only.
    """

    path: Path
    sha256: str
    size: int
    notes: dict[str, Any]


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


def find(target: Path, home: Path, progress: Progress | None = None) -> Built | None:
    """The file of the cache, if it is there and is what was written there.

    A file that was cut short or changed since counts as absent.
    """
    notes = read_json(_sidecar(target))
    digest, size = notes.pop("sha256", None), notes.pop("size", None)
    try:
        if target.stat().st_size != size or file_sha256(target, home, progress) != digest:
            return None
    except OSError:
        return None
    return Built(target, str(digest), int(size), notes)


def recorded(target: Path) -> Built | None:
    """What was noted when the file was made, even if it was removed since; None if it never was."""
    notes = read_json(_sidecar(target))
    digest, size = notes.pop("sha256", None), notes.pop("size", None)
    if not isinstance(digest, str) or not isinstance(size, int):
        return None
    return Built(target, digest, size, notes)


def make_once(
    target: Path, make: Callable[[Path], dict[str, Any]], *, home: Path, progress: Progress
) -> Built:
    """The file of the cache, made by ``make`` unless it is there already.

    One process makes it, others wait for that one; the lock of a process that died is free. ``make`` writes
    to the path it is given, and returns what is to be noted about the file.

    Raises:
        AcquireError: the folder cannot be written to, or the disk is full.
    """
    try:
        lock = home / "locks" / f"{content_key(str(target.resolve()))[:32]}.lock"
        with alone(lock, f"making {target.parent.name}/{target.name}", progress):
            found = find(target, home, progress)
            if found is not None:
                return found
            if target.exists():
                progress.note(f"{target.name} was changed or cut short after it was made; making it again")
            return _make(target, make, home, progress)
    except OSError as error:
        raise AcquireError(
            f"Making {target} failed: {error}.",
            advice="It needs a folder with room that you may write to; MEDBENCH_HOME names another one.",
        ) from error


def _make(target: Path, make: Callable[[Path], dict[str, Any]], home: Path, progress: Progress) -> Built:
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f"unfinished-{target.name}")
    for left_by_a_dead_process in target.parent.glob(f"*{unfinished.name}*"):
        left_by_a_dead_process.unlink()
    try:
        notes = make(unfinished)
        digest, size = hash_file(unfinished, progress, called=target.name), unfinished.stat().st_size
        write_json(_sidecar(target), {"sha256": digest, "size": size, **notes})
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
    remember_sha256(target, home, digest)
    return Built(target, digest, size, notes)


@contextmanager
def alone(path: Path, purpose: str, progress: Progress) -> Iterator[None]:
    """Hold the lock at ``path``; wait, after a note that names the ``purpose``, while another process has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        progress.note(f"another process is {purpose}; waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _state(path: Path) -> dict[str, int]:
    status = path.stat()
    return {"size": status.st_size, "mtime_ns": status.st_mtime_ns}


def _hash_record(path: Path, home: Path) -> Path:
    return home / "hashes" / f"{content_key(str(path.resolve()))[:32]}.json"


def _sidecar(target: Path) -> Path:
    return target.with_name(f"{target.name}.json")


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
