"""A picture that belongs to a question, and how a question's text says where it stands."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from medbench_local.files.rows import Row

TAG = "<image>"
"""In a question's text: a place of a picture, the first tag that of the first picture, and so on.

A question with one picture may have none; then the prompt's own place is the picture's. No option holds one.
"""

CONTROL = (
    TAG, "<im_start>", "<im_patch>", "<im_end>", "<|endofchunk|>", "<pad>", "<PAD>", "[PAD]", "<s>", "</s>", "<unk>",
)  # fmt: skip
"""Texts that models with pictures read as control tokens, or put a picture in place of, wherever they stand."""

_NUMBERED = re.compile(r"<image (\d+)>")


@dataclass(frozen=True)
class Picture:
    """A picture; two of the same content are equal, wherever they lie.

    Attributes:
        sha256: hash of its file's bytes, 64 hexadecimal digits in lower case.
        name: for people: as the data set calls it.
        path: the file.
        own_colours: its data set hands it over in its own colours, which some models' code makes red, green and blue
            only after resizing; else before.

    Raises:
        ValueError: that is no such hash.
    """

    sha256: str
    name: str = field(default="", compare=False)
    path: Path = field(default=Path(), compare=False)
    own_colours: bool = False

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise ValueError(f"expected 64 hexadecimal digits in lower case, not {self.sha256!r:.80}")


def refuse_control_text(row: Row, texts: Iterable[str], *, but: str = "") -> None:
    """Refuse texts of a question with pictures that a model would not read as text.

    Args:
        row: where they stand.
        texts: its question and options, before tags are written into them.
        but: a text of `CONTROL` that may stand there.

    Raises:
        InputError: one holds a text of `CONTROL`.
    """
    for text in texts:
        found = next((control for control in CONTROL if control != but and control in text), None)
        if found is not None:
            raise row.error(f"its text holds {found}, which models with pictures do not read as text")


def tagged(text: str) -> tuple[str, tuple[int, ...]]:
    """A text with each "<image 3>" as `TAG`, and their numbers in the order of the text."""
    return _NUMBERED.sub(TAG, text), tuple(int(number) for number in _NUMBERED.findall(text))
