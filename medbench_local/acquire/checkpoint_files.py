"""The files that a model is made of: where they are, or how they are to be had."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from medbench_local.acquire.adapter_base import (
    MOST_ADAPTERS,
    base_of,
    other_base,
    refuse_quantised,
)
from medbench_local.acquire.conversion.adapter_folder import ADAPTER_CONFIG, NO_BASE, read_lora_config
from medbench_local.acquire.fetch import (
    FetchedRepository,
    description_of_adapter,
    fetch_checkpoint,
    folder_layout,
    hashed,
    recall,
)
from medbench_local.acquire.locations import room_for
from medbench_local.acquire.picture_parts import PartFiles, PictureParts
from medbench_local.acquire.source import HubCheckpoint, LocalCheckpoint, PictureModel
from medbench_local.catalog.quantisation import QuantConfig
from medbench_local.errors import AcquireError, InputError, UnreachableError, UsageError
from medbench_local.files.hashes import FileRecord
from medbench_local.files.space import DiskNeed
from medbench_local.progress import Progress

if TYPE_CHECKING:
    from medbench_local.acquire.conversion.checkpoint import Checkpoint
    from medbench_local.hub.repository import Repository

BASE = "base/"
"""What the names of the base's files begin with where they stand beside an adapter's."""
TOWER_FILES = "tower/"
"""Likewise of the files of the tower of a model with pictures."""


@dataclass(frozen=True)
class Origin:
    """Where a model came from.

    Attributes:
        name: for people.
        repository: on the hub, or None.
        commit: of the repository, or None.
        base: what it was merged into, if it is an adapter or a difference, or what its gated blocks stand in; else
            None.
        tower: what looks at pictures for it, if that is not in its own files; None for text only.
    """

    name: str
    repository: str | None
    commit: str | None
    base: Origin | None = None
    tower: Origin | None = None


@dataclass(frozen=True)
class CheckpointFiles:
    """The files of a checkpoint, known by their hashes, at hand or to be had.

    Attributes:
        origin: where they came from.
        files: with sizes and hashes; of an adapter those of its base, too, below ``BASE``; of a model with pictures
            those of all its parts.
        warnings: what a person should know of other files beside them.
        folder: gives the folder they lie in (of an adapter its own); fetches what was removed since.
        base: what an adapter is merged into; None for a whole model.
        pictures: what a model with pictures is put together from; None for text only.
    """

    origin: Origin
    files: tuple[FileRecord, ...]
    warnings: tuple[str, ...]
    folder: Callable[[], Path]
    base: CheckpointFiles | None = None
    pictures: PictureParts | None = None

    def checkpoint(self) -> Path | Checkpoint:
        """What is converted: the folder, an adapter merged into its base, or the language model of one with pictures.

        Raises:
            AcquireError: files that were removed cannot be had again; or the adapter cannot be merged.
            InputError: a file is damaged, or the adapter does not fit its base.
        """
        if self.pictures is not None:
            return self.pictures.language
        if self.base is None:
            return self.folder()
        from medbench_local.acquire.conversion.checkpoint import CheckpointFolder  # slow to import
        from medbench_local.acquire.conversion.views.adapter import merge_adapter

        below = self.base.checkpoint()
        return merge_adapter(CheckpointFolder(below) if isinstance(below, Path) else below, self.folder())


def find_checkpoint(
    source: LocalCheckpoint | HubCheckpoint | PictureModel,
    quant: QuantConfig,
    *,
    home: Path,
    offline: bool,
    progress: Progress,
) -> CheckpointFiles:
    """The files of ``source``; those of the hub are fetched unless they were fetched before.

    An adapter's base is found and fetched likewise, as are all parts of a model with pictures.

    Raises:
        AcquireError: they cannot be had, or the disk has no room for them and for what is made of them.
        UsageError: a base is named for what is no adapter.
    """
    finder = _Finder(quant, home, offline, progress)
    return finder.find_parts(source) if isinstance(source, PictureModel) else finder.find(source, 0)


@dataclass(frozen=True)
class _Finder:
    quant: QuantConfig
    home: Path
    offline: bool
    progress: Progress

    def find(self, source: LocalCheckpoint | HubCheckpoint, depth: int) -> CheckpointFiles:
        if isinstance(source, LocalCheckpoint):
            layout = folder_layout(source.folder, source.adapter_base, source.part)
            own = CheckpointFiles(
                Origin(source.name, None, None),
                hashed(source.folder, layout.files, self.home, self.progress),
                layout.warnings,
                lambda: source.folder,
            )
            return self._merged(source, own, depth) if layout.adapter else own
        record = self._recall(source) or self._fetch(source)
        own = CheckpointFiles(
            Origin(source.name, record.repository, record.commit),
            record.files,
            record.warnings,
            lambda: self._fetch(source).folder,
        )
        return self._merged(source, own, depth, record) if record.adapter else own

    def find_parts(self, source: PictureModel) -> CheckpointFiles:
        """Every part of a model with pictures."""
        named = {"": source.own, BASE: source.base, TOWER_FILES: source.tower}
        parts = {prefix: part for prefix, part in named.items() if part is not None}
        for part in parts.values():
            if isinstance(part, HubCheckpoint) and not self.offline and self._recall(part) is None:
                with explained_part(source, part):
                    self._open(
                        part
                    )  # one that is not there is told of before gigabytes of another are fetched
        found: dict[str, CheckpointFiles] = {}
        for prefix, part in parts.items():
            with explained_part(source, part):
                found[prefix] = self.find(part, 0)
                if found[prefix].base is not None:
                    raise AcquireError(f"{part.name} is an adapter, not a model of its own.")
        files = {
            prefix: PartFiles(
                one.origin.repository or str(parts[prefix].folder),  # type: ignore[union-attr]
                one.files,
                one.folder,
                one.files[0].path if parts[prefix].part.holds == "torch file" else "",
            )
            for prefix, one in found.items()
        }
        own, base, tower = found[""], found.get(BASE), found.get(TOWER_FILES)
        return replace(
            own,
            origin=replace(
                own.origin,
                name=source.name,
                base=base.origin if base else None,
                tower=tower.origin if tower else None,
            ),
            files=tuple(
                replace(file, path=prefix + file.path) for prefix, one in found.items() for file in one.files
            ),
            warnings=tuple(warning for one in found.values() for warning in one.warnings),
            pictures=PictureParts(
                source.name, source.kind, files[""], files.get(BASE), files.get(TOWER_FILES), source.every
            ),
        )

    def _merged(
        self,
        source: LocalCheckpoint | HubCheckpoint,
        own: CheckpointFiles,
        depth: int,
        record: FetchedRepository | None = None,
    ) -> CheckpointFiles:
        """An adapter with the model that it is merged into."""
        described_in = description_of_adapter(record, self.home) if record else own.folder() / ADAPTER_CONFIG
        below = base_source(source, described_in, depth)
        with explained_base(source, below):
            config_file = self._config_of(below)
        refuse_quantised(config_file, below, source.name)
        with explained_base(source, below):
            base = self.find(below, depth + 1)
        self.progress.note(f"{source.name} is a LoRA adapter; it is merged into {described(base.origin)}")
        return replace(
            own,
            origin=replace(own.origin, base=base.origin),
            files=with_base(own.files, base.files),
            warnings=(
                *own.warnings,
                *other_base(source, read_lora_config(described_in), below),
                *base.warnings,
            ),
            base=base,
        )

    def _config_of(self, base: LocalCheckpoint | HubCheckpoint) -> Path | None:
        """The config.json of a base, before its weights are fetched; None if that cannot be told, or was looked at."""
        if isinstance(base, LocalCheckpoint):
            return base.folder / "config.json"
        if recall(self.home, base.repository, revision=base.revision) is not None:
            return None
        from medbench_local.hub.repository import fetch_files  # slow to import

        repository = self._open(base)
        if "config.json" not in (repository.files or ()):
            return None
        fetch_files(repository, ["config.json"], home=self.home, progress=self.progress)
        return repository.folder / "config.json"

    def _open(self, source: HubCheckpoint) -> Repository:
        from medbench_local.hub.repository import hub_from_environment, open_repository  # slow to import

        return open_repository(
            source.repository,
            source.revision,
            offline=self.offline,
            hub=hub_from_environment(),
            progress=self.progress,
        )

    def _fetch(self, source: HubCheckpoint) -> FetchedRepository:
        return fetch_checkpoint(
            self._open(source),
            home=self.home,
            progress=self.progress,
            adapter_base=source.adapter_base,
            part=source.part,
            room_for=lambda weights: (
                room_for(weights, self.quant, self.home)
                if source.part.holds in ("model", "all")
                else [DiskNeed(self.home, weights, "what is made of them to read pictures with")]
            ),
        )

    def _recall(self, source: HubCheckpoint) -> FetchedRepository | None:
        """What was fetched of the source at the commit that is meant now."""
        name, base = source.repository, source.adapter_base
        last_time = recall(self.home, name, revision=source.revision, adapter_base=base, part=source.part)
        if last_time is None or self.offline:
            return last_time
        try:
            commit = self._open(source).commit
            return recall(self.home, name, commit=commit, adapter_base=base, part=source.part)
        except UnreachableError as error:
            self.progress.note(f"{error.message} Going on with commit {last_time.commit[:12]} of {name}.")
            return last_time


def base_source(
    source: LocalCheckpoint | HubCheckpoint, config_file: Path, depth: int
) -> LocalCheckpoint | HubCheckpoint:
    """The base of the adapter ``source``, which its adapter_config.json describes.

    Args:
        source: the adapter.
        config_file: its description.
        depth: how many adapters lie above it.

    Raises:
        AcquireError: the adapter cannot be merged, or its base is not to be found.
        InputError: the description is damaged.
        UsageError: the base that the user named is none.
    """
    if depth >= MOST_ADAPTERS:
        raise AcquireError(
            f"{source.name} is an adapter of an adapter, {depth + 1} times: they name each other.",
            advice="Name the whole model at their bottom with `adapter_base=`.",
        )
    return base_of(source, read_lora_config(config_file), config_file)


@contextmanager
def explained_base(
    source: LocalCheckpoint | HubCheckpoint, base: LocalCheckpoint | HubCheckpoint
) -> Iterator[None]:
    """Errors of having a base say which adapter asks for it."""
    try:
        yield
    except (AcquireError, InputError) as error:
        name = base.repository if isinstance(base, HubCheckpoint) else base.name
        kind = type(error) if isinstance(error, AcquireError) else AcquireError
        raise kind(
            f"{source.name} is a LoRA adapter, to be merged into {name}, which cannot be had: {error.message}",
            advice=f"{error.advice} Or name a copy of {name} with `adapter_base=`.".strip(),
        ) from error


@contextmanager
def explained_part(source: PictureModel, part: LocalCheckpoint | HubCheckpoint) -> Iterator[None]:
    """Errors of having a part of a model with pictures say which model asks for it."""
    try:
        yield
    except (AcquireError, InputError) as error:
        if part == source.own:
            raise
        name = part.repository if isinstance(part, HubCheckpoint) else str(part.folder)
        kind = type(error) if isinstance(error, AcquireError) else AcquireError
        seeing = part == source.tower
        role = "its tower" if seeing else "its language model"
        other = "" if seeing else f"Or name a copy of {name} with `adapter_base=`."
        raise kind(
            f"{source.name} needs {role}, {name}, which cannot be had: {error.message}",
            advice=f"{error.advice} {other}".strip(),
        ) from error


def with_base(own: Sequence[FileRecord], base: Sequence[FileRecord]) -> tuple[FileRecord, ...]:
    """The files of an adapter and those of its base: together they decide what the model is."""
    return (*own, *(replace(file, path=BASE + file.path) for file in base))


def described(origin: Origin) -> str:
    """For people: "owner/name at 0123456789ab", or the name of a folder; with what an adapter was merged into."""
    own = (
        f"{origin.repository} at {origin.commit[:12]}" if origin.repository and origin.commit else origin.name
    )
    return own if origin.base is None else f"{own}, merged into {described(origin.base)}"


def refuse_unused_base(adapter_base: str | None, *bases: Origin | None) -> None:
    """Refuse a base that was named where no model is an adapter.

    Args:
        adapter_base: as the user named it, or None.
        bases: what each model was merged into.

    Raises:
        UsageError: it would have no effect.
    """
    if adapter_base in (None, NO_BASE) or any(bases):
        return
    raise UsageError(
        f"`adapter_base=` names {adapter_base}, but no model here is an adapter.",
        advice="Leave it out, or name the adapter: a folder or repository with adapter_config.json.",
    )
