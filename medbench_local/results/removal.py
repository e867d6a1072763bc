"""Removing a run or a check: what the tool wrote into its folder, and nothing that somebody else put there."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from medbench_local.errors import InputError, UsageError
from medbench_local.files.atomic import disk_error
from medbench_local.files.lock import only_process
from medbench_local.files.streams import open_file
from medbench_local.results.asked import clear_asked
from medbench_local.results.check_folder import CheckFolder
from medbench_local.results.folder import CHECKS, MANIFEST, SCORES, RunFolder
from medbench_local.results.kept import Kept
from medbench_local.results.sweep_folder import SWEEP_FILE, SweepFolder

_FILES = (
    "results.json",
    "partial.json",
    "report.md",
    "report.html",
    SCORES,
    f"{SCORES}-wal",
    f"{SCORES}-shm",
)
_LAST = (CHECKS, MANIFEST, ".lock", ".lock.json")
"""By the first two a folder is known: what was not removed whole is still listed."""

_SWEEP_FILES = ("report.html", "report.md", "report.csv", "report.tex", "rates.csv", ".lock", ".lock.json")
_FIGURES = ("heat-map", "forest")


def refuse_other(kept: Kept) -> None:
    """Refuse a folder that is not the tool's: other programs have files called manifest.json, too.

    Raises:
        UsageError: it is a link, whose other end may be somebody else's; or nothing in it says that the tool made it.
    """
    _refuse_link(kept.path)
    if not _ours(kept):
        raise UsageError(
            f"{kept.path} is no run of this tool, and is left alone.", advice="`list_runs()` has runs."
        )


def _refuse_link(folder: Path) -> None:
    if folder.is_symlink():
        raise UsageError(f"{folder} is a link, and is left alone.", advice="Remove the link itself.")


def _ours(kept: Kept) -> bool:
    try:
        with open_file(kept.scores_file) as file:
            if file.read(15) == b"SQLite format 3":
                return True
    except (OSError, InputError):
        pass
    try:
        if isinstance(kept, CheckFolder):
            return bool(kept.begun())
        if kept.results_file.is_file() and kept.results() is not None:
            return True
        versions = kept.manifest().get("versions")
        return isinstance(versions, dict) and "medbench-local" in versions
    except InputError:
        return False


def remove(kept: Kept) -> bool:
    """Remove the files of a comparison or check, and its folder if nothing else is in it; links are not followed.

    Returns:
        Whether the folder is gone; else something lies in it that the tool did not write.

    Raises:
        StoreError: another process computes in it, or a file cannot be removed.
        UsageError: see `refuse_other`.
    """
    refuse_other(kept)
    folder = kept.path
    try:
        with only_process(folder, advice="Wait until it ends, or stop it."):
            _remove_samples(folder / "samples")
            if isinstance(kept, RunFolder):
                clear_asked(kept)
            for name in _FILES:
                (folder / name).unlink(missing_ok=True)
            for left_by_a_dead_process in folder.glob(".*.part"):
                left_by_a_dead_process.unlink()
    except OSError as error:
        raise disk_error(folder, error) from error
    return _emptied(folder, _LAST)


def remove_sweep(sweep: SweepFolder) -> bool:
    """Remove what a sweep wrote into its own folder beside its runs, and the folder if nothing else is in it.

    Returns:
        Whether the folder is gone; else something lies in it, a run perhaps, that is not the sweep's own.

    Raises:
        InputError: its ``sweep.json`` is not one: nothing says that the tool made the folder.
        UsageError: the folder is a link, whose other end may be somebody else's.
        StoreError: a file cannot be removed.
    """
    folder, figures = sweep.path, sweep.path / "figures"
    _refuse_link(folder)
    sweep.record()
    try:
        if figures.is_dir() and not figures.is_symlink():
            for start in _FIGURES:
                for ending in ("svg", "pdf"):
                    for figure in figures.glob(f"{start}*.{ending}"):
                        figure.unlink()
            if not any(figures.iterdir()):
                figures.rmdir()
    except OSError as error:
        raise disk_error(folder, error) from error
    return _emptied(folder, (*_SWEEP_FILES, SWEEP_FILE))  # by the last it is known


def _emptied(folder: Path, names: Sequence[str]) -> bool:
    """Whether a folder is gone with its last files; it stays where something else lies in it."""
    try:
        for name in names:
            (folder / name).unlink(missing_ok=True)
        if any(folder.iterdir()):
            return False
        folder.rmdir()
    except OSError as error:
        raise disk_error(folder, error) from error
    return True


def _remove_samples(samples: Path) -> None:
    """Remove the samples, and the folders that are empty then."""
    if samples.is_symlink():
        samples.unlink()
        return
    for place, _, names in os.walk(samples, topdown=False):  # which does not follow links
        folder = Path(place)
        for name in names:
            if name.endswith((".jsonl", ".part")):
                (folder / name).unlink()
        if not any(folder.iterdir()):
            folder.rmdir()
