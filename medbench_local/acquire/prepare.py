"""From a name to a verified GGUF at the wanted precision; nothing that exists is made again."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medbench_local.acquire.cache import CachedFile, make_once
from medbench_local.acquire.catalog_facts import differences, with_doubt
from medbench_local.acquire.checkpoint_files import CheckpointFiles, Origin, find_checkpoint
from medbench_local.acquire.fetch import fetch_gguf, hashed
from medbench_local.acquire.layout import is_weights
from medbench_local.acquire.locations import VISION_FORMAT, full_path, quantised_path, room_for
from medbench_local.acquire.picture_parts import (
    ProjectorFiles,
    VisionFiles,
    files_in_folder,
    made_of,
    projector_files,
    refuse_other_language,
)
from medbench_local.acquire.quantise import quantise
from medbench_local.acquire.source import HubGguf, LocalGguf, ModelSource, PictureModel
from medbench_local.acquire.source_types import OWN
from medbench_local.catalog.model import ModelEntry
from medbench_local.catalog.quantisation import FULL, QuantConfig
from medbench_local.engine.support import refuse_unsupported
from medbench_local.errors import NotFoundError, UsageError
from medbench_local.files.gguf_header import LOSSLESS, GgufHeader, gguf_parts, read_gguf_header
from medbench_local.files.hashes import FileRecord, content_key
from medbench_local.files.space import DiskNeed, check_room
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
        full: the lossless GGUF; None if a quantised GGUF was given.
        quantised: the GGUF at ``precision``; the same object as ``full`` at full precision.
        repository: on the hub, or None.
        commit: of the repository, or None.
        files: what it was made of, with sizes and hashes.
        warnings: what a person should know before trusting results.
        base: what it was merged into, if it is an adapter or a difference, or what its gated blocks stand in; else
            None.
        tower: where that came from which looks at pictures for it; None for text only, and where its own files hold it.
        vision: what it has beside the GGUF to be shown pictures; None for text only.
    """

    name: str
    entry: ModelEntry | None
    precision: str
    full: GgufFile | None
    quantised: GgufFile
    repository: str | None
    commit: str | None
    files: tuple[FileRecord, ...]
    warnings: tuple[str, ...]
    base: Origin | None = None
    tower: Origin | None = None
    vision: VisionFiles | ProjectorFiles | None = None

    @property
    def chat_template(self) -> str | None:
        """The Jinja template the GGUF carries; read only when asked for: a large vocabulary takes a while to pass."""
        return read_gguf_header(self.quantised.path).chat_template


def prepare_model(
    source: ModelSource,
    *,
    quant: QuantConfig,
    home: Path,
    offline: bool = False,
    progress: Progress | None = None,
) -> PreparedModel:
    """Fetch, convert and quantise what is not there yet.

    Args:
        source: from `resolve_model`.
        quant: the wanted precision.
        home: MEDBENCH_HOME.
        offline: never touch the network.
        progress: told of every step.

    Raises:
        AcquireError: it cannot be had.
        InputError: a file of it is malformed.
        UsageError: a GGUF that is quantised already was to be quantised further.
    """
    listener = progress or Silent()
    if isinstance(source, LocalGguf | HubGguf):
        return _prepare_gguf(source, quant, home, offline, listener)
    try:
        checkpoint = find_checkpoint(source, quant, home=home, offline=offline, progress=listener)
    except NotFoundError as error:
        raise with_doubt(error, source.entry) from error
    target = full_path(source.name, checkpoint.files, home)
    pictures = checkpoint.pictures
    vision: VisionFiles | ProjectorFiles | None = None
    if pictures is not None:
        vision = pictures.made(target.parent, home, listener)
    full = _convert(source.name, checkpoint, target, home, listener)
    beside: tuple[FileRecord, ...] = ()
    if not isinstance(source, PictureModel) and source.projector is not None:
        path = source.projector
        if path == OWN:
            path = _own_projector(source.name, checkpoint, target.parent, home, listener)
        vision, beside = _vision_of_projector(path, read_gguf_header(full.path), home, listener)
    quantised = _quantise(source.name, full, target.parent, quant, home, listener)
    full_file = _gguf(full)
    return PreparedModel(
        name=source.name,
        entry=source.entry,
        precision=quant.name,
        full=full_file,
        quantised=full_file if quantised is full else _gguf(quantised),
        repository=checkpoint.origin.repository,
        commit=checkpoint.origin.commit,
        files=(*checkpoint.files, *beside),
        warnings=tuple(
            dict.fromkeys(
                (
                    *checkpoint.warnings,
                    *(vision.warnings if vision else ()),
                    *_warnings(full, quantised),
                    *_doubts(source.entry, full.path),
                )
            )
        ),
        base=checkpoint.origin.base,
        tower=checkpoint.origin.tower,
        vision=vision,
    )


def _doubts(entry: ModelEntry | None, full: Path) -> tuple[str, ...]:
    """What the file says otherwise than the catalog does; it is read only where something is unconfirmed."""
    if entry is None or not entry.unconfirmed or not full.is_file():
        return ()
    return differences(entry, read_gguf_header(full))


