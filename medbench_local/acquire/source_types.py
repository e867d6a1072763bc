"""What a model may be had from: repositories of the hub, folders and files of this machine."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

from medbench_local.catalog.model import ModelEntry, VisionKind
from medbench_local.catalog.names import OWN as OWN

Projector = Path | Literal["own"]

Holds = Literal["model", "all", "tower", "torch file"]
"""What is read of a folder or repository: a language model or an adapter in Hugging Face layout; a model with the tower
in it and with how pictures are prepared; the tower of a CLIP model; or one file of torch that holds named tensors."""


@dataclass(frozen=True)
class Part:
    """What is read of a folder or repository.

    Attributes:
        holds: the kind of it.
        file: the one file that is read where it holds a torch file; "" for the only one there is.
    """

    holds: Holds = "model"
    file: str = ""


MODEL, ALL, TOWER = Part(), Part("all"), Part("tower")


@dataclass(frozen=True)
class LocalCheckpoint:
    """A folder in Hugging Face layout: a whole model, or an adapter.

    Attributes:
        name: for people, run folders and the model cache; safe as a file name.
        folder: where the checkpoint lies.
        entry: what the catalog knows of it, or None.
        adapter_base: what an adapter is merged into, as a person wrote it; None for what the adapter says itself.
        part: what is read of it.
        projector: the file with which llama.cpp looks at pictures for it, or `OWN`; None for text only.
    """

    name: str
    folder: Path
    entry: ModelEntry | None = None
    adapter_base: str | None = None
    part: Part = MODEL
    projector: Projector | None = None


@dataclass(frozen=True)
class LocalGguf:
    """A GGUF file of the user's own; of a split file the first part.

    Attributes:
        vision: the folder that holds, beside it, the files that `convert()` makes of a model with pictures; None
            without them.
        projector: the file with which llama.cpp looks at pictures for it; None without one.
    """

    name: str
    path: Path
    entry: ModelEntry | None = None
    vision: Path | None = None
    projector: Path | None = None


@dataclass(frozen=True)
class HubCheckpoint:
    """A repository of the hub that holds a model or an adapter, at a branch, tag or commit; see `LocalCheckpoint`."""

    name: str
    repository: str
    revision: str = "main"
    entry: ModelEntry | None = None
    adapter_base: str | None = None
    part: Part = MODEL
    projector: Projector | None = None


@dataclass(frozen=True)
class HubGguf:
    """A GGUF file of a repository of the hub; of a split file the first part; see `LocalGguf`."""

    name: str
    repository: str
    file: str
    revision: str = "main"
    entry: ModelEntry | None = None
    projector: Path | None = None


@dataclass(frozen=True)
class PictureModel:
    """A model that reads pictures, put together of several repositories or folders.

    Attributes:
        name: for people, run folders and the model cache; safe as a file name.
        kind: how it is published.
        own: the difference, the checkpoint, or the whole.
        base: the language model that is not in its own; None if it is.
        tower: what looks at pictures; None if its own files hold it, with how pictures are prepared.
        every: between how many layers a gated block is expected; 0 if nobody said.
        entry: what the catalog knows of it, or None.
    """

    name: str
    kind: VisionKind
    own: LocalCheckpoint | HubCheckpoint
    base: LocalCheckpoint | HubCheckpoint | None
    tower: LocalCheckpoint | HubCheckpoint | None
    every: int = 0
    entry: ModelEntry | None = None


ModelSource = LocalCheckpoint | LocalGguf | HubCheckpoint | HubGguf | PictureModel


def same_source(one: ModelSource, other: ModelSource) -> bool:
    """Whether two sources are the same repository, folder or file, however they were named."""
    return type(one) is type(other) and all(
        _same(getattr(one, each.name), getattr(other, each.name))
        for each in fields(one)
        if each.name not in ("name", "entry")
    )


def _same(one: object, other: object) -> bool:
    if isinstance(one, Path) and isinstance(other, Path):
        return one == other or one.resolve() == other.resolve()
    if isinstance(one, LocalCheckpoint | HubCheckpoint) and isinstance(
        other, LocalCheckpoint | HubCheckpoint
    ):
        return same_source(one, other)
    return one == other
