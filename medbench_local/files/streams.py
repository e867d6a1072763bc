"""The bytes of a file from outside: plain, gzipped, or a member of a zip archive."""

from __future__ import annotations

import errno
import gzip
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO, cast

from medbench_local.errors import InputError
from medbench_local.files.rows import SourceFile, plain
from medbench_local.files.stand_ins import refuse_stand_in_at

METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""How members of a zip archive may be packed."""


def open_file(path: Path) -> BinaryIO:
    """The bytes of a file from outside, if it is one: a pipe would be waited for, a device might never end.

    Raises:
        InputError: it is a pipe, a socket or a device.
        OSError: it is missing, a folder, or may not be read.
    """
    _need_file(path, path.stat().st_mode)
    flags = (
        os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
    )
    descriptor = os.open(path, flags)
    try:
        _need_file(path, os.fstat(descriptor).st_mode)  # it may have been replaced meanwhile
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _need_file(path: Path, mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        kind = "a pipe" if stat.S_ISFIFO(mode) else "a socket" if stat.S_ISSOCK(mode) else "a device"
        raise InputError(
            path, "", f"is {kind}, not a file", advice="Write it to a file first, and name that."
        )


@contextmanager
def open_bytes(file: SourceFile) -> Iterator[IO[bytes]]:
    """The bytes of ``file``, uncompressed; whatever goes wrong while reading them is an InputError too."""
    try:
        refuse_stand_in_at(file.path)
        if file.member:
            with open_file(file.path) as packed, zipfile.ZipFile(packed) as archive:
                if file.member not in archive.namelist():
                    raise InputError(file.path, "", f"expected {file.member} in this archive")
                if archive.getinfo(file.member).compress_type not in METHODS:
                    raise InputError(str(file), "", "neither stored nor deflated")
                with archive.open(file.member) as stream:
                    yield stream
        elif file.path.suffix == ".gz":
            with open_file(file.path) as packed, gzip.open(packed, "rb") as stream:
                yield cast("IO[bytes]", stream)
        else:
            with open_file(file.path) as stream:
                yield stream
    except FileNotFoundError as error:
        raise InputError(file.path, "", "no such file") from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(str(file), "", f"compressed data damaged or cut short ({error})") from error
    except (zipfile.BadZipFile, struct.error, ValueError) as error:
        raise InputError(str(file), "", f"not a whole zip archive ({plain(str(error), 200)})") from error
    except (NotImplementedError, RuntimeError) as error:
        raise InputError(str(file), "", f"cannot be unpacked: {plain(str(error), 200)}") from error
    except OSError as error:
        raise InputError(file.path, "", f"cannot be read: {error.strerror or error}") from error
