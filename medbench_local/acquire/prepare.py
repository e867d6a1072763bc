"""From a name to a verified GGUF at the wanted precision; nothing that exists is made again."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medbench_local.acquire.cache import CachedFile, find, make_once, recorded
from medbench_local.acquire.conversion.convert import convert_checkpoint
from medbench_local.acquire.fetch import (
    FetchedRepository,
    fetch_checkpoint,
    fetch_gguf,
    folder_names,
    hashed,
    recall,
)
from medbench_local.acquire.layout import is_weights
from medbench_local.acquire.locations import full_path, quantised_path, room_for
from medbench_local.acquire.quantise import quantise
from medbench_local.acquire.source import HubCheckpoint, HubGguf, LocalCheckpoint, LocalGguf, ModelSource
from medbench_local.catalog.model import ModelEntry
from medbench_local.catalog.quantisation import FULL, QuantConfig
from medbench_local.errors import UnreachableError, UsageError
from medbench_local.files.gguf_header import LOSSLESS, gguf_parts, read_gguf_header
from medbench_local.files.hashes import FileRecord, content_key
from medbench_local.files.space import DiskNeed, check_room
from medbench_local.hub.repository import Repository, hub_from_environment, open_repository
from medbench_local.progress import Advance, Progress, Silent


@dataclass(frozen=True)
class GgufFile:
    """A GGUF file on this machine.

    Attributes:
        path: where it lies; of a split file the first part.
        sha256: of its content; of a split file a hash of the parts' hashes.
        size: bytes, all parts together.
        file_type: in lower case ("f16", "q4_k_m").
    """

    path: Path
    sha256: str
    size: int
    file_type: str


@dataclass(frozen=True)
class PreparedModel:
    """A model that can be loaded, and what it was made of.

    Attributes:
        name: for people and run folders.
        entry: what the catalog knows of it, or None.
        precision: "full", the name of a quantisation config, or the file type of a GGUF given as it is.
        full: the lossless GGUF; None if there is none (a quantised GGUF was given) or it was not kept.
        quantised: the GGUF at ``precision``; the same object as ``full`` at full precision.
        repository: on the hub, or None.
        commit: of the repository, or None.
        files: what it was made of, with sizes and hashes.
        chat_template: the Jinja template the GGUF carries, or None.
        warnings: what a person should know before trusting results.
    """

    name: str
    entry: ModelEntry | None
    precision: str
    full: GgufFile | None
    quantised: GgufFile
    repository: str | None
    commit: str | None
    files: tuple[FileRecord, ...]
    chat_template: str | None
    warnings: tuple[str, ...]


def prepare_model(
    source: ModelSource,
    *,
    quant: QuantConfig,
    home: Path,
    offline: bool = False,
    keep_full: bool = True,
    progress: Progress | None = None,
) -> PreparedModel:
    """Fetch, convert and quantise what is not there yet.

    Args:
        source: from `resolve_model`.
        quant: the wanted precision.
        home: MEDBENCH_HOME.
        offline: never touch the network.
        keep_full: whether the lossless GGUF stays once it is quantised; the check of precisions needs it.
        progress: told of every step.

    Raises:
        AcquireError: it cannot be had.
        InputError: a file of it is malformed.
        UsageError: a GGUF that is quantised already was to be quantised further.
    """
    listener = progress or Silent()
    if isinstance(source, LocalGguf | HubGguf):
        return _prepare_gguf(source, quant, home, offline, listener)
    checkpoint = find_checkpoint(source, quant, home=home, offline=offline, progress=listener)
    target = full_path(source.name, checkpoint.files, home)
    full = recorded(target)
    quantised = _find_quantised(full, target, quant, home, listener)
    if keep_full or full is None or quantised is None:
        full = _convert(source.name, checkpoint, target, home, listener)
        quantised = quantised or _quantise(source.name, full, target.parent, quant, home, listener)
    if not keep_full and quantised.path != target:
        target.unlink(missing_ok=True)
    full_file = _gguf(full) if target.exists() else None
    return PreparedModel(
        name=source.name,
        entry=source.entry,
        precision=quant.name,
        full=full_file,
        quantised=full_file if full_file and quantised.path == target else _gguf(quantised),
        repository=checkpoint.repository,
        commit=checkpoint.commit,
        files=checkpoint.files,
        chat_template=read_gguf_header(quantised.path).chat_template,
        warnings=_warnings(full, quantised),
    )


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


def _convert(
    name: str, checkpoint: CheckpointFiles, target: Path, home: Path, progress: Progress
) -> CachedFile:
    def convert(path: Path) -> dict[str, Any]:
        weights = sum(file.size for file in checkpoint.files if is_weights(file.path))
        check_room([DiskNeed(home, weights, "the full GGUF")])
        made = convert_checkpoint(
            checkpoint.folder(), path, progress=_Labelled(progress, f"converting {name}")
        )
        return {"file_type": made.file_type.lower(), "warnings": list(made.warnings)}

    return make_once(target, convert, home=home, progress=progress)


def _find_quantised(
    full: CachedFile | None, target: Path, quant: QuantConfig, home: Path, progress: Progress
) -> CachedFile | None:
    if quant.name == FULL:
        return find(target, home, progress)
    return full and find(quantised_path(target.parent, full.sha256, quant, home), home, progress)


def _quantise(
    name: str, full: CachedFile, folder: Path, quant: QuantConfig, home: Path, progress: Progress
) -> CachedFile:
    if quant.name == FULL:
        return full

    def make(path: Path) -> dict[str, Any]:
        check_room(room_for(full.size, quant, home)[1:])
        made = quantise(
            full.path, quant, path, progress=_Labelled(progress, f"quantising {name} to {quant.name}")
        )
        return {"file_type": made.file_type, "warnings": list(made.warnings)}

    return make_once(quantised_path(folder, full.sha256, quant, home), make, home=home, progress=progress)


def _prepare_gguf(
    source: LocalGguf | HubGguf,
    quant: QuantConfig,
    home: Path,
    offline: bool,
    progress: Progress,
) -> PreparedModel:
    """A GGUF is itself: full precision if nothing of it is quantised, else at the precision it has."""
    given, repository, commit, files = _given_gguf(source, home, offline, progress)
    lossless = given.file_type in LOSSLESS
    precision, quantised = (FULL if lossless else given.file_type), given
    warnings: tuple[str, ...] = ()
    if lossless and quant.name != FULL:
        folder = home / "models" / f"{source.name}-{given.sha256[:16]}"
        built = CachedFile(given.path, given.sha256, given.size, {})
        made = _quantise(source.name, built, folder, quant, home, progress)
        precision, quantised, warnings = quant.name, _gguf(made), _warnings(made)
    elif quant.name not in (FULL, given.file_type):
        raise UsageError(
            f"{source.name} is quantised already ({given.file_type}); quantising it further to {quant.name} "
            "would add up the losses of both.",
            advice=f"Use it as it is with --quant none, or give the full model to get {quant.name}.",
        )
    header = read_gguf_header(given.path)
    return PreparedModel(
        name=source.name,
        entry=source.entry,
        precision=precision,
        full=given if lossless else None,
        quantised=quantised,
        repository=repository,
        commit=commit,
        files=files,
        chat_template=header.chat_template,
        warnings=header.warnings + warnings,
    )


def _given_gguf(
    source: LocalGguf | HubGguf, home: Path, offline: bool, progress: Progress
) -> tuple[GgufFile, str | None, str | None, tuple[FileRecord, ...]]:
    if isinstance(source, HubGguf):
        fetched = fetch_gguf(
            source.repository, source.file, source.revision, home=home, offline=offline, progress=progress
        )
        repository, commit, files = fetched.repository, fetched.commit, fetched.files
        path = fetched.folder / source.file
    else:
        repository, commit, path = None, None, source.path
        files = hashed(path.parent, gguf_parts(path.name), home, progress)
    digest = files[0].sha256 if len(files) == 1 else content_key([file.sha256 for file in files])
    size = sum(file.size for file in files)
    return GgufFile(path, digest, size, read_gguf_header(path).file_type), repository, commit, files


def _gguf(built: CachedFile) -> GgufFile:
    return GgufFile(built.path, built.sha256, built.size, str(built.notes.get("file_type", "")))


def _warnings(*made: CachedFile) -> tuple[str, ...]:
    return tuple(dict.fromkeys(warning for built in made for warning in built.notes.get("warnings", ())))


class _Labelled:
    """Gives every step one label, because the files that are worked on have no telling names."""

    def __init__(self, progress: Progress, label: str) -> None:
        self._progress, self._label = progress, label

    def step(self, label: str, *, total: float | None, unit: str) -> AbstractContextManager[Advance]:  # noqa: ARG002
        return self._progress.step(self._label, total=total, unit=unit)

    def note(self, text: str) -> None:
        self._progress.note(text)
