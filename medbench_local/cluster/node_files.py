"""Files of models on a node: found by their content, or received from the driver, once for all engines of the node."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path

import psutil

from medbench_local.errors import InputError, StoreError
from medbench_local.files.atomic import disk_error
from medbench_local.files.hashes import file_sha256, hash_file, remember_sha256
from medbench_local.progress import Silent

PIECE = 32 * 2**20
"""Bytes that are sent at once."""


class NodeFiles:
    """The models on this node.

    ::

        MEDBENCH_HOME/received/<sha256>.gguf     what was received
        MEDBENCH_HOME/received/<sha256>.<host>.<pid>    what is under way

    Args:
        home: MEDBENCH_HOME of the node; may be shared by nodes.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._folder = home / "received"
        self._remove_unfinished()

    def _remove_unfinished(self) -> None:
        """Remove what processes of this host left behind that are no more."""
        for part in self._folder.glob(f"*.{socket.gethostname()}.*"):
            number = part.suffix[1:]
            if number.isdecimal() and not psutil.pid_exists(int(number)):
                with suppress(OSError):
                    part.unlink()

    def find(self, sha256: str, size: int, path: Path) -> Path | None:
        """The file with this content: where the driver has it, if that is the same file here, or received before.

        A file that is there and holds anything else is none.
        """
        for candidate in (path, self._received(sha256)):
            try:
                if candidate.stat().st_size == size and file_sha256(candidate, self._home) == sha256:
                    return candidate
            except (OSError, InputError):  # not there, or no file
                continue
        return None

    def receive(self, sha256: str, size: int, offset: int, data: bytes) -> str:
        """Keep a piece of a file; with the last one see that it is the file, which then has its name.

        Returns:
            Its path once it is whole; "" before.

        Raises:
            InputError: the pieces do not make the file.
            StoreError: it cannot be written, or the disk is full.
        """
        # With the host: nodes may share the folder, and in containers all have the same few numbers of processes.
        part = self._folder / f"{sha256}.{socket.gethostname()}.{os.getpid()}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with part.open("r+b" if offset else "wb") as file:
                file.seek(offset)
                file.write(data)
                if offset + len(data) == size:
                    file.flush()
                    os.fsync(
                        file.fileno()
                    )  # its hash is noted, which is not to vouch for what was never written
            if offset + len(data) < size:
                return ""
            found = hash_file(part, Silent())
            if found != sha256:
                part.unlink()
                raise InputError(
                    part, "", f"received a file with the hash {found[:16]}…, expected {sha256[:16]}…"
                )
            whole = self._received(sha256)
            part.replace(whole)
        except OSError as error:
            with suppress(OSError):  # what went wrong first is what counts
                part.unlink()
            raise disk_error(part, error) from error
        with suppress(StoreError):  # the note only saves time
            remember_sha256(whole, self._home, sha256)
        return str(whole)

    def _received(self, sha256: str) -> Path:
        return self._folder / f"{sha256}.gguf"
