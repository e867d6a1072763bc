"""What is here of a model, and what preparing it would take; nothing is made or fetched."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from medbench_local.acquire.cache import CachedFile, recorded
from medbench_local.acquire.checkpoint_files import base_source, explained_base, with_base
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
from medbench_local.acquire.source import HubCheckpoint, HubGguf, LocalCheckpoint, LocalGguf, ModelSource
from medbench_local.catalog.model import ModelEntry, models
from medbench_local.catalog.quantisation import FULL, QuantConfig
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
    """The base of an adapter.

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
        base: what it is merged into, if it is an adapter; else None.
        file: a GGUF file of it that is here, at ``precision`` if there is one; else None.
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
    file: Path | None = None

    @property
    def room(self) -> int:
        """Bytes of disk it would take: the download and what is made of it."""
        full = 0 if self.full_here or self.quantised_here else self.full_size
        quantised = 0 if self.quantised_here or self.precision == FULL else self.quantised_size
        return self.download + full + quantised


def fetched_twice(one: ModelPlan, other: ModelPlan) -> int:
    """Bytes that the downloads of two models have in common: one is the base of the other, or of both."""
    return sum(
        min(mine, theirs)
        for at, mine in _downloads(one).items()
        for place, theirs in _downloads(other).items()
        if at == place and at[0] is not None
    )


def _downloads(plan: ModelPlan) -> dict[tuple[str | None, str | None], int]:
    """Bytes still to be fetched, by repository and commit."""
    if plan.base is None:
        return {(plan.repository, plan.commit): plan.download}
    below = plan.base
    return {
        (plan.repository, plan.commit): plan.download - below.download,
        (below.repository, below.commit): below.download,
    }


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
    record = recall(home, entry.repository, revision=entry.revision or "main")
    here = record is not None and all((record.folder / file.path).is_file() for file in record.files)
    return ModelStatus(entry, "fetched" if here else "not fetched", record.commit if record else None, ggufs)


def plan_model(
    source: ModelSource,
    quant: QuantConfig,
    *,
    home: Path,
    offline: bool = False,
    progress: Progress | None = None,
) -> ModelPlan:
    """What `prepare_model` would fetch and make. The hub is asked for its listing, and for an index of shards.

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
        return _plan_gguf(source, quant, source.repository, repository.commit, size, missing)
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
    """

    files: tuple[FileRecord, ...] | None
    weights: int
    commit: str | None = None
    download: int = 0
    base: BaseDownload | None = None


def _needs(
    source: LocalCheckpoint | HubCheckpoint, home: Path, offline: bool, progress: Progress, depth: int
) -> _Needs:
    if isinstance(source, LocalCheckpoint):
        layout = folder_layout(source.folder, source.adapter_base)
        files = hashed(source.folder, layout.files, home, progress)
        own = _Needs(files, _weight_bytes(files))
        if not layout.adapter:
            return own
        return _with_base(source, own, source.folder / ADAPTER_CONFIG, home, offline, progress, depth)
    if offline:
        record = recall(home, source.repository, revision=source.revision, adapter_base=source.adapter_base)
        if record is not None:
            return _of_record(source, record, 0, home, offline, progress, depth)
    from medbench_local.hub.repository import fetch_files, still_to_fetch  # slow to import

    repository = _opened(source, offline, progress)
    record = recall(home, source.repository, commit=repository.commit, adapter_base=source.adapter_base)
    if record is not None:
        missing = still_to_fetch(repository, tuple(file.path for file in record.files))
        return _of_record(source, record, missing, home, offline, progress, depth)
    layout = repository_layout(repository, home=home, progress=progress, adapter_base=source.adapter_base)
    weights = sum(repository.size_of(name) for name in layout.files if is_weights(name))
    own = _Needs(None, weights, repository.commit, still_to_fetch(repository, layout.files))
    if not layout.adapter:
        return own
    fetch_files(repository, [ADAPTER_CONFIG], home=home, progress=progress)
    return _with_base(source, own, repository.folder / ADAPTER_CONFIG, home, offline, progress, depth)


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
    )


def _opened(source: HubCheckpoint | HubGguf, offline: bool, progress: Progress) -> Repository:
    from medbench_local.hub.repository import hub_from_environment, open_repository  # slow to import

    return open_repository(
        source.repository, source.revision, offline=offline, hub=hub_from_environment(), progress=progress
    )


def _weight_bytes(files: Sequence[FileRecord]) -> int:
    return sum(file.size for file in files if is_weights(file.path))


def _plan(
    source: LocalCheckpoint | HubCheckpoint,
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
    return ModelPlan(
        name=source.name,
        precision=quant.name,
        repository=source.repository if isinstance(source, HubCheckpoint) else None,
        commit=needs.commit,
        download=0 if here or full_here else needs.download,
        full_size=full_size,
        full_here=full_here,
        quantised_size=quantised.size if quantised else _estimate(full_size, quant),
        quantised_here=here,
        base=replace(needs.base, download=0) if needs.base and (here or full_here) else needs.base,
        file=next((one.path for one in (quantised, full) if one is not None and one.path.is_file()), None),
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
