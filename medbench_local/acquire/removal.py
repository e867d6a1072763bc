"""What the tool's own folder holds and how large it is, and removing what was made of a model."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from medbench_local.errors import AcquireError, UsageError

_FOLDER = re.compile(r"(?P<name>.+)-[0-9a-f]{16}")
"""A folder of converted and quantised files; see `medbench_local.acquire.cache`."""

PARTS = {
    "towers": "what models look at pictures with",
    "features": "pictures as models see them",
    "pictures": "taken out of tables and archives",
}
"""Folders of the tool's home beside ``models``, and what is in them; everything else is notes of a few bytes."""


@dataclass(frozen=True)
class Kept:
    """Something that the tool keeps.

    Attributes:
        kind: "model", a key of `PARTS`, or "notes".
        name: of a model; else what it is.
        path: the folder.
        size: bytes.
    """

    kind: str
    name: str
    path: Path
    size: int


def folder_size(folder: Path) -> int:
    """Bytes of all files below a folder, links not followed; 0 if it is not there."""
    found = 0
    for path in folder.rglob("*"):
        with suppress(OSError):  # removed meanwhile
            found += 0 if path.is_symlink() or path.is_dir() else path.stat().st_size
    return found


def kept_models(home: Path) -> list[Kept]:
    """The folders of converted and quantised models, by name."""
    found = (Kept("model", name, path, folder_size(path)) for name, path in model_folders(home))
    return sorted(found, key=lambda one: (one.name, one.path.name))


def model_folders(home: Path) -> Iterator[tuple[str, Path]]:
    """The folders of converted and quantised models with the models' names, in no order."""
    folder = home / "models"
    for path in folder.iterdir() if folder.is_dir() else ():
        named = _FOLDER.fullmatch(path.name)
        if named and path.is_dir() and not path.is_symlink():
            yield named["name"], path


def kept(home: Path) -> list[Kept]:
    """Everything below the tool's home, models first."""
    found = kept_models(home)
    found += [Kept(kind, what, home / kind, folder_size(home / kind)) for kind, what in PARTS.items()]
    known = sum(one.size for one in found)
    return [*found, Kept("notes", "hashes, speeds, locks", home, max(folder_size(home) - known, 0))]


def of_model(name: str, home: Path) -> list[Kept]:
    """What was made of the model of that name.

    Raises:
        UsageError: nothing was.
    """
    models = kept_models(home)
    found = [one for one in models if name in (one.name, one.path.name)]
    if not found:
        names = ", ".join(dict.fromkeys(one.name for one in models)) or "nothing"
        raise UsageError(f"Nothing was made of a model '{name}' in {home}.", advice=f"There is: {names}.")
    return found


def remove(what: Kept) -> None:
    """Remove a folder of a model; its checkpoint in the hub's cache stays.

    Raises:
        AcquireError: a file cannot be removed; what is left is made again when it is needed.
    """
    try:
        shutil.rmtree(what.path)
    except OSError as error:
        raise AcquireError(
            f"{what.path} cannot be removed: {error.strerror or error}.",
            advice="End what uses it, and check the folder's permissions.",
        ) from error
