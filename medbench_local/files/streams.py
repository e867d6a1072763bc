"""The bytes of a file from outside: plain, gzipped, or a member of a zip archive."""

from __future__ import annotations

import gzip
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, cast

from medbench_local.errors import InputError
from medbench_local.files.rows import SourceFile, plain
from medbench_local.files.stand_ins import refuse_stand_in_at

METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""How members of a zip archive may be packed."""


@contextmanager
def open_bytes(file: SourceFile) -> Iterator[IO[bytes]]:
    """The bytes of ``file``, uncompressed; whatever goes wrong while reading them is an InputError too."""
    try:
        refuse_stand_in_at(file.path)
        if file.member:
            with zipfile.ZipFile(file.path) as archive:
                if file.member not in archive.namelist():
                    raise InputError(file.path, "", f"expected {file.member} in this archive")
                if archive.getinfo(file.member).compress_type not in METHODS:
                    raise InputError(str(file), "", "neither stored nor deflated")
                with archive.open(file.member) as stream:
                    yield stream
        elif file.path.suffix == ".gz":
            with gzip.open(file.path, "rb") as stream:
                yield cast("IO[bytes]", stream)
        else:
            with file.path.open("rb") as stream:
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
