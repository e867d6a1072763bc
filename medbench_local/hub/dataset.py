"""Files of data sets, from the hub."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from pathlib import Path

from medbench_local.hub.repository import Repository, fetch_files, hub_from_environment, open_repository
from medbench_local.progress import Progress, Silent
from medbench_local.settings import read_settings


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
    opened = open_repository(
        repository, revision, kind="dataset", offline=offline, hub=hub_from_environment(), progress=listener
    )
    found = [name for path in paths for name in _fitting(opened, path)]
    fetch_files(opened, found, home=read_settings().home, progress=listener)
    return {path: opened.folder / path for path in found}


def _fitting(repository: Repository, path: str) -> list[str]:
    """The files that a path with "*" stands for; itself where none fits, to be missed under its own name."""
    if "*" not in path:
        return [path]
    if repository.files is not None:
        names = list(repository.files)
    else:
        folder = repository.folder
        names = [file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()]
    return sorted(fnmatch.filter(names, path)) or [path]
