"""A file appears whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from medbench_local.errors import AcquireError


@contextmanager
def whole_file(output: Path, *, nbytes: int) -> Iterator[Path]:
    """Give a temporary name beside ``output``; move it into place if the block ends well, else remove it.

    Args:
        output: the file to make; an existing one is replaced at the very end. Of a symbolic link, what it leads
            to is replaced.
        nbytes: how large it will be about; checked against the free space before anything is written.

    Raises:
        AcquireError: ``output`` is a folder, a device or a pipe; the folder cannot be written to, or the disk
            is too small or became full.
    """
    if output.exists() and not output.is_file():
        raise AcquireError(
            f"{output} is no file, so that none can take its place.",
            advice="Choose the name of another file.",
        )
    output = Path(os.path.realpath(output))
    temporary = output.with_name(f".{output.name}.{os.getpid()}.part")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(output.parent).free
        if free < nbytes:
            raise _disk_full(output, nbytes, free)
        yield temporary
        temporary.replace(output)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _disk_full(output, nbytes, shutil.disk_usage(output.parent).free) from error
        raise AcquireError(f"{error.filename or output}: {error.strerror or error}.") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _disk_full(output: Path, nbytes: int, free: int) -> AcquireError:
    return AcquireError(
        f"{output} needs {nbytes / 1e9:.1f} GB, the disk has {free / 1e9:.1f} GB left.",
        advice="Free space, or choose another disk (MEDBENCH_HOME for the tool's own files).",
    )
