"""The bytes of a file from outside: plain, gzipped, or a member of a zip archive."""

from __future__ import annotations

import contextlib
import errno
import gzip
import io
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO, cast

from medbench_local.errors import InputError
from medbench_local.files.limits import most_unpacked, too_large
from medbench_local.files.rows import SourceFile, plain
from medbench_local.files.stand_ins import refuse_stand_in_at

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""How members of a zip archive may be packed."""


def open_file(path: Path, *, pipe: bool = False) -> BinaryIO:
    """The bytes of a file from outside, if it is one: a pipe would be waited for, a device might never end.

    Args:
        path: of it.
        pipe: whether a pipe will do, too, which then is waited for.

    Raises:
        InputError: it is a pipe, a socket or a device.
        OSError: it is missing, a folder, or may not be read.
    """
    mode = path.stat().st_mode
    piped = pipe and stat.S_ISFIFO(mode)
    if not piped:
        _need_file(path, mode)
    wait = 0 if piped else getattr(os, "O_NONBLOCK", 0)
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | wait | getattr(os, "O_CLOEXEC", 0)
    descriptor = os.open(path, flags)
    try:
        if not piped:
            _need_file(path, os.fstat(descriptor).st_mode)  # it may have been replaced meanwhile
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def refuse_special(path: Path) -> None:
    """Refuse by name what is there and is neither a file nor a folder; what is missing is for the caller to say.

    Raises:
        InputError: it is a pipe, a socket or a device.
    """
    with contextlib.suppress(OSError):
        _need_file(path, path.stat().st_mode)


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
    """The bytes of ``file``, uncompressed; whatever goes wrong while reading them is an InputError too.

    So is a file that holds far more than it takes room: see `most_unpacked`.
    """
    try:
        refuse_stand_in_at(file.path)
        if file.member:
            with open_file(file.path) as packed, zipfile.ZipFile(packed) as archive:
                if file.member not in archive.namelist():
                    raise InputError(file.path, "", f"expected {file.member} in this archive")
                if archive.getinfo(file.member).compress_type not in METHODS:
                    raise InputError(str(file), "", "neither stored nor deflated")
                with archive.open(file.member) as stream:
                    yield _metered(stream, file)
        elif file.path.suffix == ".gz":
            with open_file(file.path) as packed, gzip.open(packed, "rb") as stream:
                yield _metered(cast("IO[bytes]", stream), file)
        else:
            with open_file(file.path, pipe=file.pipe) as stream:
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


def read_whole(file: SourceFile, most: int, problem: str) -> bytes:
    """All bytes of ``file``.

    Raises:
        InputError: as `open_bytes`; or with ``problem``, there are more than ``most``.
    """
    data = bytearray()
    with open_bytes(file) as stream:
        while piece := stream.read(2**16):  # asked for the most at once, Python would make room for it
            data += piece
            if len(data) > most:
                raise InputError(str(file), "", problem)
    return bytes(data)


class _Metered(io.RawIOBase):
    """What a compressed file holds, as far as it is in proportion."""

    def __init__(self, stream: IO[bytes], file: SourceFile) -> None:
        self._stream, self._file, self._read = stream, file, 0
        self._most = most_unpacked(file.path.stat().st_size)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        piece = self._stream.read(len(view))
        view[: len(piece)] = piece
        self._read += len(piece)
        if self._read > self._most:
            raise InputError(
                str(self._file),
                "",
                too_large(self._most),
                advice="If it is what it should be, unpack it yourself and name the unpacked file.",
            )
        return len(piece)


def _metered(stream: IO[bytes], file: SourceFile) -> IO[bytes]:
    return io.BufferedReader(_Metered(stream, file), buffer_size=2**18)
