"""One process at a time on a run folder, or on a file of results."""

from __future__ import annotations

import json
import os
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path

from filelock import FileLock, Timeout

from medbench_local.errors import InputError, StoreError
from medbench_local.files.atomic import disk_error, write_atomic
from medbench_local.files.json_objects import read_json_object
from medbench_local.paths import Place
from medbench_local.progress import Progress

_LOOK_AGAIN = 10.0
"""Seconds after which who waits for a lock sees whether locks work there at all."""

_BUSY = "Wait until it ends, stop it, or choose another {} with `output=`."


@contextmanager
def only_process(folder: Path, *, advice: str = "") -> Iterator[None]:
    """Hold ``folder`` for this process.

    The lock is the operating system's, so that it ends with the process that holds it, however that ends.

    Args:
        folder: what is held.
        advice: what to do while another process holds it; by default also to name another folder.

    Raises:
        StoreError: another process holds it; the error says which one and since when. Or, at the end of what is done
            with it, another folder is where it was.
    """
    with held(folder, folder / ".lock", advice or _BUSY.format("folder")):
        place = Place.of(folder)
        yield
        if problem := place.problem():
            raise StoreError(
                f"{problem}.",
                advice="What is in it is not whole. Put the folder back where it was, and run the same command again.",
            )


@contextmanager
def only_writer(path: Path) -> Iterator[None]:
    """Hold the file ``path``, which need not exist yet, for this process; the lock lies beside it and is removed.

    Raises:
        StoreError: another process holds it; the error says which one and since when.
    """
    lock = path.with_name(f".{path.name}.lock")
    with held(path, lock, _BUSY.format("file")):
        try:
            yield
        finally:
            with suppress(OSError):  # Windows removes it with the last handle
                lock.unlink()


@contextmanager
def held(what: Path, path: Path, advice: str) -> Iterator[None]:
    """Hold the lock at ``path``, which stands for the folder or file ``what``; do not wait for it.

    Raises:
        StoreError: another process holds it; ``advice`` is the error's.
    """
    holder = path.with_name(path.name + ".json")
    lock = _lock(what, path)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise StoreError(f"{what}: in use by {_describe(holder)}.", advice=advice) from error
    except OSError as error:
        raise disk_error(what, error) from error
    try:
        since = datetime.now(timezone.utc).isoformat(timespec="seconds")
        text = json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": since})
        write_atomic(holder, text)
        yield
    finally:
        with suppress(
            OSError
        ):  # a folder that became read-only: the error that said so is the one to be seen
            holder.unlink(missing_ok=True)
        lock.release()


def _lock(what: Path, path: Path) -> FileLock:
    """The lock at ``path``, not yet taken, where locks work.

    Raises:
        StoreError: they do not, or the folder cannot be written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():
            path.unlink()  # it is made and emptied: what it leads to is somebody else's
        _try_locks(path.parent)
    except OSError as error:
        raise disk_error(what, error) from error
    return FileLock(path)


def _try_locks(folder: Path) -> None:
    """Lock a file that nobody else knows: a disk that cannot would seem to be in use by somebody for ever.

    Raises:
        StoreError: that does not work.
        OSError: no file can be made there.
    """
    if sys.platform == "win32":
        return
    import fcntl

    with tempfile.TemporaryFile(dir=folder) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StoreError(
                f"{folder}: files cannot be locked on this disk ({error.strerror}).",
                advice="Use a folder on a disk of this machine: `output=` for results, MEDBENCH_HOME for models, "
                "HF_HOME for downloads; or mount the network disk with locks.",
            ) from error


def _describe(holder: Path) -> str:
    try:
        data = read_json_object(holder)
        return f"process {int(data['pid'])} on {data['host']} since {data['since']}"
    except (InputError, ValueError, KeyError, TypeError):
        return "another process"


@contextmanager
def alone(path: Path, purpose: str, progress: Progress) -> Iterator[None]:
    """Hold the lock at ``path``; wait, after a note that names the ``purpose``, while another process has it.

    Raises:
        StoreError: locks do not work there, or the folder cannot be written to.
    """
    lock = _lock(path.parent, path)
    try:
        if not _acquired(lock, 0):
            progress.note(f"another process is {purpose}; waiting for it")
            while not _acquired(lock, _LOOK_AGAIN):
                _try_locks(path.parent)
    except OSError as error:
        raise disk_error(path.parent, error) from error
    try:
        yield
    finally:
        lock.release()


def _acquired(lock: FileLock, seconds: float) -> bool:
    try:
        lock.acquire(timeout=seconds)
    except Timeout:
        return False
    return True
