"""Files of data sets, from the hub."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from medbench_local.hub.repository import Repository, fetch_files, hub_from_environment, open_repository
from medbench_local.progress import Progress, Silent
from medbench_local.settings import read_settings


@dataclass(frozen=True)
class Dataset:
    """A data set's repository at one commit.

    Attributes:
        commit: 40 hexadecimal digits.
        folder: where its files lie once they are fetched.
        names: of its files; where only the cache could be asked, of those that are there.
        complete: whether these are all.
    """

    commit: str
    folder: Path
    names: tuple[str, ...]
    complete: bool
    _repository: Repository = field(repr=False)

    def fetch(self, names: Sequence[str], progress: Progress) -> dict[str, Path]:
        """Have these files, by their names.

        Raises:
            AcquireError: one cannot be had; the advice says what to do.
        """
        fetch_files(self._repository, names, home=read_settings().home, progress=progress)
        return {name: self.folder / name for name in names}


def open_dataset(repository: str, revision: str, *, offline: bool, progress: Progress) -> Dataset:
    """Find a data set's commit and the names of its files.

    Args:
        repository: "owner/name".
        revision: a branch, tag or commit.
        offline: use only what the hub's cache has.
        progress: hears if the hub cannot be reached.

    Raises:
        AcquireError: it cannot be had; the advice says what to do.
    """
    opened = open_repository(
        repository, revision, kind="dataset", offline=offline, hub=hub_from_environment(), progress=progress
    )
    folder = opened.folder
    if opened.files is not None:
        names = list(opened.files)
    else:
        names = [file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()]
    return Dataset(opened.commit, folder, tuple(sorted(names)), opened.files is not None, opened)


def fetch_dataset_files(
    repository: str,
    revision: str,
    paths: Sequence[str],
    *,
    offline: bool = False,
    progress: Progress | None = None,
) -> dict[str, Path]:
    """Files of a data set, by the path they have in its repository.

    Args:
        repository: "owner/name".
        revision: a branch, tag or commit.
        paths: in the repository; "*" in one stands for anything, and it for every file that fits.
        offline: use only what the hub's cache has.
        progress: hears of the download.

    Raises:
        AcquireError: a file cannot be had; the advice says what to do.
    """
    listener = progress or Silent()
    opened = open_dataset(repository, revision, offline=offline, progress=listener)
    return opened.fetch([name for path in paths for name in _fitting(opened.names, path)], listener)


def _fitting(names: Sequence[str], path: str) -> list[str]:
    """The files that a path with "*" stands for; itself where none fits, to be missed under its own name."""
    return (fnmatch.filter(names, path) or [path]) if "*" in path else [path]
