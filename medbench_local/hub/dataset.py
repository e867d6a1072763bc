"""Files of data sets, from the hub."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from medbench_local.hub.repository import fetch_files, hub_from_environment, open_repository
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

    Raises:
        AcquireError: a file cannot be had; the advice says what to do.
    """
    listener = progress or Silent()
    opened = open_repository(
        repository, revision, kind="dataset", offline=offline, hub=hub_from_environment(), progress=listener
    )
    fetch_files(opened, paths, home=read_settings().home, progress=listener)
    return {path: opened.folder / path for path in paths}
