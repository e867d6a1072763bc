"""What is here of a model, and what preparing it would take; nothing is made or fetched."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from medbench_local.acquire.cache import CachedFile, recorded
from medbench_local.acquire.checkpoint_files import (
    BASE,
    TOWER_FILES,
    base_source,
    explained_base,
    explained_part,
    with_base,
)
from medbench_local.acquire.conversion.adapter_folder import ADAPTER_CONFIG
from medbench_local.acquire.fetch import (
    FetchedRepository,
    description_of_adapter,
    folder_layout,
    hashed,
    recall,
    repository_layout,
)
from medbench_local.acquire.layout import is_weights
from medbench_local.acquire.locations import full_path, quantised_path
from medbench_local.acquire.picture_parts import tower_path, vision_path
from medbench_local.acquire.source import (
    HubCheckpoint,
    HubGguf,
    LocalCheckpoint,
    LocalGguf,
    ModelSource,
    PictureModel,
)
from medbench_local.acquire.source_types import MODEL, TOWER, Part
from medbench_local.catalog.model import ModelEntry, known_sizes, models
from medbench_local.catalog.quantisation import FULL, QuantConfig
from medbench_local.errors import OfflineError
from medbench_local.files.gguf_header import gguf_parts
from medbench_local.files.hashes import FileRecord
from medbench_local.progress import Progress, Silent

if TYPE_CHECKING:
    from medbench_local.hub.repository import Repository

CheckpointState = Literal["embedded", "fetched", "not fetched"]


@dataclass(frozen=True)
class ModelStatus:
    """What is here of a model of the catalog.

    Attributes:
        entry: the model.
        checkpoint: whether its files are here.
        commit: the commit that was fetched last, or None.
        ggufs: converted and quantised files, the newest conversion last; paths, sizes, hashes, file types.
    """

    entry: ModelEntry
    checkpoint: CheckpointState
    commit: str | None
    ggufs: tuple[CachedFile, ...]

    @property
    def size(self) -> int:
        """Bytes of the converted and quantised files."""
        return sum(file.size for file in self.ggufs)


@dataclass(frozen=True)
class BaseDownload:
    """The base of an adapter, or another part that a model is put together from.

    Attributes:
        name: for people.
        repository: on the hub, or None.
        commit: of the repository, or None.
        download: bytes of it that are still to be fetched.
    """

    name: str
    repository: str | None
    commit: str | None
    download: int


@dataclass(frozen=True)
class ModelPlan:
    """What preparing a model would take.

    Attributes:
        name: of the model.
        precision: what it would be prepared at.
        repository: on the hub, or None.
        commit: of the repository, or None.
        download: bytes still to be fetched.
        full_size: bytes of the full GGUF; what the weights have, where it is not made yet.
        full_here: whether it is made.
        quantised_size: bytes of the GGUF at ``precision``; an estimate where it is not made yet.
        quantised_here: whether it is made.
        base: what it is merged into, if it is an adapter or a difference, or what its gated blocks stand in; else None.
        tower: what looks at pictures for it, where that is not in its own files; None for text only.
        vision_size: bytes of what it has beside the GGUF to be shown pictures; what the weights have, where that is not
            made yet.
        vision_here: whether it is made.
        tower_size: of these, the bytes of the tower, which a model made of the same tower need not have again.
        base: what it is merged into, if it is an adapter; else None.
        file: a GGUF file of it that is here, at ``precision`` if there is one; else None.
        about: whether sizes are those of the catalog, because neither the files nor the hub could say.
    """

    name: str
    precision: str
    repository: str | None
    commit: str | None
    download: int
    full_size: int
    full_here: bool
    quantised_size: int
    quantised_here: bool
    base: BaseDownload | None = None
    tower: BaseDownload | None = None
    vision_size: int = 0
    vision_here: bool = True
    tower_size: int = 0

    @property
    def parts(self) -> tuple[BaseDownload, ...]:
        """What it is put together from, beside its own repository."""
        return tuple(part for part in (self.base, self.tower) if part is not None)

    file: Path | None = None
    about: bool = False

    @property
    def room(self) -> int:
        """Bytes of disk it would take: the download and what is made of it."""
        full = 0 if self.full_here or self.quantised_here else self.full_size
        quantised = 0 if self.quantised_here or self.precision == FULL else self.quantised_size
        return self.download + full + quantised + (0 if self.vision_here else self.vision_size)


def fetched_twice(one: ModelPlan, other: ModelPlan) -> int:
    """Bytes that the downloads of two models have in common: the base of one is the other, or of both, or the tower."""
    mine, theirs = downloads(one), downloads(other)
    return sum(
        min(mine[place], theirs[place]) for place in mine.keys() & theirs.keys() if place[0] is not None
    )


def made_twice(one: ModelPlan, other: ModelPlan) -> int:
    """Bytes of files that both models make, and that are made once: those of a tower that they have in common."""
    if one.vision_here or other.vision_here or one.tower is None or other.tower is None:
        return 0
    if (one.tower.repository, one.tower.commit) != (other.tower.repository, other.tower.commit):
        return 0
    return min(one.tower_size, other.tower_size)


def downloads(plan: ModelPlan) -> dict[tuple[str | None, str | None], int]:
    """Bytes still to be fetched, by repository and commit."""
    beside = sum(part.download for part in plan.parts)
    found = {(plan.repository, plan.commit): plan.download - beside}
    for part in plan.parts:
        place = (part.repository, part.commit)
        found[place] = found.get(place, 0) + part.download
    return found


def list_models(home: Path) -> list[ModelStatus]:
    """Every model of the catalog and what is here of it; asks nobody."""
    return [model_status(entry, home) for entry in models().values()]


def model_status(entry: ModelEntry, home: Path) -> ModelStatus:
    """What is here of one model."""
    pattern = re.compile(re.escape(entry.name) + r"-[0-9a-f]{16}")
    folders = [path for path in (home / "models").glob(f"{entry.name}-*") if pattern.fullmatch(path.name)]
    folders.sort(key=lambda folder: folder.stat().st_mtime_ns)
    found = [recorded(path) for folder in folders for path in sorted(folder.glob("*.gguf"))]
    ggufs = tuple(file for file in found if file is not None)
    if entry.repository is None:
        return ModelStatus(entry, "embedded", None, ggufs)
    records = [recall(home, name, revision=revision, part=part) for name, revision, part in _fetched(entry)]
    here = all(
        record is not None and all((record.folder / file.path).is_file() for file in record.files)
        for record in records
    )
    commit = records[0].commit if records and records[0] else None
    return ModelStatus(entry, "fetched" if here else "not fetched", commit, ggufs)


def _fetched(entry: ModelEntry) -> Iterator[tuple[str, str, Part]]:
    """Every repository that a model of the catalog is made of, its own first: name, revision, what is read of it."""
    assert entry.repository is not None
    vision = entry.vision
    own = Part("torch file", vision.checkpoint) if vision and vision.checkpoint else MODEL
    yield entry.repository, entry.revision or "main", own
    if vision is not None:
        for part in vision.parts:
            yield part.repository, part.revision or "main", TOWER if part is vision.tower else MODEL


def plan_model(
    source: ModelSource,
    quant: QuantConfig,
    *,
    home: Path,
    offline: bool = False,
    progress: Progress | None = None,
) -> ModelPlan:
    """What `prepare_model` would fetch and make. The hub is asked for its listing, and for an index of shards.

    Offline, what is not here is taken to be as large as the catalog says.

    Raises:
        AcquireError: the hub cannot say, or refuses.
        InputError: a local checkpoint is malformed.
    """
    listener = progress or Silent()
    if isinstance(source, LocalGguf):
        size = sum((source.path.parent / part).stat().st_size for part in gguf_parts(source.path.name))
        return replace(_plan_gguf(source, quant, None, None, size, 0), file=source.path)
    if isinstance(source, HubGguf):
        from medbench_local.hub.repository import still_to_fetch  # slow to import

        repository = _opened(source, offline, listener)
        parts = gguf_parts(source.file)
        size = sum(repository.size_of(part) for part in parts)
        missing = still_to_fetch(repository, parts)
        found = _plan_gguf(source, quant, source.repository, repository.commit, size, missing)
        return found if missing else replace(found, file=repository.folder / source.file)
    if isinstance(source, PictureModel):
        needs = _needs_of_parts(source, home, offline, listener)
    else:
        needs = _needs(source, home, offline, listener, 0)
    target = None if needs.files is None else full_path(source.name, needs.files, home)
    return _plan(source, quant, target, needs, home=home)


@dataclass(frozen=True)
class _Needs:
    """What a checkpoint is made of, as far as that is known before it is here.

    Attributes:
        files: with hashes; None while some were not fetched yet.
        weights: bytes.
        commit: of its own repository, or None.
        download: bytes still to be fetched, of an adapter with its base.
        base: of an adapter, which repository at which commit its base is, and how much of the download that is.
        tower: likewise, what looks at pictures.
        vision: bytes of the weights that what is shown pictures is made of.
        tower_weights: of these, those of the tower.
        tower_files: what the tower's file is made of, with hashes; None while some were not fetched yet.
        about: whether sizes are those of the catalog.
    """

    files: tuple[FileRecord, ...] | None
    weights: int
    commit: str | None = None
    download: int = 0
    base: BaseDownload | None = None
    tower: BaseDownload | None = None
    vision: int = 0
    tower_weights: int = 0
    tower_files: tuple[FileRecord, ...] | None = None
    about: bool = False


def _needs_of_parts(source: PictureModel, home: Path, offline: bool, progress: Progress) -> _Needs:
    """A model with pictures: the sum of its parts."""

    def part_of(part: LocalCheckpoint | HubCheckpoint) -> _Needs:
        with explained_part(source, part):
            return _needs(part, home, offline, progress, 0)

    def told(part: LocalCheckpoint | HubCheckpoint, needs: _Needs) -> BaseDownload:
        repository = part.repository if isinstance(part, HubCheckpoint) else None
        return BaseDownload(part.name, repository, needs.commit, needs.download)

    own = part_of(source.own)
    base = None if source.base is None else part_of(source.base)
    tower = None if source.tower is None else part_of(source.tower)
    named = {"": own, BASE: base, TOWER_FILES: tower}
    known = [
        replace(file, path=prefix + file.path)
        for prefix, part in named.items()
        if part is not None
        for file in part.files or ()
    ]
    complete = all(part is None or part.files is not None for part in named.values())
    seen = () if tower is None else tower.files
    if source.kind == "llava" and seen is not None:
        seen = None if own.files is None else (*own.files, *seen)
    return _Needs(
        files=tuple(known) if complete else None,
        weights=own.weights if base is None else base.weights,
        commit=own.commit,
        download=sum(part.download for part in named.values() if part is not None),
        base=None if base is None or source.base is None else told(source.base, base),
        tower=None if tower is None or source.tower is None else told(source.tower, tower),
        vision=(own.weights if source.kind == "flamingo" else 0) + (tower.weights if tower else 0),
        tower_weights=tower.weights if tower else 0,
        tower_files=seen,
        about=any(part.about for part in named.values() if part is not None),
    )


def _needs(
    source: LocalCheckpoint | HubCheckpoint, home: Path, offline: bool, progress: Progress, depth: int
) -> _Needs:
    if isinstance(source, LocalCheckpoint):
        layout = folder_layout(source.folder, source.adapter_base, source.part)
        files = hashed(source.folder, layout.files, home, progress)
        own = _Needs(files, _weight_bytes(files))
        if not layout.adapter:
            return own
        return _with_base(source, own, source.folder / ADAPTER_CONFIG, home, offline, progress, depth)
    if offline:
        record = recall(
            home,
            source.repository,
            revision=source.revision,
            adapter_base=source.adapter_base,
            part=source.part,
        )
        if record is not None:
            return _of_record(source, record, _gone(record), home, offline, progress, depth)
    from medbench_local.hub.repository import fetch_files, still_to_fetch  # slow to import

    try:
        repository = _opened(source, offline, progress)
    except OfflineError as error:
        return _by_catalog(source, error)
    record = recall(
        home,
        source.repository,
        commit=repository.commit,
        adapter_base=source.adapter_base,
        part=source.part,
    )
    if record is not None:
        paths = tuple(file.path for file in record.files)
        missing = _gone(record) if repository.files is None else still_to_fetch(repository, paths)
        return _of_record(source, record, missing, home, offline, progress, depth)
    try:
        layout = repository_layout(
            repository, home=home, progress=progress, adapter_base=source.adapter_base, part=source.part
        )
    except OfflineError as error:
        return _by_catalog(source, error)
    weights = sum(repository.size_of(name) for name in layout.files if is_weights(name))
    own = _Needs(None, weights, repository.commit, still_to_fetch(repository, layout.files))
    if not layout.adapter:
        return own
    fetch_files(repository, [ADAPTER_CONFIG], home=home, progress=progress)
    return _with_base(source, own, repository.folder / ADAPTER_CONFIG, home, offline, progress, depth)


def _by_catalog(source: HubCheckpoint, offline: OfflineError) -> _Needs:
    """What the catalog knows of a repository that is not here.

    Raises:
        OfflineError: nothing.
    """
    size = known_sizes().get(source.repository)
    if size is None:
        raise offline
    return _Needs(None, size, download=size, about=True)


def _gone(record: FetchedRepository) -> int:
    """Bytes of what was fetched once and is not here any more."""
    return sum(file.size for file in record.files if not (record.folder / file.path).is_file())


def _of_record(
    source: HubCheckpoint,
    record: FetchedRepository,
    missing: int,
    home: Path,
    offline: bool,
    progress: Progress,
    depth: int,
) -> _Needs:
    own = _Needs(record.files, _weight_bytes(record.files), record.commit, missing)
    if not record.adapter:
        return own
    return _with_base(source, own, description_of_adapter(record, home), home, offline, progress, depth)


def _with_base(
    source: LocalCheckpoint | HubCheckpoint,
    own: _Needs,
    config_file: Path,
    home: Path,
    offline: bool,
    progress: Progress,
    depth: int,
) -> _Needs:
    """An adapter with the model that it is merged into, which is as large as what they give."""
    below = base_source(source, config_file, depth)
    with explained_base(source, below):
        base = _needs(below, home, offline, progress, depth + 1)
    known = own.files is not None and base.files is not None
    repository = below.repository if isinstance(below, HubCheckpoint) else None
    return _Needs(
        files=with_base(own.files or (), base.files or ()) if known else None,
        weights=base.weights,
        commit=own.commit,
        download=own.download + base.download,
        base=BaseDownload(below.name, repository, base.commit, base.download),
        about=base.about,
    )


def _opened(source: HubCheckpoint | HubGguf, offline: bool, progress: Progress) -> Repository:
    from medbench_local.hub.repository import hub_from_environment, open_repository  # slow to import

    return open_repository(
        source.repository, source.revision, offline=offline, hub=hub_from_environment(), progress=progress
    )


def _weight_bytes(files: Sequence[FileRecord]) -> int:
    return sum(file.size for file in files if is_weights(file.path))


def _plan(
    source: LocalCheckpoint | HubCheckpoint | PictureModel,
    quant: QuantConfig,
    target: Path | None,
    needs: _Needs,
    *,
    home: Path,
) -> ModelPlan:
    full = recorded(target) if target is not None else None
    full_size = full.size if full else needs.weights
    quantised = full
    if target is not None and full is not None and quant.name != FULL:
        quantised = recorded(quantised_path(target.parent, full.sha256, quant, home))
    here = quantised is not None and quantised.path.is_file()
    full_here = full is not None and full.path.is_file()
    own, vision_here = source, True
    if isinstance(source, PictureModel):
        own = source.own
        vision_here = (
            target is not None
            and needs.tower_files is not None
            and vision_path(target.parent, source.every).is_file()
            and tower_path(needs.tower_files, home).is_file()
        )
    made = (here or full_here) and vision_here
    return ModelPlan(
        name=source.name,
        precision=quant.name,
        repository=own.repository if isinstance(own, HubCheckpoint) else None,
        commit=needs.commit,
        download=0 if made else needs.download,
        full_size=full_size,
        full_here=full_here,
        quantised_size=quantised.size if quantised else _estimate(full_size, quant),
        quantised_here=here,
        base=replace(needs.base, download=0) if needs.base and made else needs.base,
        tower=replace(needs.tower, download=0) if needs.tower and made else needs.tower,
        vision_size=needs.vision,
        vision_here=vision_here,
        tower_size=needs.tower_weights,
        file=next((one.path for one in (quantised, full) if one is not None and one.path.is_file()), None),
        about=needs.about and not made,
    )


def _plan_gguf(
    source: LocalGguf | HubGguf,
    quant: QuantConfig,
    repository: str | None,
    commit: str | None,
    size: int,
    download: int,
) -> ModelPlan:
    return ModelPlan(source.name, quant.name, repository, commit, download, size, True, size, True)


def _estimate(full_size: int, quant: QuantConfig) -> int:
    """Size after quantisation of a file of 16-bit weights."""
    return full_size if quant.name == FULL else int(full_size * quant.bits_per_weight / 16)
