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

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medbench_local.errors import SYSTEM_ADVICE, TOO_MANY_FILES, AcquireError, DiskFullError, StoreError
from medbench_local.files.hashes import (
    content_key,
    file_sha256,
    hash_file,
    read_record,
    remember_sha256,
    write_record,
)
from medbench_local.files.lock import alone
from medbench_local.files.space import is_disk_full
from medbench_local.progress import Progress

_UNFINISHED = re.compile(r"\.?unfinished-(?P<name>.+?)(\.[0-9a-f]{16}\.part)?")
"""What is written, and the temporary name under which it is."""


@dataclass(frozen=True)
class CachedFile:
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


def find(target: Path, home: Path, progress: Progress | None = None) -> CachedFile | None:
    """The file of the cache, if it is there and is what was written there.

    A file that was cut short or changed since counts as absent.
    """
    notes = read_record(sidecar(target))
    digest, size = notes.pop("sha256", None), notes.pop("size", None)
    try:
        if target.stat().st_size != size or file_sha256(target, home, progress) != digest:
            return None
    except OSError:
        return None
    return CachedFile(target, str(digest), int(size), notes)


def recorded(target: Path) -> CachedFile | None:
    """What was noted when the file was made, even if it was removed since; None if it never was."""
    notes = read_record(sidecar(target))
    digest, size = notes.pop("sha256", None), notes.pop("size", None)
    if not isinstance(digest, str) or not isinstance(size, int):
        return None
    return CachedFile(target, digest, size, notes)


def make_once(
    target: Path, make: Callable[[Path], dict[str, Any]], *, home: Path, progress: Progress
) -> CachedFile:
    """The file of the cache, made by ``make`` unless it is there already.

    One process makes it, others wait for that one; the lock of a process that died is free. ``make`` writes
    to the path it is given, and returns what is to be noted about the file.

    Raises:
        AcquireError: the folder cannot be written to, or is a link.
        DiskFullError: the disk is full.
    """
    try:
        if (found := find(target, home, progress)) is not None:
            return found  # without a lock: the folder may be somebody else's, to be read only
        with alone(lock_of(target, home), f"making {target.parent.name}/{target.name}", progress):
            found = find(target, home, progress)
            if found is not None:
                return found
            if target.exists():
                progress.note(f"{target.name} was changed or cut short after it was made; making it again")
            return _make(target, make, home, progress)
    except DiskFullError:
        raise
    except (OSError, StoreError) as error:
        kind = DiskFullError if isinstance(error, OSError) and is_disk_full(error) else AcquireError
        reason = error.message if isinstance(error, StoreError) else str(error)
        number = error.errno if isinstance(error, OSError) else None
        raise kind(
            f"Making {target} failed: {reason.rstrip('.')}.",
            advice=SYSTEM_ADVICE[number]
            if number in TOO_MANY_FILES
            else "It needs a folder with room that you may write to; MEDBENCH_HOME names another one.",
        ) from error


def lock_of(target: Path, home: Path) -> Path:
    """The lock that whoever makes ``target`` holds."""
    return home / "locks" / f"{content_key(str(target.resolve()))[:32]}.lock"


def target_of(path: Path) -> Path:
    """The file that a file in the cache is, or becomes, or tells of; see `make_once`."""
    made = _UNFINISHED.fullmatch(path.name)
    return path.with_name((made["name"] if made else path.name).removesuffix(".json"))


def _make(target: Path, make: Callable[[Path], dict[str, Any]], home: Path, progress: Progress) -> CachedFile:
    if target.parent.is_symlink():  # removed, it might take a large model with it that lies on another disk
        raise AcquireError(
            f"{target.parent} is a link, and nothing is written through it.",
            advice=f"Remove it; to keep models on another disk, let {target.parent.parent} lead there.",
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f"unfinished-{target.name}")
    for left_by_a_dead_process in target.parent.glob(f"*{unfinished.name}*"):
        left_by_a_dead_process.unlink()
    try:
        notes = make(unfinished)
        digest, size = hash_file(unfinished, progress, called=target.name), unfinished.stat().st_size
        write_record(sidecar(target), {"sha256": digest, "size": size, **notes})
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
    remember_sha256(target, home, digest)
    return CachedFile(target, digest, size, notes)


def sidecar(target: Path) -> Path:
    """The note beside a file of the cache."""
    return target.with_name(f"{target.name}.json")
