"""Cells that hold several things: lists of options and names of pictures."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping, Sequence
from string import ascii_lowercase

from medbench_local.tasks.labels import Options, bare, labelled, letter
from medbench_local.tasks.question import MAX_OPTIONS
from medbench_local.tasks.tables.table import text_of

_PICTURE = re.compile(r".+\.[A-Za-z]{3,4}")


class BadCell(Exception):
    """A cell is not what its column should hold; the text says why."""


def options_apart(cells: Sequence[object]) -> list[str]:
    """Options that stand in a column each; the last columns may be empty.

    Raises:
        BadCell: one is empty and a later one is not.
    """
    texts = [text_of(cell) for cell in cells]
    while texts and not texts[-1]:
        texts.pop()
    for place, text in enumerate(texts):
        if not text:
            raise BadCell(f"option {ascii_lowercase[place].upper()} is empty, but a later one is not")
    return texts


def options_listed(cell: object) -> tuple[list[str], tuple[str, ...] | None]:
    """The options in one cell, and what they are called where it says so.

    A list or a mapping, or a text that is one as JSON or Python writes it, or has one option a line, between bars or
    between semicolons, or behind its letter or number: "A) yes B) no".

    Raises:
        BadCell: it is none of these.
    """
    value = _parsed(cell) if isinstance(cell, str) else cell
    if isinstance(value, Mapping) and {*value} >= {"text", "label"}:
        texts, labels = value["text"], value["label"]
        if not isinstance(texts, list) or not isinstance(labels, list) or len(texts) != len(labels):
            raise BadCell("expected as many labels as texts")
        value = dict(zip(map(text_of, labels), texts, strict=True))
    if isinstance(value, Mapping):
        texts = options_apart(_texts(list(value.values())))
        return texts, tuple(bare(str(key)).casefold() for key in [*value][: len(texts)])
    if isinstance(value, list | tuple):
        if value and all(isinstance(item, Mapping) and "text" in item for item in value):
            keys = tuple(bare(text_of(item.get("label", item.get("key", "")))).casefold() for item in value)
            return _texts([item["text"] for item in value]), keys if all(keys) else None
        return options_apart(_texts(value)), None
    raise BadCell('expected a list of options, such as ["yes", "no"], or one a line')


def without_labels(options: Sequence[str]) -> list[str] | None:
    """Options written "A. aspirin", "B. heparin" without their letters; None if not all are."""
    pairs = [labelled(text) for text in options]
    if all(pair and letter(pair[0]) == place for place, pair in enumerate(pairs)):
        return [pair[1] for pair in pairs if pair]
    return None


def as_options(texts: Sequence[str], labels: tuple[str, ...] | None) -> Options:
    """Options as answers are looked up in them.

    Raises:
        BadCell: their number does not do, one is empty, or two are the same.
    """
    if not 2 <= len(texts) <= MAX_OPTIONS:
        raise BadCell(f"expected 2 to {MAX_OPTIONS} options, found {len(texts)}")
    letters = ascii_lowercase.upper()
    for place, text in enumerate(texts):
        if not text:
            raise BadCell(f"option {letters[place]} is empty")
        if text in texts[:place]:
            raise BadCell(
                f"options {letters[texts.index(text)]} and {letters[place]} are the same: {text[:40]!r}"
            )
    if labels is not None and len({*labels}) < len(labels):
        raise BadCell("two options are called the same")
    return Options(labels or tuple(ascii_lowercase[: len(texts)]), tuple(texts))


def picture_names(cell: object) -> list[str]:
    """The names of files in a cell: a list, or a text with semicolons, bars, line breaks or commas between them."""
    value = _parsed(cell, plain_text=True) if isinstance(cell, str) else cell
    if isinstance(value, list | tuple):
        return [name for item in value if (name := text_of(item))]
    text = text_of(value)
    parts = [part.strip() for part in re.split(r"[;|\n]", text)]
    if len(parts) == 1:
        by_commas = [part.strip() for part in text.split(",")]
        if len(by_commas) > 1 and all(_PICTURE.fullmatch(part) for part in by_commas):
            parts = by_commas
    return [part for part in parts if part]


def _parsed(cell: str, *, plain_text: bool = False) -> object:
    text = cell.strip()
    if text[:1] in ("[", "{", "("):
        for parse in (json.loads, ast.literal_eval):
            try:
                return parse(text)
            except (ValueError, SyntaxError, RecursionError, MemoryError):
                continue
    if plain_text:
        return text
    if (apart := _behind_labels(text)) is not None:
        return apart
    for separator in ("\n", "|", ";"):
        parts = [part.strip() for part in text.split(separator)]
        if len(parts) > 1:
            return [part for part in parts if part]
    return text


def _behind_labels(text: str) -> dict[str, str] | None:
    """The options of "A) yes; B) no" by their labels; None if it does not begin with the first of them."""
    for labels in (ascii_lowercase, [str(number) for number in range(1, MAX_OPTIONS + 1)]):
        found: list[re.Match[str]] = []
        for label in labels:
            before = re.compile(rf"(?:^|(?<=[\s;,|/]))\(?{label}[).:](?=\s)", re.IGNORECASE)
            match = before.search(text, found[-1].end()) if found else before.match(text)
            if match is None:
                break
            found.append(match)
        if len(found) > 1:
            ends = [*(match.start() for match in found[1:]), len(text)]
            texts = [text[m.end() : end].strip(" \t\n\r;,|/") for m, end in zip(found, ends, strict=True)]
            return dict(zip(labels, texts, strict=False))
    return None


def _texts(items: Sequence[object]) -> list[str]:
    for item in items:
        if isinstance(item, Mapping | list):
            raise BadCell("expected texts as options")
    return [text_of(item) for item in items]
