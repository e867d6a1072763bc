"""A GGUF file with a model's vocabulary, for whoever counts tokens before the model itself is fetched or made."""

from __future__ import annotations

from pathlib import Path

from medbench_local.acquire.conversion.adapter_folder import ADAPTER_CONFIG
from medbench_local.acquire.fetch import recall
from medbench_local.acquire.source_types import MODEL, HubCheckpoint, LocalCheckpoint, ModelSource
from medbench_local.errors import MedbenchError


def vocabulary_file(source: ModelSource, file: Path | None, home: Path, folder: Path) -> Path | None:
    """The vocabulary of a model, as far as it is on this machine; None if it is not.

    Args:
        source: the model.
        file: a GGUF file of it that is here, or None.
        home: MEDBENCH_HOME.
        folder: where a file may be written that holds the vocabulary of a checkpoint, and no weights.
    """
    if file is not None:
        return file
    checkpoint = _folder_of(source, home)
    if checkpoint is None or (checkpoint / ADAPTER_CONFIG).is_file():
        return None
    from medbench_local.acquire.conversion.convert import write_vocabulary  # slow to import

    target = folder / f"{source.name}-vocabulary" / "full.gguf"
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        write_vocabulary(checkpoint, target)
    except (MedbenchError, OSError):  # what is wrong with it is said when it is converted
        return None
    return target


def _folder_of(source: ModelSource, home: Path) -> Path | None:
    """The folder of a whole checkpoint that is here."""
    if isinstance(source, LocalCheckpoint):
        return source.folder if source.part == MODEL else None
    if not isinstance(source, HubCheckpoint) or source.part != MODEL:
        return None
    record = recall(home, source.repository, revision=source.revision, adapter_base=source.adapter_base)
    if record is None or record.adapter:
        return None
    return record.folder if all((record.folder / file.path).is_file() for file in record.files) else None
