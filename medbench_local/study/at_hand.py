"""Files that a run used and that are at hand still: whether they are what they were."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from medbench_local.errors import UsageError
from medbench_local.files.gguf_header import gguf_parts
from medbench_local.files.hashes import content_key, file_sha256
from medbench_local.paths import user_path
from medbench_local.progress import Progress
from medbench_local.results.record import ROLES
from medbench_local.results.run_verification import Checked
from medbench_local.results.schema import Results

_MODEL_FILES = ("scored", "checked_against", "full")


def models_at_hand(
    manifest: Mapping[str, Any], results: Results, home: Path, progress: Progress
) -> Iterator[Checked]:
    """Each model's files, by the manifest's paths, and what the manifest and results.json say of their hashes.

    Args:
        manifest: of the run.
        results: of the run.
        home: the tool's home, where hashes of large files are noted.
        progress: hears of large files being hashed.
    """
    for role in ROLES:
        own = _inner(_inner(manifest, "models"), role)
        claimed = getattr(results.models, role)
        what = f"files of {claimed.name} ({role})"
        scored = _inner(own, "scored").get("sha256")
        if scored is not None and scored != claimed.sha256:
            said = f"manifest.json has sha256 {scored} of the scored file, results.json {claimed.sha256}"
            yield Checked(what, "does not hold", said)
        files = {_named(_inner(own, name)): name for name in _MODEL_FILES if _inner(own, name)}
        files |= {
            _named(file): name for name, file in _inner(own, "vision").items() if isinstance(file, dict)
        }
        yield _compared(what, files, home, progress)


def data_at_hand(
    manifest: Mapping[str, Any], results: Results, home: Path, progress: Progress
) -> Iterator[Checked]:
    """Each task's data files, likewise."""
    for task, splits in _inner(manifest, "data").items():
        files = {
            _named(file): f"{split} {Path(str(file.get('path'))).name}"
            for split, each in (splits.items() if isinstance(splits, dict) else ())
            for file in _list(_inner({"split": each}, "split").get("files"))
        }
        what = f"data of {task}"
        claimed = (results.data or {}).get(task)
        if claimed is not None:
            said = {file.sha256 for split in claimed.values() for file in split.files}
            if said != {sha256 for _, sha256 in files}:
                yield Checked(what, "does not hold", "manifest.json and results.json name other hashes")
        yield _compared(what, files, home, progress)


def _compared(what: str, files: Mapping[tuple[str, str], str], home: Path, progress: Progress) -> Checked:
    """What the files that are there hash to."""
    same, gone, other = [], [], []
    for (path, sha256), name in files.items():
        found = _hash(path, home, progress)
        if found is None:
            gone.append(name)
        elif found == sha256:
            same.append(name)
        else:
            other.append(f"{name} ({path}) has sha256 {found}, the run's had {sha256}")
    if other:
        return Checked(what, "does not hold", "; ".join(other))
    rest = f"; not at hand: {', '.join(gone)}" if gone else ""
    if same:
        return Checked(what, "holds", f"same hashes: {', '.join(same)}{rest}")
    return Checked(
        what, "not checked", f"not at hand: {', '.join(gone)}" if gone else "the manifest names none"
    )


def _hash(path: str, home: Path, progress: Progress) -> str | None:
    """The hash of a file, or of a GGUF in several as the run has it; None if it is not at hand."""
    try:
        file = user_path(path)
        parts = [file.with_name(name) for name in gguf_parts(file.name)] if file.suffix == ".gguf" else [file]
        if not all(part.is_file() for part in parts):
            return None
        hashes = [file_sha256(part, home, progress) for part in parts]
    except (OSError, UsageError, ValueError):
        return None
    return hashes[0] if len(hashes) == 1 else content_key(hashes)


def _named(file: Mapping[str, Any]) -> tuple[str, str]:
    return str(file.get("path")), str(file.get("sha256"))


def _inner(mapping: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A mapping in a manifest, which somebody may have edited; empty if there is none."""
    found = mapping.get(name)
    return found if isinstance(found, dict) else {}


def _list(value: object) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
