"""Paths as people write them, and places that may not exist yet."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

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


def without_home(value: Any) -> Any:
    """``value``, a JSON value or a text, with ``~`` in place of the user's home folder wherever it begins a path.

    What is written for others to read says nothing of who made it; `user_path` turns it back.
    """
    home = _home()
    return value if home is None else _replaced(value, home)


def _home() -> str | None:
    """The user's home folder as paths begin with it; None if nobody has one, or it is the root of everything."""
    try:
        home = Path.home()
    except RuntimeError:
        return None
    return None if home == Path(home.anchor) else f"{home}{os.sep}"


def _replaced(value: Any, home: str) -> Any:
    if isinstance(value, str):
        return value.replace(home, f"~{os.sep}")
    if isinstance(value, dict):
        return {key: _replaced(each, home) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_replaced(each, home) for each in value]
    return value


def existing(folder: Path) -> Path:
    """The folder itself, or the nearest one above it that exists."""
    folder = folder.absolute()
    while not folder.exists():
        folder = folder.parent
    return folder
