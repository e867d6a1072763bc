"""Pictures that lie in tables and archives, written once: files named by their content under the tool's home."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from medbench_local.errors import InputError
from medbench_local.files.atomic import whole_file, write_lines
from medbench_local.files.hashes import content_key, read_record, write_record
from medbench_local.files.json_objects import read_text

Entries = dict[str, tuple[str, int]]
"""By a picture's place in a file: its hash and its size in bytes; 0 where there is none."""


class PictureStore:
    """The folder ``pictures`` of the tool's home: ``<2 digits of the hash>/<hash>``, and what lies in which file.

    Nothing outside that folder is ever written: names are hashes.

    Args:
        home: the tool's home; nothing need exist yet.

    Attributes:
        folder: that folder.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.folder = home / "pictures"

    def path(self, sha256: str) -> Path:
        """Where a picture of this hash lies, whether or not it is there."""
        return self.folder / sha256[:2] / sha256

    def size(self) -> tuple[int, int]:
        """How many pictures are here, and in how many bytes."""
        sizes = [file.stat().st_size for file in self.folder.glob("??/" + 64 * "?")]
        return len(sizes), sum(sizes)

    def keep(self, data: bytes) -> tuple[str, int]:
        """Write a picture, if it is not there yet: its hash and size.

        Raises:
            StoreError: it cannot be written, or the disk is full.
        """
        entry = hashlib.sha256(data).hexdigest(), len(data)
        if not self.has(entry):
            with whole_file(self.path(entry[0]), nbytes=len(data)) as temporary:
                temporary.write_bytes(data)
        return entry

    def has(self, entry: tuple[str, int]) -> bool:
        """Whether this picture is there, whole."""
        try:
            return self.path(entry[0]).stat().st_size == entry[1]
        except OSError:
            return False

    def entries(self, file_sha256: str) -> Entries:
        """What was noted of the pictures in a file of this hash and are here; empty if nothing was."""
        found: Entries = {}
        for place, entry in read_record(self._record(file_sha256)).items():
            match entry:
                case [str(sha256), int(size)] if len(sha256) == 64 and sha256.isalnum():
                    if size == 0 or self.has((sha256, size)):
                        found[place] = (sha256, size)
        return found

    def note(self, file_sha256: str, entries: Mapping[str, tuple[str, int]]) -> None:
        """Note where pictures lie in a file, beside what is noted already; they are not looked for there again.

        Raises:
            StoreError: it cannot be written, or the disk is full.
        """
        known = self.entries(file_sha256)
        if not entries.items() <= known.items():
            write_record(self._record(file_sha256), {**known, **entries})

    def sound(self) -> set[str]:
        """Hashes of pictures that were decoded once without an error; empty if none are noted."""
        try:
            return set(read_text(self._sound).split())
        except InputError:
            return set()

    def note_sound(self, hashes: Iterable[str]) -> None:
        """Note pictures that were decoded, beside those that are noted already.

        Raises:
            StoreError: it cannot be written, or the disk is full.
        """
        write_lines(self._sound, (f"{sha256}\n" for sha256 in sorted({*self.sound(), *hashes})))

    @property
    def _sound(self) -> Path:
        return self.folder / "sound.txt"

    def _record(self, file_sha256: str) -> Path:
        return self.folder / "places" / f"{content_key(file_sha256)[:32]}.json"
