"""What is here of a model, and what preparing it would take; nothing is made or fetched."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from medbench_local.acquire.cache import CachedFile, recorded
from medbench_local.acquire.fetch import checkpoint_names, folder_names, hashed, recall
from medbench_local.acquire.layout import is_weights
from medbench_local.acquire.locations import full_path, quantised_path
from medbench_local.acquire.source import HubCheckpoint, HubGguf, LocalCheckpoint, LocalGguf, ModelSource
from medbench_local.catalog.model import ModelEntry, models
from medbench_local.catalog.quantisation import FULL, QuantConfig
from medbench_local.files.gguf_header import gguf_parts
from medbench_local.progress import Progress, Silent

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

    @property
    def room(self) -> int:
        """Bytes of disk it would take: the download and what is made of it."""
        full = 0 if self.full_here or self.quantised_here else self.full_size
        quantised = 0 if self.quantised_here or self.precision == FULL else self.quantised_size
        return self.download + full + quantised


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
        return _plan_gguf(source, quant, None, None, size, 0)
    if isinstance(source, LocalCheckpoint):
        names = folder_names(source.folder)
        files = hashed(source.folder, names, home, listener)
        weights = sum(file.size for file in files if is_weights(file.path))
        return _plan(source, quant, full_path(source.name, files, home), weights, home=home)
    if offline and isinstance(source, HubCheckpoint):
        record = recall(home, source.repository, revision=source.revision)
        if record is not None:
            weights = sum(file.size for file in record.files if is_weights(file.path))
            return _plan(
                source,
                quant,
                full_path(source.name, record.files, home),
                weights,
                home=home,
                commit=record.commit,
            )
    from medbench_local.hub.repository import hub_from_environment, open_repository, still_to_fetch

    repository = open_repository(
        source.repository,
        source.revision,
        offline=offline,
        hub=hub_from_environment(),
        progress=listener,
    )
    if isinstance(source, HubGguf):
        parts = gguf_parts(source.file)
        size = sum(repository.size_of(part) for part in parts)
        missing = still_to_fetch(repository, parts)
        return _plan_gguf(source, quant, source.repository, repository.commit, size, missing)
    record = recall(home, source.repository, commit=repository.commit)
    if record is not None:
        names = tuple(file.path for file in record.files)
        target = full_path(source.name, record.files, home)
    else:
        names, target = checkpoint_names(repository, home=home, progress=listener), None
    weights = sum(repository.size_of(name) for name in names if is_weights(name))
    return _plan(
        source,
        quant,
        target,
        weights,
        home=home,
        commit=repository.commit,
        download=still_to_fetch(repository, names),
    )


def _plan(
    source: LocalCheckpoint | HubCheckpoint,
    quant: QuantConfig,
    target: Path | None,
    weights: int,
    *,
    home: Path,
    commit: str | None = None,
    download: int = 0,
) -> ModelPlan:
    full = recorded(target) if target is not None else None
    full_size = full.size if full else weights
    quantised = full
    if target is not None and full is not None and quant.name != FULL:
        quantised = recorded(quantised_path(target.parent, full.sha256, quant, home))
    here = quantised is not None and quantised.path.is_file()
    full_here = full is not None and full.path.is_file()
    return ModelPlan(
        name=source.name,
        precision=quant.name,
        repository=source.repository if isinstance(source, HubCheckpoint) else None,
        commit=commit,
        download=0 if here or full_here else download,
        full_size=full_size,
        full_here=full_here,
        quantised_size=quantised.size if quantised else _estimate(full_size, quant),
        quantised_here=here,
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
