"""What the rest of the package fetches from the hub: checkpoints, GGUF files, files of data sets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from medbench_local.acquire.conversion.adapter_folder import ADAPTER_CONFIG, NO_BASE
from medbench_local.acquire.conversion.no_weights import listing
from medbench_local.acquire.layout import Layout, is_weights, layout_of
from medbench_local.acquire.source_types import MODEL, Part
from medbench_local.errors import AcquireError, DiskFullError, InputError, StoreError
from medbench_local.files.atomic import write_atomic
from medbench_local.files.gguf_header import gguf_parts
from medbench_local.files.hashes import FileRecord, file_sha256, read_record, write_record
from medbench_local.files.json_objects import read_text
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
        warnings: what a person should know of the repository's other files.
        adapter: whether it is an adapter, which is nothing without its base.
        either: whether the repository holds whole weights and an adapter, so that somebody said which is meant.
    """

    repository: str
    commit: str
    folder: Path
    files: tuple[FileRecord, ...]
    warnings: tuple[str, ...] = ()
    adapter: bool = False
    either: bool = False


def fetch_checkpoint(
    repository: Repository,
    *,
    home: Path,
    progress: Progress,
    adapter_base: str | None = None,
    part: Part = MODEL,
    room_for: RoomFor = lambda _weights: (),
) -> FetchedRepository:
    """The files of a checkpoint or an adapter: its weights once, its tokenizer, its configs.

    Args:
        repository: opened; its commit is what is fetched.
        home: MEDBENCH_HOME.
        progress: sees one step for all files.
        adapter_base, part: as for `layout_of`.
        room_for: the room that what is made of the weights will take.

    Raises:
        AcquireError: it cannot be had; the advice says what to do.
    """
    from medbench_local.hub.repository import fetch_files  # slow to import

    layout = repository_layout(repository, home=home, progress=progress, adapter_base=adapter_base, part=part)
    files = fetch_files(
        repository,
        layout.files,
        home=home,
        progress=progress,
        also_needed=() if layout.adapter else room_for(_weight_bytes(repository, layout.files)),
    )
    fetched = FetchedRepository(
        repository.name,
        repository.commit,
        repository.folder,
        files,
        layout.warnings,
        layout.adapter,
        layout.either,
    )
    _remember(fetched, repository.revision, home, part)
    return fetched


def description_of_adapter(fetched: FetchedRepository, home: Path) -> Path:
    """The adapter_config.json of an adapter that was fetched; a copy of it, if the files were removed since."""
    file = fetched.folder / ADAPTER_CONFIG
    return file if file.is_file() else _copy_of_description(fetched, home)


def _copy_of_description(fetched: FetchedRepository, home: Path) -> Path:
    return home / "fetched" / f"{_flat(fetched.repository)}@{fetched.commit}.{ADAPTER_CONFIG}"


def repository_layout(
    repository: Repository,
    *,
    home: Path,
    progress: Progress,
    adapter_base: str | None = None,
    part: Part = MODEL,
) -> Layout:
    """Which files of the repository make the checkpoint; fetches the index of its shards to know.

    Raises:
        OfflineError: the hub cannot be asked, and what is in its cache is no whole checkpoint.
        AcquireError, InputError: as `choose_files`.
    """
    if repository.files is None:
        return _layout_in_cache(repository, home, progress, adapter_base, part)
    from medbench_local.hub.repository import fetch_files  # slow to import

    def local(name: str) -> Path:
        fetch_files(repository, [name], home=home, progress=progress)
        return repository.folder / name

    return layout_of(
        list(repository.files),
        local,
        place=repository.name,
        adapter_base=adapter_base,
        part=part,
    )


def fetch_gguf(repository: Repository, file: str, *, home: Path, progress: Progress) -> FetchedRepository:
    """A GGUF file with all its parts; the first of ``files`` is the one to load.

    Raises:
        AcquireError: it cannot be had; the advice says what to do.
    """
    from medbench_local.hub.repository import fetch_files  # slow to import

    files = fetch_files(repository, gguf_parts(file), home=home, progress=progress)
    return FetchedRepository(repository.name, repository.commit, repository.folder, files)