def _convert(
    name: str, checkpoint: CheckpointFiles, target: Path, home: Path, progress: Progress
) -> CachedFile:
    def convert(path: Path) -> dict[str, Any]:
        from medbench_local.acquire.conversion.convert import convert_checkpoint  # slow to import

        weights = sum(file.size for file in checkpoint.files if is_weights(file.path))
        check_room([DiskNeed(home, weights, "the full GGUF")])
        made = convert_checkpoint(
            checkpoint.checkpoint(), path, progress=_Labelled(progress, f"converting {name}")
        )
        return {"file_type": made.file_type.lower(), "warnings": list(made.warnings)}

    return make_once(target, convert, home=home, progress=progress)


def _own_projector(
    name: str, checkpoint: CheckpointFiles, folder: Path, home: Path, progress: Progress
) -> Path:
    """The projector file that is made of a checkpoint's own half for pictures."""

    def make(path: Path) -> dict[str, Any]:
        from medbench_local.acquire.conversion.checkpoint import CheckpointFolder  # slow to import
        from medbench_local.acquire.conversion.pictures.siglip_projector import write_projector_file

        found = checkpoint.checkpoint()
        if not isinstance(found, Path):
            raise UsageError(
                f"{name} is an adapter; a projector can be made of whole models only.",
                advice="Name the projector file of its base with `mmproj=`.",
            )
        label = f"making the projector of {name}"
        write_projector_file(CheckpointFolder(found), path, progress=_Labelled(progress, label))
        return {}

    target = folder / "projector" / f"mmproj-f16-{VISION_FORMAT}.gguf"
    return make_once(target, make, home=home, progress=progress).path


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
        full = CachedFile(given.path, given.sha256, given.size, {})
        made = _quantise(source.name, full, folder, quant, home, progress)
        precision, quantised, warnings = quant.name, _gguf(made), _warnings(made)
    elif quant.name not in (FULL, given.file_type):
        raise UsageError(
            f"{source.name} is quantised already ({given.file_type}); quantising it further to {quant.name} "
            "would add up the losses of both.",
            advice=f'Use it as it is with `quant="full"`, or give the full model to get {quant.name}.',
        )
    header = read_gguf_header(given.path)
    vision: VisionFiles | ProjectorFiles | None = None
    beside: tuple[FileRecord, ...] = ()
    if isinstance(source, LocalGguf) and source.vision is not None:
        vision, beside = _vision_of_folder(source, source.vision, header, home, progress)
    elif source.projector is not None:
        vision, beside = _vision_of_projector(source.projector, header, home, progress)
    return PreparedModel(
        name=source.name,
        entry=source.entry,
        precision=precision,
        full=given if lossless else None,
        quantised=quantised,
        repository=repository,
        commit=commit,
        files=(*files, *beside),
        warnings=header.warnings + warnings,
        vision=vision,
    )


def _vision_of_folder(
    source: LocalGguf, folder: Path, header: GgufHeader, home: Path, progress: Progress
) -> tuple[VisionFiles, tuple[FileRecord, ...]]:
    """What lies beside a GGUF to be shown pictures with, and the two files as records."""
    made = made_of(folder)
    found = files_in_folder(folder, source.name, home, progress, family=made.family)
    refuse_other_language(found.parts, folder, header)
    records = hashed(folder, (found.vision.name, found.tower.name), home, progress)
    return found, records


def _vision_of_projector(
    path: Path, header: GgufHeader, home: Path, progress: Progress
) -> tuple[ProjectorFiles, tuple[FileRecord, ...]]:
    """A projector file for the model with this header, and its record."""
    return projector_files(path, header, home, progress), hashed(path.parent, (path.name,), home, progress)


def _given_gguf(
    source: LocalGguf | HubGguf, home: Path, offline: bool, progress: Progress
) -> tuple[GgufFile, str | None, str | None, tuple[FileRecord, ...]]:
    if isinstance(source, HubGguf):
        from medbench_local.hub.repository import hub_from_environment, open_repository  # slow to import

        opened = open_repository(
            source.repository, source.revision, offline=offline, hub=hub_from_environment(), progress=progress
        )
        fetched = fetch_gguf(opened, source.file, home=home, progress=progress)
        repository, commit, files = fetched.repository, fetched.commit, fetched.files
        path = fetched.folder / source.file
        header = _scorable(path)
    else:
        repository, commit, path = None, None, source.path
        header = _scorable(path)  # before a large file is read for its hash
        files = hashed(path.parent, gguf_parts(path.name), home, progress)
    digest = files[0].sha256 if len(files) == 1 else content_key([file.sha256 for file in files])
    size = sum(file.size for file in files)
    return GgufFile(path, digest, size, header.file_type), repository, commit, files


def _scorable(path: Path) -> GgufHeader:
    header = read_gguf_header(path)
    refuse_unsupported(header)
    return header


def _gguf(file: CachedFile) -> GgufFile:
    return GgufFile(file.path, file.sha256, file.size, str(file.notes.get("file_type", "")))


def _warnings(*files: CachedFile) -> tuple[str, ...]:
    """What was warned of when the files were made, each warning once."""
    return tuple(dict.fromkeys(warning for file in files for warning in file.notes.get("warnings", ())))


class _Labelled:
    """Gives every step one label, because the files that are worked on have no telling names."""

    def __init__(self, progress: Progress, label: str) -> None:
        self._progress, self._label = progress, label

    def step(self, label: str, *, total: float | None, unit: str) -> AbstractContextManager[Advance]:  # noqa: ARG002
        return self._progress.step(self._label, total=total, unit=unit)

    def note(self, text: str) -> None:
        self._progress.note(text)
