"""What stands in the project's Markdown files: code blocks with what is said of them, headings, links, commands."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

PAGES = tuple(sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]))
"""Every page, the change log and the rules for contributors included."""

PLAIN = "text"
"""The language of what is no code."""

_FENCE = re.compile(r"^(`{3,})\s*(\S*)\s*$")
_COMMENT = re.compile(r"^<!--\s*(needs|file|exits|output):\s*(.+?)\s*-->$")
_HEADING = re.compile(r"^(#{1,6})\s+(.*?)\s*#*$")
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"(`+)(.+?)\1")
_SEPARATORS = {"&&", "||", ";", "|", "&"}


@dataclass(frozen=True)
class Block:
    """A fenced or indented block of code.

    Attributes:
        page: its file.
        line: of its first line of code, from 1.
        lines: all lines that belong to it, from 1, fences included.
        language: as the fence says, `PLAIN` where it does not; "" where the block is indented.
        text: the code.
        said: what comments right above it say: "needs", why its commands cannot be run here; "file", the name under
            which readers keep it; "exits", the exit code of its commands; "output", of which command it is the output.
    """

    page: Path
    line: int
    lines: range
    language: str
    text: str
    said: Mapping[str, str]


@dataclass(frozen=True)
class ShellCommand:
    """One command of a page.

    Attributes:
        page, line: where it stands.
        words: its words, comments left out.
        said: as of its `Block`; empty for commands within a sentence.
        inline: whether it stands within a sentence.
        piped: whether a pipe, a redirection or a variable of the environment belongs to it.
    """

    page: Path
    line: int
    words: tuple[str, ...]
    said: Mapping[str, str]
    inline: bool
    piped: bool

    def __str__(self) -> str:
        return f"{name_of(self.page)}:{self.line} {shlex.join(self.words)}"


def name_of(page: Path) -> str:
    """A page's path within the project."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> Iterator[Block]:
    """The blocks of code of a page, in their order."""
    lines = page.read_text(encoding="utf-8").splitlines()
    said: dict[str, str] = {}
    number = 0
    while number < len(lines):
        line = lines[number]
        if comment := _COMMENT.match(line.strip()):
            said[comment[1]] = comment[2]
        elif fence := _FENCE.match(line.strip()):
            end = next(n for n in range(number + 1, len(lines)) if lines[n].strip() == fence[1])
            text = "\n".join(lines[number + 1 : end]) + "\n"
            yield Block(page, number + 2, range(number + 1, end + 2), fence[2] or PLAIN, text, said)
            said, number = {}, end
        elif line.startswith("    ") and line.strip() and not lines[number - 1].strip():
            end = number
            while end < len(lines) and (lines[end].startswith("    ") or not lines[end].strip()):
                end += 1
            text = "\n".join(one[4:] for one in lines[number:end]) + "\n"
            yield Block(page, number + 1, range(number + 1, end + 1), "", text, said)
            said, number = {}, end - 1
        elif line.strip():
            said = {}
        number += 1


def prose(page: Path) -> Iterator[tuple[int, str]]:
    """The lines of a page outside its blocks of code, with their numbers from 1."""
    lines = page.read_text(encoding="utf-8").splitlines()
    inside = {number for block in blocks(page) for number in block.lines}
    return ((number, line) for number, line in enumerate(lines, start=1) if number not in inside)


def shell_commands(page: Path) -> Iterator[ShellCommand]:
    """Every command of a page: of ``sh`` blocks, of indented blocks, and our own within sentences."""
    for block in blocks(page):
        if block.language not in ("sh", ""):
            continue
        number = 0
        for text in block.text.replace("\\\n", "\\\0").splitlines():
            here, number = block.line + number, number + 1 + text.count("\\\0")
            text = text.replace("\\\0", " ")
            if block.language or text.startswith(("medbench-local ", "python ", "pip ")):
                yield from _split(text, page, here, block.said, inline=False)
    for number, line in prose(page):
        for _, code in _CODE.findall(line):
            if code.startswith("medbench-local "):
                yield from _split(code, page, number, {}, inline=True)


def _split(
    text: str, page: Path, line: int, said: Mapping[str, str], *, inline: bool
) -> Iterator[ShellCommand]:
    lexer = shlex.shlex(text, posix=True, punctuation_chars="();<>|&")
    lexer.whitespace_split = True
    if inline:
        lexer.commenters = ""
    words: list[str] = []
    piped = False
    for word in [*lexer, ";"]:
        if word in _SEPARATORS:
            if words:
                yield ShellCommand(page, line, tuple(words), said, inline, piped or word in "||")
            words, piped = [], word == "|"
        elif set(word) <= set("<>&") or (not words and re.match(r"[A-Z_]+=", word)):
            piped = True
        else:
            words.append(word)


def headings(page: Path) -> Iterator[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    seen: dict[str, int] = {}
    for _, line in prose(page):
        if found := _HEADING.match(line):
            text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", found[2])
            anchor = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
            count = seen.get(anchor, 0)
            seen[anchor] = count + 1
            yield f"{anchor}-{count}" if count else anchor


def links(page: Path) -> Iterator[tuple[int, str]]:
    """The targets of a page's links and pictures, with the lines they stand in."""
    for number, line in prose(page):
        for link, picture in _LINK.findall(_CODE.sub("", line)):
            yield number, link or picture


def table_rows(text: str) -> Iterator[Sequence[str]]:
    """The cells of every row of the Markdown tables in ``text``, without the lines that only draw them."""
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.strip().startswith("|") and not set("".join(cells)) <= set(":- "):
            yield cells
