"""The pictures of a task: found by the names its files give, hashed, and all that are missing said at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path, PurePosixPath
from types import TracebackType

from medbench_local.errors import InputError
from medbench_local.files.hashes import content_key, file_sha256
from medbench_local.files.readers import parquet_rows
from medbench_local.files.rows import Row, SourceFile, plain
from medbench_local.files.zip_members import ZipMembers, open_archive
from medbench_local.progress import Progress, Silent
from medbench_local.tasks.picture import Picture
from medbench_local.tasks.picture_store import Entries, PictureStore

AT_A_TIME = 32
"""Rows of a table whose pictures are in memory at a time."""

_NONE = Picture("0" * 64)
"""Stands for a picture that is missing until `Album.refuse_defects` says so."""


class Album:
    """Where a task's pictures lie; to be used in a ``with`` block.

    A picture that cannot be had is noted, and `refuse_defects` raises one error for all of them: whoever copies a
    folder of pictures wants to know of all that are missing.

    Args:
        places: folders, or folders in zip archives (`SourceFile.member`), in which names are looked up, in order.
        home: the tool's home, for pictures that are no files of their own and for hashes.
        progress: hears of large files being hashed.
        inside: refuse links in these folders that lead out of them: for pictures of one's own, whose files may come
            from anybody. The hub's cache is made of such links.
    """

    def __init__(
        self,
        places: Sequence[SourceFile],
        home: Path,
        progress: Progress | None = None,
        *,
        inside: bool = False,
    ) -> None:
        self._places = places
        self._inside = inside
        self._store = PictureStore(home)
        self._progress = progress or Silent()
        self._open = ExitStack()
        self._archives: dict[Path, _Archive] = {}
        self._found: dict[str, Picture | None] = {}
        self._defects: dict[str, InputError] = {}

    def __enter__(self) -> Album:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        for archive in self._archives.values():
            archive.note()
        # Whatever went wrong while an archive was read is put into words where it was opened.
        return self._open.__exit__(kind, error, trace)

    def named(self, row: Row, name: str, *, key: str) -> Picture:
        """The picture of this file name, with or without folders before it.

        Args:
            row: which names it.
            name: the picture's.
            key: under which the row names it.
        """
        clean = name.replace("\\", "/")
        if _leads_outside(clean):
            raise row.error(f"the name of a picture leads out of its folder: {plain(name)}", name=key)
        if clean not in self._found:
            self._found[clean] = self._look(clean)
        picture = self._found[clean]
        if picture is None:
            where = ", ".join(str(place) for place in self._places)
            problem = f"there is no picture {plain(clean)}; looked for in {plain(where, 400)}"
            self._defects.setdefault(clean, row.error(problem, name=key))
            return replace(_NONE, name=clean)
        if self._inside and self._is_led_outside(picture.path):
            raise row.error(f"the picture {plain(clean)} is a link that leads out of its folder", name=key)
        return picture

    def take(self, data: bytes) -> str:
        """Keep a picture that a table holds: the name under which `named` finds it then.

        Raises:
            StoreError: it cannot be written, or the disk is full.
        """
        sha256, _ = self._store.keep(data)
        name = f"images/{sha256}{_ending(data)}"
        self._found[name] = Picture(sha256, name, self._store.path(sha256))
        return name

    def problem_of(self, picture: Picture) -> str:
        """What is wrong with a picture, which may be missing; "" as far as is known, see `check`."""
        if picture == _NONE:
            return self._defects[picture.name].problem
        error = self._defects.get(picture.sha256)
        return "" if error is None else f"{plain(picture.name)}: {error.problem}"

    def rows(
        self,
        file: SourceFile,
        columns: Sequence[str],
        pictures: Sequence[str],
        wanted: Callable[[Row], bool],
        called: Callable[[Row, str], str],
    ) -> Iterator[tuple[Row, tuple[Picture, ...]]]:
        """The wanted rows of a parquet file with their pictures, which lie in it.

        The columns of pictures are read in pieces and only where a picture is not known from last time.

        Args:
            file: the table.
            columns: of the rows that are given.
            pictures: columns of pictures; null is none.
            wanted: whether a row is.
            called: the name of a row's picture in a column, for people.

        Raises:
            InputError: a column is not there, or the file is malformed.
        """
        rows = {number: row for number, row in enumerate(parquet_rows(file, [*columns])) if wanted(row)}
        sha256 = self._hash(file.path)
        entries = self._store.entries(sha256)
        if not all(f"{number} {name}" in entries for number in rows for name in pictures):
            entries = self._take_out(file, pictures, rows)
            self._store.note(sha256, entries)
        for number, row in rows.items():
            found = [
                Picture(entry[0], called(row, name), self._store.path(entry[0]))
                for name in pictures
                if (entry := entries[f"{number} {name}"])[1]
            ]
            if not found:
                self._defects[f"{file} {number}"] = row.error("it has no picture")
            yield row, tuple(found) or (_NONE,)

    def used(self, pictures: Iterable[Picture]) -> list[tuple[Path, str]]:
        """The folders and archives that pictures were found in by their names, each with a hash.

        That of a folder is of the pictures among these that lie in it, in any order.
        """
        in_folders: dict[Path, set[str]] = {}
        folders = [place.path for place in self._places if place.path not in self._archives]
        for picture in pictures:
            folder = next((folder for folder in folders if picture.path.is_relative_to(folder)), None)
            if folder is not None:
                in_folders.setdefault(folder, set()).add(picture.sha256)
        return [
            *((path, content_key(sorted(hashes))) for path, hashes in in_folders.items()),
            *((path, archive.sha256) for path, archive in self._archives.items()),
        ]

    def check(self, pictures: Iterable[Picture]) -> None:
        """Decode those of the pictures that never were; what is wrong with them is noted.

        A picture that turns out to be damaged hours later, when it is looked at, would cost these hours.
        """
        from medbench_local.vision.pictures import decode

        sound = self._store.sound()
        new = {
            picture.sha256: picture
            for picture in pictures
            if picture != _NONE and picture.sha256 not in sound
        }
        good = set()
        if not new:
            return
        with self._progress.step("looking at pictures", total=len(new), unit="pictures") as advance:
            for sha256, picture in new.items():
                try:
                    decode(picture.path, sha256=sha256).close()
                    good.add(sha256)
                except InputError as error:
                    where = (
                        ""
                        if picture.path.name == Path(picture.name).name
                        else f"picture {plain(picture.name)}"
                    )
                    found = InputError(picture.path, where, error.problem, advice=error.advice)
                    self._defects.setdefault(sha256, found)
                advance(1)
        if good:
            self._store.note_sound(good)

    def refuse_defects(self, advice: str) -> None:
        """Say which pictures are missing or damaged, if any are.

        Args:
            advice: where to get them, for those that are missing.

        Raises:
            InputError: the first of them, and how many there are.
        """
        if not self._defects:
            return
        first, count = next(iter(self._defects.values())), len(self._defects)
        more = f" (the first of {count:,} pictures that cannot be used)" if count > 1 else ""
        raise InputError(first.path, first.where, f"{first.problem}{more}", advice=first.advice or advice)

    def _is_led_outside(self, path: Path) -> bool:
        folders = [place.path for place in self._places if path.is_relative_to(place.path)]
        return bool(folders) and not any(
            path.resolve().is_relative_to(folder.resolve()) for folder in folders
        )

    def _look(self, name: str) -> Picture | None:
        for place in self._places:
            if place.path.suffix.lower() == ".zip":
                picture = self._in_archive(place, name)
            else:
                picture = self._in_folder(place.path / name, name)
            if picture is not None:
                return picture
        return None

    def _in_folder(self, path: Path, name: str) -> Picture | None:
        try:
            return Picture(self._hash(path), name, path) if path.is_file() else None
        except OSError as error:
            raise InputError(path, "", f"cannot be read: {error.strerror or error}") from error

    def _in_archive(self, place: SourceFile, name: str) -> Picture | None:
        archive = self._archives.get(place.path)
        if archive is None:
            if not place.path.is_file():
                return None
            archive = _Archive(place.path, self._hash(place.path), self._store, self._open)
            self._archives[place.path] = archive
        entry = archive.entry(f"{place.member}/{name}" if place.member else name)
        return None if entry is None else Picture(entry[0], name, self._store.path(entry[0]))

    def _hash(self, path: Path) -> str:
        return file_sha256(path, self._store.home, self._progress)

    def _take_out(self, file: SourceFile, columns: Sequence[str], rows: dict[int, Row]) -> Entries:
        """Keep the pictures of these rows; a null is an entry without a size."""
        entries: Entries = {}
        label = f"taking pictures out of {file.path.name}"
        with self._progress.step(label, total=len(rows), unit="rows") as advance:
            for number, row in enumerate(parquet_rows(file, columns, batch=AT_A_TIME)):
                if number not in rows:
                    continue
                for name in columns:
                    data = _content(row, name)
                    entries[f"{number} {name}"] = ("0" * 64, 0) if data is None else self._store.keep(data)
                advance(1)
        return entries


class _Archive:
    """A zip archive of pictures; opened only for pictures that were not taken out of it before.

    Attributes:
        sha256: of the archive.
    """

    def __init__(self, path: Path, sha256: str, store: PictureStore, opened: ExitStack) -> None:
        self._path, self.sha256, self._store, self._opened = path, sha256, store, opened
        self._entries = store.entries(sha256)
        self._members: ZipMembers | None = None

    def entry(self, name: str) -> tuple[str, int] | None:
        """Hash and size of a member, which is kept; None if there is none of this name."""
        if name not in self._entries:
            if self._members is None:
                self._members = self._opened.enter_context(open_archive(self._path))
            if name not in self._members.names:
                return None
            self._entries[name] = self._store.keep(self._members.read(name))
        return self._entries[name]

    def note(self) -> None:
        """Remember what was taken out."""
        self._store.note(self.sha256, self._entries)


def _content(row: Row, name: str) -> bytes | None:
    """The bytes of a picture as the hub's tables have it: a mapping with ``bytes``; None where there is none."""
    value = row.value(name)
    data = value.get("bytes") if isinstance(value, dict) else value
    if isinstance(value, dict) and data is None and value.get("path"):
        raise row.error("the table has the name of a picture and not its bytes", name=name)
    if data is not None and not isinstance(data, bytes):
        raise row.error("expected the bytes of a picture", name=name)
    return data or None


def _ending(data: bytes) -> str:
    """What a file of these bytes is called after its dot; other programs ask it what to open it with."""
    known = (
        (b"\x89PNG", ".png"),
        (b"\xff\xd8", ".jpg"),
        (b"GIF8", ".gif"),
        (b"RIFF", ".webp"),
        (b"BM", ".bmp"),
    )
    return next((ending for mark, ending in known if data.startswith(mark)), "")


def _leads_outside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.name or path.is_absolute() or ".." in path.parts or ":" in name or "\0" in name
