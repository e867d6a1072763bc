"""What the tool's own folder holds and how large it is, and removing what was made of a model."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from medbench_local.acquire.cache import lock_of, sidecar, target_of
from medbench_local.catalog.names import FULL
from medbench_local.errors import AcquireError, InputError, UsageError
from medbench_local.files.hashes import read_record
from medbench_local.files.lock import held

_FOLDER = re.compile(r"(?P<name>.+)-[0-9a-f]{16}")
"""A folder of converted and quantised files; see `medbench_local.acquire.cache`."""

_QUANTISED = re.compile(r"(?P<quant>.+)-[0-9a-f]{8}\.gguf")

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
        kind: "model", a key of `PARTS`, "notes", or "file" of a model.
        name: of a model; else what it is.
        path: the folder, or the file.
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
    """What was made of the model of that name: its folders, and the towers that no other model looks through.

    Raises:
        UsageError: nothing was.
    """
    models = kept_models(home)
    found = [one for one in models if name in (one.name, one.path.name)]
    if not found:
        names = ", ".join(dict.fromkeys(one.name for one in models)) or "nothing"
        raise UsageError(f"Nothing was made of a model '{name}' in {home}.", advice=f"There is: {names}.")
    return found + [tower for tower, needed in _towers(found, models, home) if not needed]


def staying(found: Sequence[Kept], home: Path) -> list[tuple[Path, list[str]]]:
    """The towers of models that stay without them, because others look through them, too: folders and these models."""
    return [(tower.path, needed) for tower, needed in _towers(found, kept_models(home), home) if needed]


def _towers(found: Sequence[Kept], models: Sequence[Kept], home: Path) -> Iterator[tuple[Kept, list[str]]]:
    """The towers of some of the models, and which of the others need them."""
    mine, others = _looking(found), _looking(one for one in models if one not in found)
    for note in sorted(home.glob("towers/*/tower.safetensors.json")):
        sha256 = str(read_record(note).get("sha256"))
        if sha256 in mine:
            folder = note.parent
            needed = [*others.get(sha256, ()), *others.get(_EVERY, ())]
            yield Kept("towers", folder.name, folder, folder_size(folder)), needed


def of_precision(name: str, quant: str, home: Path) -> list[Kept]:
    """The files of one precision that were made of the model of that name.

    Raises:
        UsageError: there is none.
    """
    folders = [one for one in of_model(name, home) if one.kind == "model"]
    files = {path: _precision(path) for one in folders for path in sorted(one.path.glob("*.gguf"))}
    found = [Kept("file", name, path, path.stat().st_size) for path, of in files.items() if of == quant]
    if not found:
        known = ", ".join(dict.fromkeys(of for of in files.values() if of)) or "no precision"
        raise UsageError(f"No {quant} was made of {name}.", advice=f"There is: {known}.")
    return found


def _precision(path: Path) -> str:
    """The precision of a file of the cache, by its name; "" of one that is not finished."""
    if path.name == "full.gguf":
        return FULL
    found = _QUANTISED.fullmatch(path.name)
    return found["quant"] if found and not path.name.startswith("unfinished-") else ""


_EVERY = "*"
"""In place of a tower's hash where a model does not say through which one it looks."""


def _looking(folders: Iterable[Kept]) -> dict[str, list[str]]:
    """The hashes of the towers through which models look, with the models' names."""
    from medbench_local.vision.parts import read_parts  # slow to import

    found: dict[str, list[str]] = {}
    for one in folders:
        for path in sorted(one.path.glob("vision-*.safetensors")):
            try:
                sha256 = read_parts(path).tower_sha256
            except InputError:
                sha256 = _EVERY
            found.setdefault(sha256, []).append(one.name)
    return found


def remove(what: Kept, home: Path) -> None:
    """Remove a folder, or a file with what is noted beside it; a model's checkpoint in the hub's cache stays.

    Raises:
        StoreError: another process makes something there.
        AcquireError: a file cannot be removed; what is left is made again when it is needed.
    """
    inside = [what.path] if what.kind == "file" else [path for path in what.path.rglob("*") if path.is_file()]
    try:
        with ExitStack() as locks:
            for target in sorted({target_of(path) for path in inside}):
                locks.enter_context(held(target, lock_of(target, home), "Wait until it ends, or stop it."))
            if what.kind == "file":
                what.path.unlink()
                if _precision(what.path) != FULL:  # by that note the smaller ones are found
                    sidecar(what.path).unlink(missing_ok=True)
            else:
                shutil.rmtree(what.path)
    except OSError as error:
        raise AcquireError(
            f"{what.path} cannot be removed: {error.strerror or error}.",
            advice="End what uses it, and check the folder's permissions.",
        ) from error
