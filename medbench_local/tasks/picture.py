"""A picture that belongs to a question."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

TAG = "<image>"
"""What a question's text holds where its data set places a picture; a text without any leaves the place open."""


@dataclass(frozen=True)
class Picture:
    """A picture; two of the same content are equal, wherever they lie.

    Attributes:
        sha256: hash of its file's bytes, 64 hexadecimal digits in lower case.
        name: for people: as the data set calls it.
        path: the file.

    Raises:
        ValueError: that is no such hash.
    """

    sha256: str
    name: str = field(default="", compare=False)
    path: Path = field(default=Path(), compare=False)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise ValueError(f"expected 64 hexadecimal digits in lower case, not {self.sha256!r:.80}")
