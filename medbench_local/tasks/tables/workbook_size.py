"""What a workbook would cost to read, found out before anything of it is made."""

from __future__ import annotations

import re
import zipfile
from xml.parsers import expat

from medbench_local.files.limits import most_unpacked

FREE_CELLS = 150_000
"""Cells that every workbook may have; beyond that one for four of its bytes, as packed: filled ones take more."""

MOST_COVERED = 1_000_000
"""Cells that its merged areas and links may cover: each is made, however empty."""

MOST_TRANSLATED = 50_000_000
"""Characters of formulas that cells share, each written anew for its cell."""

_AREA = re.compile(r"\$?([A-Z]{1,3})\$?(\d{1,7})(?::\$?([A-Z]{1,3})\$?(\d{1,7}))?", re.IGNORECASE)


class TooLarge(Exception):
    """It would take far too much; the text says what of it."""


def weigh(archive: zipfile.ZipFile, packed: int) -> None:
    """Refuse a workbook that takes far more time or memory than its size says.

    Args:
        archive: the workbook.
        packed: its bytes.

    Raises:
        TooLarge: see there.
        expat.ExpatError: a part is no XML.
    """
    members = archive.infolist()
    nbytes, most = sum(member.file_size for member in members), most_unpacked(packed)
    if nbytes > most:  # no more than it says is unpacked
        raise TooLarge(f"unpacked it would be {nbytes / 2**20:,.0f} MiB; at most {most >> 20} MiB are read")
    count = _Count(FREE_CELLS + packed // 4)
    for member in members:
        if member.filename.lower().endswith((".xml", ".rels", ".vml")):
            with archive.open(member) as stream:
                parser = count.parser()
                while piece := stream.read(2**16):
                    parser.Parse(piece, False)
                parser.Parse(b"", True)


class _Count:
    """What the parts of a workbook hold, all together."""

    def __init__(self, most_cells: int) -> None:
        self._most = most_cells
        self._cells = self._elements = self._covered = self._shared = self._longest = self._formula = 0
        self._in_formula = False

    def parser(self) -> expat.XMLParserType:
        """Of one part."""
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.StartDoctypeDeclHandler = self._declared
        return parser

    def _declared(self, *_: object) -> None:
        raise TooLarge("it declares a document type, as no workbook does")

    def _start(self, name: str, given: dict[str, str]) -> None:
        kind = name.rpartition(":")[2]
        self._elements += 1
        if kind == "c":
            self._cells += 1
        elif kind in ("mergeCell", "hyperlink"):
            self._covered += _area(given.get("ref", ""))
        elif kind == "f":
            self._in_formula, self._formula = True, 0
            self._shared += given.get("t") == "shared"
        if self._cells > self._most or self._elements > 4 * self._most:
            raise TooLarge(f"more than {self._most:,} cells, too many for a file so small")
        if self._covered > MOST_COVERED:
            raise TooLarge(f"its merged areas and links cover more than {MOST_COVERED:,} cells")

    def _end(self, name: str) -> None:
        if self._in_formula and name.rpartition(":")[2] == "f":
            self._in_formula = False
            self._longest = max(self._longest, self._formula)
            if self._longest * self._shared > MOST_TRANSLATED:
                raise TooLarge("its cells share formulas that are too long")

    def _text(self, text: str) -> None:
        if self._in_formula:
            self._formula += len(text)


def _area(ref: str) -> int:
    """How many cells a reference such as "A1:C3" covers; 0 if it is none."""
    found = _AREA.fullmatch(ref.strip())
    if found is None:
        return 0
    left, top, right, bottom = found.groups()
    width = abs(_number(right or left) - _number(left)) + 1
    return width * (abs(int(bottom or top) - int(top)) + 1)


def _number(letters: str) -> int:
    number = 0
    for letter in letters.upper():
        number = 26 * number + ord(letter) - ord("A") + 1
    return number
