"""Members of a zip archive from outside, in memory: bounded, never written to disk, Zstandard included."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from medbench_local.errors import InputError
from medbench_local.files.limits import most_unpacked
from medbench_local.files.rows import SourceFile, plain
from medbench_local.files.streams import open_file

MOST_MEMBERS = 200_000
LARGEST_MEMBER = 256 << 20
LARGEST_TOTAL = 4 << 30
"""Bytes, uncompressed, of all members that are read."""

ZSTANDARD = 93
"""The number of this compression in a zip archive; Python's zipfile knows it from 3.14 on."""

_LOCAL_HEADER = struct.Struct("<4s5H3L2H")
_ENCRYPTED = 1


class ZipMembers:
    """An archive that is open for reading; see `open_archive`.

    Attributes:
        names: of its members, in order, each once.
    """

    def __init__(self, path: Path, archive: zipfile.ZipFile, stream: IO[bytes]) -> None:
        self._path, self._archive, self._stream = path, archive, stream
        self._read = 0
        self._most = min(LARGEST_TOTAL, most_unpacked(path.stat().st_size))
        infos = archive.infolist()
        if len(infos) > MOST_MEMBERS:
            raise InputError(path, "", f"{len(infos):,} members; more than {MOST_MEMBERS:,} are not read")
        for info in infos:
            if _leads_outside(info.filename):
                raise InputError(
                    path, "", f"a member's name leads out of the archive: {plain(info.filename)}"
                )
        self.names = tuple(dict.fromkeys(info.filename for info in infos))

    def read(self, name: str) -> bytes:
        """The bytes of a member, the last of this name.

        Raises:
            InputError: it is encrypted, too large, damaged, or packed in a way that cannot be read here.
        """
        info = self._archive.getinfo(name)
        member = SourceFile(self._path, name)
        self._read += info.file_size
        if info.flag_bits & _ENCRYPTED:
            raise InputError(str(member), "", "encrypted")
        if info.file_size > LARGEST_MEMBER:
            raise InputError(str(member), "", f"larger than {LARGEST_MEMBER >> 20} MiB")
        if self._read > self._most:
            raise InputError(
                self._path,
                "",
                f"its members hold more than {self._most >> 20} MiB, too much for a file so small",
            )
        if info.compress_type == ZSTANDARD:
            return _zstandard(self._stream, info, member)
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise InputError(
                str(member),
                "",
                f"compressed by method {info.compress_type}; stored, deflated and Zstandard are read",
            )
        with self._archive.open(info) as unpacked:
            return unpacked.read(info.file_size)  # no more is unpacked, whatever the archive says of its size


@contextmanager
def open_archive(path: Path) -> Iterator[ZipMembers]:
    """The members of the archive at ``path``.

    Raises:
        InputError: it is no zip archive, has too many members, or one whose name leads out of it.
    """
    try:
        with open_file(path) as stream, zipfile.ZipFile(stream) as archive:
            yield ZipMembers(path, archive, stream)
    except FileNotFoundError as error:
        raise InputError(path, "", "no such file") from error
    except (EOFError, zlib.error, zipfile.BadZipFile, struct.error, ValueError, NotImplementedError) as error:
        raise InputError(path, "", f"not a whole zip archive ({plain(str(error), 200)})") from error
    except OSError as error:
        raise InputError(path, "", f"cannot be read: {error.strerror or error}") from error


def _leads_outside(name: str) -> bool:
    path = PurePosixPath(name.replace("\\", "/"))
    return path.is_absolute() or ".." in path.parts or (name[1:2] == ":" and name[:1].isalpha())


def _zstandard(stream: IO[bytes], info: zipfile.ZipInfo, member: SourceFile) -> bytes:
    """A member's bytes; Arrow unpacks them, which every Python has here."""
    import pyarrow

    stream.seek(info.header_offset)
    signature, *_, name_size, extra_size = _LOCAL_HEADER.unpack(stream.read(_LOCAL_HEADER.size))
    stream.seek(name_size + extra_size, 1)
    packed = stream.read(info.compress_size)
    if signature != b"PK\3\4" or len(packed) < info.compress_size:
        raise InputError(str(member), "", "damaged or cut short")
    if not pyarrow.Codec.is_available("zstd"):
        raise InputError(
            str(member),
            "",
            "compressed by Zstandard, which this build of pyarrow cannot unpack",
            advice="Convert the log to JSON, or unpack and pack it again without Zstandard.",
        )
    try:
        with pyarrow.CompressedInputStream(pyarrow.BufferReader(packed), "zstd") as unpacked:
            data = bytes(unpacked.read(info.file_size + 1))
    except (OSError, pyarrow.ArrowException) as error:
        raise InputError(str(member), "", f"compressed data damaged ({plain(str(error), 200)})") from error
    if len(data) != info.file_size or zlib.crc32(data) != info.CRC:
        raise InputError(str(member), "", "damaged: its size or checksum is not what the archive says")
    return data
