"""Files that are either whole or not there."""

from __future__ import annotations

import errno
import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path

from medbench_local.errors import StoreError


def write_atomic(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` as UTF-8: to a temporary name beside it, flushed, then moved into place.

    Raises:
        StoreError: the folder cannot be written, or the disk is full; an older ``path`` is left as it was.
    """
    temporary = path.parent / f".{path.name}.{secrets.token_hex(8)}.part"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise disk_error(path, error) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def need_place(folder: Path) -> None:
    """Find out before hours of work whether ``folder``, which need not exist yet, can be written to.

    Raises:
        StoreError: it cannot.
    """
    nearest = folder.absolute()
    while not nearest.exists():
        nearest = nearest.parent
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise disk_error(folder, error) from error


def disk_error(path: Path, error: OSError) -> StoreError:
    """``error`` while writing ``path``, in words, with what to do about it."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return StoreError(
            f"{path}: the disk is full.",
            advice="Make space and run the same command again; everything computed so far is kept.",
        )
    return StoreError(
        f"{path}: cannot be written ({error.strerror or error}).",
        advice="Check the folder's permissions, or choose another with --output.",
    )
