"""Removing a run: what the tool wrote into its folder, and nothing that somebody else put there."""

from __future__ import annotations

import shutil

from medbench_local.errors import UsageError
from medbench_local.files.atomic import disk_error
from medbench_local.files.lock import only_process
from medbench_local.results.asked import clear_asked
from medbench_local.results.folder import SCORES, RunFolder

_FILES = ("results.json", "report.md", "report.html", "checks.json", SCORES, f"{SCORES}-wal", f"{SCORES}-shm")
_LAST = ("manifest.json", ".lock", ".lock.json")
"""The manifest goes last: what was not removed whole is still listed as a run."""


def remove_run(run: RunFolder) -> bool:
    """Remove a run's files, and its folder if nothing else is in it.

    Returns:
        Whether the folder is gone; else something lies in it that the tool did not write.

    Raises:
        StoreError: another process computes in it, or a file cannot be removed.
        UsageError: it is a link: the folder that it leads to may be somebody else's.
    """
    folder = run.path
    if folder.is_symlink():
        raise UsageError(f"{folder} is a link, and is left alone.", advice="Remove the link itself.")
    try:
        with only_process(folder):
            samples = folder / "samples"
            if samples.is_symlink():
                samples.unlink()
            elif samples.is_dir():
                shutil.rmtree(samples)
            clear_asked(run)
            for name in _FILES:
                (folder / name).unlink(missing_ok=True)
        for name in _LAST:
            (folder / name).unlink(missing_ok=True)
        if any(folder.iterdir()):
            return False
        folder.rmdir()
    except OSError as error:
        raise disk_error(folder, error) from error
    return True
