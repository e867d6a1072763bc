"""Whether there is room, before anything is written."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from medbench_local.errors import DiskFullError
from medbench_local.paths import existing


@dataclass(frozen=True)
class DiskNeed:
    """Room that will be taken.

    Attributes:
        folder: where; it need not exist yet.
        size: bytes.
        purpose: what for ("the download").
    """

    folder: Path
    size: int
    purpose: str


def check_room(needs: Sequence[DiskNeed]) -> None:
    """Say so if a disk cannot take what will be put on it.

    Raises:
        DiskFullError: it names the disk, what is needed for what, and what is free.
    """
    by_disk: dict[int, list[DiskNeed]] = {}
    for need in needs:
        if need.size > 0:
            by_disk.setdefault(existing(need.folder).stat().st_dev, []).append(need)
    for together in by_disk.values():
        folder = existing(together[0].folder)
        wanted, free = sum(need.size for need in together), shutil.disk_usage(folder).free
        if wanted > free:
            parts = " + ".join(f"{need.size / 1e9:.2f} GB for {need.purpose}" for need in together)
            raise DiskFullError(
                f"Not enough room on the disk of {folder}: {wanted / 1e9:.2f} GB needed ({parts}), "
                f"{free / 1e9:.2f} GB free.",
                advice="Free some, or put the hub's cache (HF_HOME) or the converted models (MEDBENCH_HOME) "
                "on another disk.",
            )


def is_disk_full(error: OSError) -> bool:
    """Whether ``error`` says that there is no room left, on the disk or in what this user may take of it."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)
