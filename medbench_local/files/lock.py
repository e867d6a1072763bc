"""One process at a time on a run folder, or on a file of results."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path

from filelock import FileLock, Timeout

from medbench_local.errors import InputError, StoreError
from medbench_local.files.atomic import disk_error, own_file
from medbench_local.files.json_objects import read_json_object
from medbench_local.progress import Progress

_BUSY = "Wait until it ends, stop it, or choose another {} with `output=`."


@contextmanager
def only_process(folder: Path, *, advice: str = "") -> Iterator[None]:
    """Hold ``folder`` for this process.

    The lock is the operating system's, so that it ends with the process that holds it, however that ends.

    Args:
        folder: what is held.
        advice: what to do while another process holds it; by default also to name another folder.

    Raises:
        StoreError: another process holds it; the error says which one and since when.
    """
    with held(folder, folder / ".lock", advice or _BUSY.format("folder")):
        yield


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
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path, timeout=0)
        lock.acquire()
    except Timeout as error:
        raise StoreError(f"{what}: in use by {_describe(holder)}.", advice=advice) from error
    except OSError as error:
        raise disk_error(what, error) from error
    try:
        since = datetime.now(timezone.utc).isoformat(timespec="seconds")
        text = json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": since})
        try:
            own_file(holder).write_text(text, encoding="utf-8")
        except OSError as error:
            raise disk_error(holder, error) from error
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def _describe(holder: Path) -> str:
    try:
        data = read_json_object(holder)
        return f"process {int(data['pid'])} on {data['host']} since {data['since']}"
    except (InputError, ValueError, KeyError, TypeError):
        return "another process"


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
