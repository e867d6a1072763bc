"""Files that only stand in for the one that is meant: a clone without Git LFS, a saved web page, a link as text.

The pointer format is defined at https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md.
"""

from __future__ import annotations

import re
from pathlib import Path

from medbench_local.errors import InputError

BEGINNING = 64
"""Bytes of a file that tell whether it is one."""

_LARGEST_POINTER = 1024
"""Bytes; what the format allows."""

_POINTER = b"version https://git-lfs.github.com/spec/"
_PATH = re.compile(rb"[\w.-]*(/[\w.-]+)+")
_PAGES = (b"<!doctype html", b"<html")


def refuse_stand_in(path: Path | str, beginning: bytes) -> None:
    """Refuse a file that begins as a pointer of Git LFS or a web page does.

    Args:
        path: what errors call the file.
        beginning: its first bytes, ``BEGINNING`` or more.

    Raises:
        InputError: it is one, and how to get the file itself.
    """
    if beginning.startswith(_POINTER):
        raise InputError(
            path,
            "",
            "is a pointer of Git LFS, not the file itself",
            advice="Run `git lfs install` and `git lfs pull` in the clone, or download it with `hf download`.",
        )
    if beginning.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(_PAGES):
        raise InputError(
            path,
            "",
            "is a web page, not the file itself",
            advice="Download it again by the page's download button, or with `hf download`.",
        )


def refuse_stand_in_at(path: Path) -> None:
    """`refuse_stand_in` of a file on the disk, or of a link that was written as the text of its target.

    What cannot be read, or only once, is left to who reads it.

    Raises:
        InputError: it is one, and how to get the file itself.
    """
    if not path.is_file():
        return
    try:
        with path.open("rb") as file:
            beginning = file.read(_LARGEST_POINTER)
    except OSError:
        return
    refuse_stand_in(path, beginning)
    if _PATH.fullmatch(beginning) and (path.parent / beginning.decode("ascii")).is_file():
        raise InputError(
            path,
            "",
            f"is a link that was saved as text, to {beginning.decode('ascii')}",
            advice="Copy that file here, or clone with links (git config core.symlinks true).",
        )
