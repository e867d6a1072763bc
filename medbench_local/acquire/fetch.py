"""What the rest of the package fetches from the hub: checkpoints, GGUF files, files of data sets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from medbench_local.acquire.layout import (
    CHAT_TEMPLATES,
    SMALL_FILES,
    WEIGHT_FILES,
    chat_template_files,
    choose_files,
    is_weights,
)
from medbench_local.errors import AcquireError, DiskFullError, InputError, StoreError
from medbench_local.files.gguf_header import gguf_parts
from medbench_local.files.hashes import FileRecord, file_sha256, read_record, write_record
from medbench_local.files.space import DiskNeed
from medbench_local.progress import Progress

if TYPE_CHECKING:
    from medbench_local.hub.repository import Repository

RoomFor = Callable[[int], Sequence[DiskNeed]]
"""Given the bytes of the weights, the room that what is made of them will take."""


@dataclass(frozen=True)
class FetchedRepository:
    """Files of a repository that are on this machine, or were when they were converted.

    Attributes:
        repository: "owner/name".
        commit: 40 hexadecimal digits.
        folder: where the files lie.
        files: each with size and hash.
    """

    repository: str
    commit: str
    folder: Path
    files: tuple[FileRecord, ...]


def fetch_checkpoint(
    repository: Repository, *, home: Path, progress: Progress, room_for: RoomFor = lambda _weights: ()
) -> FetchedRepository:
    """The files of a checkpoint: its weights once, its tokenizer, its configs.

    Args:
        repository: opened; its commit is what is fetched.
        home: MEDBENCH_HOME.
        progress: sees one step for all files.
        room_for: the room that what is made of the weights will take.

    Raises:
        AcquireError: it cannot be had; the advice says what to do.
    """
    from medbench_local.hub.repository import fetch_files  # slow to import

    if repository.files is None:
        names = _names_in_cache(repository, home, progress)
    else:
        names = checkpoint_names(repository, home=home, progress=progress)
    files = fetch_files(
        repository,
        names,
        home=home,
        progress=progress,
        also_needed=room_for(_weight_bytes(repository, names)),
    )
    fetched = FetchedRepository(repository.name, repository.commit, repository.folder, files)
    _remember(fetched, repository.revision, home)
    return fetched


def checkpoint_names(repository: Repository, *, home: Path, progress: Progress) -> tuple[str, ...]:
    """Which files of the repository make the checkpoint; fetches the index of its shards to know."""

    from medbench_local.hub.repository import fetch_files  # slow to import

    def local(name: str) -> Path:
        fetch_files(repository, [name], home=home, progress=progress)
        return repository.folder / name

    return choose_files(list(repository.files or {}), local, place=repository.name)


def fetch_gguf(repository: Repository, file: str, *, home: Path, progress: Progress) -> FetchedRepository:
    """A GGUF file with all its parts; the first of ``files`` is the one to load.

    Raises:
        AcquireError: it cannot be had; the advice says what to do.
    """
    from medbench_local.hub.repository import fetch_files  # slow to import

    files = fetch_files(repository, gguf_parts(file), home=home, progress=progress)
    return FetchedRepository(repository.name, repository.commit, repository.folder, files)


def recall(
    home: Path, repository: str, *, revision: str | None = None, commit: str | None = None
) -> FetchedRepository | None:
    """What was once fetched of a checkpoint, by revision or commit, even if the files were removed since."""
    for path in sorted((home / "fetched").glob(f"{_flat(repository)}@*.json")):
        record = read_record(path)
        if record.get("repository") != repository or not record.get("files"):
            continue
        if commit is not None and record.get("commit") != commit:
            continue
        if revision is not None and revision not in (record.get("revision"), record.get("commit")):
            continue
        with suppress(TypeError, KeyError):  # damaged, or another version's
            files = tuple(FileRecord(**file) for file in record["files"])
            return FetchedRepository(repository, str(record["commit"]), Path(record["folder"]), files)
    return None


def folder_names(folder: Path) -> tuple[str, ...]:
    """The files that make the checkpoint in a local folder.

    Raises:
        InputError: there are no weights, or they are incomplete or damaged.
    """
    from medbench_local.acquire.conversion.checkpoint import CheckpointFolder  # slow to import

    weights = [path.name for path in CheckpointFolder(folder).files]
    indexes = [f"{name}.index.json" for name in WEIGHT_FILES]
    small = [name for name in (*SMALL_FILES, *indexes) if (folder / name).is_file()]
    templates = chat_template_files(
        f"{CHAT_TEMPLATES}/{path.name}" for path in (folder / CHAT_TEMPLATES).glob("*")
    )
    return (*small, *templates, *weights)


def hashed(folder: Path, names: Sequence[str], home: Path, progress: Progress) -> tuple[FileRecord, ...]:
    """Size and hash of each of ``names`` in ``folder``."""
    return tuple(
        FileRecord(name, (folder / name).stat().st_size, file_sha256(folder / name, home, progress))
        for name in names
    )


def _names_in_cache(repository: Repository, home: Path, progress: Progress) -> tuple[str, ...]:
    from medbench_local.hub.errors import not_cached

    record = recall(home, repository.name, commit=repository.commit)
    if record is not None:
        return tuple(file.path for file in record.files)
    try:
        names = folder_names(repository.folder)
    except InputError as error:
        raise not_cached(repository.name, repository.revision) from error
    if "config.json" not in names:
        raise not_cached(repository.name, repository.revision)
    progress.note(
        f"{repository.name}: another program filled the hub cache, and the hub cannot be asked "
        f"what is missing; using {', '.join(names)}"
    )
    return names


def _weight_bytes(repository: Repository, names: Sequence[str]) -> int:
    if repository.files is None:
        return sum((repository.folder / name).stat().st_size for name in names if is_weights(name))
    return sum(repository.files[name].size for name in names if is_weights(name))


def _remember(fetched: FetchedRepository, revision: str, home: Path) -> None:
    path = home / "fetched" / f"{_flat(fetched.repository)}@{quote(revision, safe='')}.json"
    content = {
        "repository": fetched.repository,
        "revision": revision,
        "commit": fetched.commit,
        "folder": str(fetched.folder),
        "files": [asdict(file) for file in fetched.files],
    }
    try:
        write_record(path, content)
    except DiskFullError:
        raise
    except StoreError as error:
        raise AcquireError(
            error.message,
            advice="MEDBENCH_HOME must name a folder that you may write to.",
        ) from error


def _flat(repository: str) -> str:
    return repository.replace("/", "--")
