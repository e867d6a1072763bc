"""Paths as people write them, and places that may not exist yet."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
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


def _home() -> re.Pattern[str] | None:
    """The user's home folder where it begins a path; None if nobody has one, or it is the root of everything."""
    try:
        home = Path.home()
    except RuntimeError:
        return None
    names = {str(home), os.path.realpath(home)} - {home.anchor, ""}
    if not names:
        return None
    either = "|".join(map(re.escape, sorted(names, key=len, reverse=True)))
    return re.compile(rf"(?<![\w.~-])(?:{either})(?![\w.~-])", re.IGNORECASE if os.name == "nt" else 0)


def _replaced(value: Any, home: re.Pattern[str]) -> Any:
    if isinstance(value, str):
        return home.sub("~", value)
    if isinstance(value, dict):
        return {_replaced(key, home): _replaced(each, home) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_replaced(each, home) for each in value]
    return value


def existing(folder: Path) -> Path:
    """The folder itself, or the nearest one above it that exists."""
    folder = folder.absolute()
    while not folder.exists():
        folder = folder.parent
    return folder


@dataclass(frozen=True)
class Place:
    """A file or folder as it was found, to be asked later whether its path still leads to it.

    Attributes:
        path: where it was found; a link stays one.
        marks: device and number of what stands there, and of what it leads to.
    """

    path: Path
    marks: tuple[int, int, int, int]

    @classmethod
    def of(cls, path: Path) -> Place:
        """What is there now.

        Raises:
            OSError: nothing is, or it cannot be looked at.
        """
        return cls(path, _marks(path))

    def problem(self) -> str:
        """What became of it, a sentence without its full stop: "… is gone: it was moved, …"; "" if it is there."""
        became = self._became()
        return became and f"{self.path} {became}: it was moved, removed or replaced while it was in use"

    def _became(self) -> str:
        try:
            found = _marks(self.path)
        except FileNotFoundError:
            return "is a link to nothing now" if self.path.is_symlink() else "is gone"
        except OSError as error:
            return f"cannot be reached any more ({error.strerror})"
        if found == self.marks:
            return ""
        return "is a link now" if found[:2] != found[2:] else "is another one than before"


def _marks(path: Path) -> tuple[int, int, int, int]:
    own, target = path.lstat(), path.stat()
    return own.st_dev, own.st_ino, target.st_dev, target.st_ino
