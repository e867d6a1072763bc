"""The pictures of exported prompts, looked up in a folder; another one of the same name is refused."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path, PurePosixPath

from medbench_local.errors import InputError
from medbench_local.files.hashes import hash_file
from medbench_local.progress import Silent
from medbench_local.tasks.picture import Picture


class PictureFolder:
    """A folder with pictures, each under its name in the export, perhaps in folders, or under its hash.

    Args:
        folder: it is not changed.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise InputError(
                folder, "", "no such folder", advice="Name the folder with the prompts' pictures."
            )
        self._folder = folder

    def find(self, picture: Picture) -> Path:
        """The file of a picture.

        Raises:
            InputError: there is none, or none of the files with its name has its hash.
        """
        named = list(self._named(picture))
        for path in named:
            if hash_file(path, Silent()) == picture.sha256:
                return path
        if named:
            raise InputError(
                named[0],
                "",
                f"another picture than the prompts show: its hash is not {picture.sha256}",
                advice="Give the pictures that the run read; copies that were saved anew are others.",
            )
        raise InputError(
            self._folder,
            "",
            f"no picture {picture.name or picture.sha256!r}",
            advice=f"It may also be called {picture.sha256}, with any ending.",
        )

    def _named(self, picture: Picture) -> Iterable[Path]:
        yield from self._by_stem.get(picture.sha256, ())
        name = PurePosixPath(picture.name)
        if picture.name and not name.is_absolute() and ".." not in name.parts:
            whole = self._folder / name
            if whole.is_file():
                yield whole
            yield from (path for path in self._by_name.get(name.name, ()) if path != whole)
            if not name.suffix:
                yield from self._by_stem.get(name.name, ())

    @cached_property
    def _files(self) -> list[Path]:
        return sorted(path for path in self._folder.rglob("*") if path.is_file())

    @cached_property
    def _by_name(self) -> dict[str, list[Path]]:
        return _grouped(self._files, "name")

    @cached_property
    def _by_stem(self) -> dict[str, list[Path]]:
        return _grouped(self._files, "stem")


def _grouped(files: Iterable[Path], key: str) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for path in files:
        found.setdefault(getattr(path, key), []).append(path)
    return found
