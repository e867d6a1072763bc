"""A model with pictures as a folder of one's own: the GGUF, what belongs to it, and the tower."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medbench_local.acquire.checkpoint_files import CheckpointFiles
from medbench_local.acquire.locations import CONVERSION, VISION_FORMAT
from medbench_local.acquire.picture_folders import LANGUAGE, TOWER, VISION
from medbench_local.acquire.picture_parts import (
    NOTE,
    PictureParts,
    guessed_family,
    made_of,
    refuse_other_family,
)
from medbench_local.catalog.model import FamilyName
from medbench_local.errors import UsageError
from medbench_local.files.hashes import content_key, file_sha256, write_record
from medbench_local.progress import Progress

if TYPE_CHECKING:
    from medbench_local.acquire.conversion.convert import FileType


def write_picture_folder(
    checkpoint: CheckpointFiles,
    parts: PictureParts,
    output: Path,
    *,
    file_type: FileType,
    family: FamilyName | None,
    home: Path,
    progress: Progress,
) -> tuple[str, ...]:
    """Write a model with pictures into a folder; each file is whole or not there, and those that are stay.

    Args:
        checkpoint: the model's files.
        parts: what it is put together from.
        output: the folder; made if it is not there.
        file_type: of the language model's weights; as for `convert_checkpoint`.
        family: how it is prompted; None if nobody says, so that its files do as far as they can.
        home: MEDBENCH_HOME.
        progress: told of every step.

    Returns:
        Warnings: what a person should know.

    Raises:
        AcquireError, InputError: the model cannot be read or converted.
        StoreError: the folder cannot be written to.
        UsageError: ``output`` holds something else, or a model of this kind cannot be prompted so.
    """
    refuse_other_folder(output)
    if family is not None:
        refuse_other_family(family, parts)
    files = sorted((file.path, file.sha256) for file in checkpoint.files)
    key = content_key(CONVERSION, VISION_FORMAT, file_type, parts.every, files)
    before = made_of(output)
    complete: dict[str, str] = dict(before.files) if before.key == key else {}
    noted: dict[str, Any] = {
        "name": parts.name,
        "family": family,
        "family_given": family is not None,
        "key": key,
        "made_of": [{"path": path, "sha256": sha256} for path, sha256 in files],
    }
    warnings: list[str] = list(before.warnings) if complete else []

    def once(name: str, write: Callable[[Path], object]) -> str:
        path = output / name
        if name not in complete or not path.is_file() or file_sha256(path, home, progress) != complete[name]:
            write(path)
            complete[name] = file_sha256(path, home, progress)
            write_record(output / NOTE, {**noted, "files": complete, "warnings": warnings})
        return complete[name]

    def language(path: Path) -> None:
        from medbench_local.acquire.conversion.convert import convert_checkpoint  # slow to import

        made = convert_checkpoint(parts.language, path, file_type=file_type, progress=progress)
        warnings.extend(made.warnings)

    def vision(path: Path) -> None:
        told = parts.write_vision(path, tower_sha256)
        noted["family"] = noted["family"] or told["family"]
        warnings.extend(told["warnings"])

    noted["family"] = noted["family"] or (before.family if before.key == key else None)
    tower_sha256 = once(TOWER, parts.write_tower)
    once(VISION, vision)
    once(LANGUAGE, language)
    if (before.family, before.family_given) != (noted["family"], noted["family_given"]):
        write_record(output / NOTE, {**noted, "files": complete, "warnings": warnings})
    if not noted["family_given"] and (guessed := guessed_family(parts.name, noted["family"])):
        warnings.append(guessed)
    return (*checkpoint.warnings, *dict.fromkeys(warnings))


def refuse_other_folder(output: Path) -> None:
    """Refuse to write among files that are none of such a folder's.

    Raises:
        UsageError: it is a file, or holds something else.
    """
    if output.suffix.lower() == ".gguf" and not output.exists():
        raise UsageError(
            f"`output=` {output} would be a GGUF file; a model with pictures becomes a folder of three files.",
            advice=f"Write {output.with_suffix('')}.",
        )
    if output.exists() and not output.is_dir():
        raise UsageError(
            f"`output=` {output} is a file; a model with pictures becomes a folder.",
            advice="Name a folder that need not exist yet.",
        )
    known = {LANGUAGE, VISION, TOWER, NOTE}
    others = (
        sorted(path.name for path in output.iterdir() if path.name not in known) if output.is_dir() else []
    )
    others = [name for name in others if not name.startswith(".")]
    if others:
        raise UsageError(
            f"`output=` {output} holds other files ({', '.join(others[:4])}).",
            advice="Name an empty folder, or one that need not exist yet.",
        )
