"""Paths as people write them, and places that may not exist yet."""

from __future__ import annotations

from pathlib import Path

from medbench_local.errors import UsageError


def user_path(text: str | Path) -> Path:
    """A path as a person writes it, with ``~`` for a home folder.

    Raises:
        UsageError: nobody has the home folder that is meant.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise UsageError(
            f"'{text}' begins with the home folder of somebody who is not known here.",
            advice="Write the path in full, or ./~name for a file whose name begins with ~.",
        ) from None


def existing(folder: Path) -> Path:
    """The folder itself, or the nearest one above it that exists."""
    folder = folder.absolute()
    while not folder.exists():
        folder = folder.parent
    return folder
