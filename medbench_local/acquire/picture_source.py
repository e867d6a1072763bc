"""What is meant by a model, a language model and a tower that are named one by one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from medbench_local.acquire.layout import TORCH_ENDINGS
from medbench_local.acquire.source import (
    HubCheckpoint,
    LocalCheckpoint,
    ModelSource,
    PictureModel,
    part_of_model,
    picture_model,
    resolve_model,
    safe_name,
)
from medbench_local.acquire.source_types import TOWER, Part
from medbench_local.errors import UsageError
from medbench_local.paths import user_path


def resolve_with_parts(text: str, base: str | None, tower: str | None) -> ModelSource:
    """Say what ``text`` means, some of its parts being named; touches the disk, never the network.

    Args:
        text: as for `resolve_model`; or a file of torch with the gated blocks of a Flamingo, or a folder with one.
        base: the language model that a difference or an adapter is added to, or that gated blocks stand in; None for
            what the catalog or the model itself says, if they do.
        tower: what looks at pictures; likewise.

    Raises:
        UsageError: nothing known is meant, a part is missing, or one is named for a model that has no such part.
        InputError: the configuration of a model with pictures is malformed.
    """
    gated = _gated(user_path(text))
    if gated is not None:
        return picture_model(gated, base=base, tower=tower)
    if tower is None:
        return resolve_model(text, base)
    source = part_of_model(text, "source") if text.startswith("hf:") else resolve_model(text, base, tower)
    if isinstance(source, HubCheckpoint):
        return picture_model(source, base=base, tower=tower)
    if not isinstance(source, PictureModel):
        raise UsageError(
            f"`vision_tower=` names {tower}, but {text} is no model that takes one.",
            advice="Leave it out, or give the folder or file of a LLaVA or a Flamingo.",
        )
    return replace(source, tower=replace(part_of_model(tower, "vision_tower"), part=TOWER))


def becomes_folder(text: str, base: str | None, tower: str | None) -> bool:
    """Whether ``text`` means a model with pictures, which is converted into a folder.

    Raises:
        UsageError, InputError: as `resolve_with_parts`.
    """
    return isinstance(resolve_with_parts(text, base, tower), PictureModel)


def _gated(path: Path) -> LocalCheckpoint | None:
    """The file of torch that is meant by a path; None if it is none, and no folder with nothing but one."""
    if path.suffix in TORCH_ENDINGS and path.is_file():
        return LocalCheckpoint(
            safe_name(path.resolve().parent.name), path.parent, part=Part("torch file", path.name)
        )
    if not path.is_dir() or (path / "config.json").exists():
        return None
    found = [file.name for file in path.iterdir() if file.suffix in TORCH_ENDINGS]
    if len(found) != 1:
        return None
    return LocalCheckpoint(safe_name(path.resolve().name), path, part=Part("torch file", found[0]))
