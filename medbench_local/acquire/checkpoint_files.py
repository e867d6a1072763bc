"""The files that a model is made of: where they are, or how they are to be had."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from medbench_local.acquire.fetch import FetchedRepository, fetch_checkpoint, folder_names, hashed, recall
from medbench_local.acquire.locations import room_for
from medbench_local.acquire.source import HubCheckpoint, LocalCheckpoint
from medbench_local.catalog.quantisation import QuantConfig
from medbench_local.errors import UnreachableError
from medbench_local.files.hashes import FileRecord
from medbench_local.progress import Progress

if TYPE_CHECKING:
    from medbench_local.hub.repository import Repository


@dataclass(frozen=True)
class CheckpointFiles:
    """The files of a checkpoint, known by their hashes, at hand or to be had.

    Attributes:
        repository: on the hub, or None.
        commit: of the repository, or None.
        files: with sizes and hashes.
        folder: gives the folder they lie in; fetches what was removed since.
    """

    repository: str | None
    commit: str | None
    files: tuple[FileRecord, ...]
    folder: Callable[[], Path]


def find_checkpoint(
    source: LocalCheckpoint | HubCheckpoint,
    quant: QuantConfig,
    *,
    home: Path,
    offline: bool,
    progress: Progress,
) -> CheckpointFiles:
    """The files of ``source``; those of the hub are fetched unless they were fetched before.

    Raises:
        AcquireError: they cannot be had, or the disk has no room for them and for what is made of them.
    """
    if isinstance(source, LocalCheckpoint):
        files = hashed(source.folder, folder_names(source.folder), home, progress)
        return CheckpointFiles(None, None, files, lambda: source.folder)

    def opened() -> Repository:
        from medbench_local.hub.repository import hub_from_environment, open_repository  # slow to import

        return open_repository(
            source.repository,
            source.revision,
            offline=offline,
            hub=hub_from_environment(),
            progress=progress,
        )

    def fetched() -> FetchedRepository:
        return fetch_checkpoint(
            opened(), home=home, progress=progress, room_for=lambda weights: room_for(weights, quant, home)
        )

    record = _recall(source, opened, home, offline, progress) or fetched()
    return CheckpointFiles(record.repository, record.commit, record.files, lambda: fetched().folder)


def _recall(
    source: HubCheckpoint, opened: Callable[[], Repository], home: Path, offline: bool, progress: Progress
) -> FetchedRepository | None:
    """What was fetched of the source at the commit that is meant now."""
    last_time = recall(home, source.repository, revision=source.revision)
    if last_time is None or offline:
        return last_time
    try:
        return recall(home, source.repository, commit=opened().commit)
    except UnreachableError as error:
        progress.note(f"{error.message} Going on with commit {last_time.commit[:12]} of {source.repository}.")
        return last_time