def recall(
    home: Path,
    repository: str,
    *,
    revision: str | None = None,
    commit: str | None = None,
    adapter_base: str | None = None,
    part: Part = MODEL,
) -> FetchedRepository | None:
    """What was once fetched of a checkpoint, by revision or commit, even if the files were removed since.

    Of a repository that holds whole weights and an adapter only what ``adapter_base`` means; see `choose_files`.
    """
    for path in sorted((home / "fetched").glob(f"{_flat(repository)}@*.json")):
        record = read_record(path)
        if record.get("repository") != repository or not record.get("files"):
            continue
        if (record.get("holds", "model"), record.get("file", "")) != (part.holds, part.file):
            continue
        if commit is not None and record.get("commit") != commit:
            continue
        if revision is not None and revision not in (record.get("revision"), record.get("commit")):
            continue
        if record.get("either") and (
            adapter_base is None or bool(record.get("adapter")) == (adapter_base == NO_BASE)
        ):
            continue
        with suppress(TypeError, KeyError):  # damaged, or another version's
            files = tuple(FileRecord(**file) for file in record["files"])
            return FetchedRepository(
                repository,
                str(record["commit"]),
                Path(record["folder"]),
                files,
                tuple(map(str, record.get("warnings", ()))),
                bool(record.get("adapter")),
                bool(record.get("either")),
            )
    return None


def folder_layout(folder: Path, adapter_base: str | None = None, part: Part = MODEL) -> Layout:
    """The files that make the checkpoint in a local folder; the same choice as `repository_layout`.

    Raises:
        AcquireError, InputError: as `choose_files`; or weights are damaged, or do not agree with their index.
    """
    from medbench_local.acquire.conversion.checkpoint import CheckpointFolder  # slow to import

    names = listing(folder)
    layout = layout_of(
        names,
        folder.joinpath,
        place=str(folder),
        adapter_base=adapter_base,
        part=part,
        here=True,
    )
    if layout.adapter or part.holds == "torch file":
        return layout
    checkpoint = CheckpointFolder(folder)
    read = checkpoint.files[0].name
    others = [name for name in names if name.startswith("pytorch_model") and "/" not in name]
    if not others or not read.endswith(".safetensors"):
        return layout
    from medbench_local.acquire.conversion.other_weights import differing_weights  # slow to import

    other = differing_weights(checkpoint, others)
    if not other:
        return layout
    warning = (
        f"{folder} holds two sets of weights with other numbers, {read} and {other}; {read} is read, as transformers "
        "does. If the other is meant, remove this one."
    )
    return replace(layout, warnings=(*layout.warnings, warning))


def hashed(folder: Path, names: Sequence[str], home: Path, progress: Progress) -> tuple[FileRecord, ...]:
    """Size and hash of each of ``names`` in ``folder``."""
    return tuple(
        FileRecord(name, (folder / name).stat().st_size, file_sha256(folder / name, home, progress))
        for name in names
    )


def _layout_in_cache(
    repository: Repository,
    home: Path,
    progress: Progress,
    adapter_base: str | None,
    part: Part,
) -> Layout:
    from medbench_local.hub.errors import not_cached

    record = recall(home, repository.name, commit=repository.commit, adapter_base=adapter_base, part=part)
    if record is not None:
        return Layout(
            tuple(file.path for file in record.files), record.warnings, record.adapter, record.either
        )
    try:
        layout = folder_layout(repository.folder, adapter_base, part)
    except (InputError, AcquireError) as error:
        raise not_cached(repository.name, repository.revision) from error
    progress.note(
        f"{repository.name}: another program filled the hub cache, and the hub cannot be asked "
        f"what is missing; using {', '.join(layout.files)}"
    )
    return layout


def _weight_bytes(repository: Repository, names: Sequence[str]) -> int:
    if repository.files is None:
        return sum((repository.folder / name).stat().st_size for name in names if is_weights(name))
    return sum(repository.files[name].size for name in names if is_weights(name))


def _remember(fetched: FetchedRepository, revision: str, home: Path, part: Part) -> None:
    kind = "" if part == MODEL else f"+{quote(part.holds + part.file, safe='')}"
    path = home / "fetched" / f"{_flat(fetched.repository)}@{quote(revision, safe='')}{kind}.json"
    content = {
        "repository": fetched.repository,
        "revision": revision,
        "commit": fetched.commit,
        "folder": str(fetched.folder),
        "files": [asdict(file) for file in fetched.files],
        "warnings": list(fetched.warnings),
        "adapter": fetched.adapter,
        "either": fetched.either,
        "holds": part.holds,
        "file": part.file,
    }
    try:
        write_record(path, content)
        if fetched.adapter:
            described = read_text(fetched.folder / ADAPTER_CONFIG)
            write_atomic(_copy_of_description(fetched, home), described)
    except DiskFullError:
        raise
    except StoreError as error:
        raise AcquireError(
            error.message,
            advice="MEDBENCH_HOME must name a folder that you may write to.",
        ) from error


def _flat(repository: str) -> str:
    return repository.replace("/", "--")
