"""Files of questions as rows: where each row is, and its fields, checked for type as they are taken out."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from medbench_local.errors import InputError
from medbench_local.files.limits import MAX_KEYS, MAX_TEXT


@dataclass(frozen=True)
class SourceFile:
    """A file of questions, or one member of a zip archive of them.

    Attributes:
        path: the file or archive on this machine.
        member: name inside the archive, or "".
        pipe: whether it may be a pipe, which is read once and waited for.
    """

    path: Path
    member: str = ""
    pipe: bool = False

    def __str__(self) -> str:
        return f"{self.path}!{self.member}" if self.member else str(self.path)

    @property
    def kind(self) -> str:
        """The ending that tells the format, without a ".gz" after it: ".csv", ".jsonl", ".parquet"."""
        name = self.member or self.path.name
        return Path(name.removesuffix(".gz")).suffix.lower()


@dataclass(frozen=True)
class Row:
    """One record of a file.

    Attributes:
        file: what it was read from.
        where: its place in there: "line 12", "row 3", "key '21645374'".
        fields: name to value, as the file has them.
        key: the key it stands under, for files that are one big mapping.
    """

    file: SourceFile
    where: str
    fields: Mapping[str, object] = field(repr=False)
    key: str = ""

    def error(self, problem: str, *, name: str = "") -> InputError:
        """An error at this row, or at one of its fields."""
        return InputError(str(self.file), f"{self.where}, key '{name}'" if name else self.where, problem)

    def value(self, name: str) -> object:
        """A field that must be there.

        Raises:
            InputError: it is not.
        """
        if name not in self.fields:
            raise self.error(f"this key is required; the row has {listed(self.fields)}", name=name)
        return self.fields[name]

    def text(self, name: str) -> str:
        """A field that must be text a model can read; see `readable`."""
        return self.readable(self.value(name), name)

    def optional_text(self, name: str) -> str:
        """A field that may be absent, or null as programs that write tables have it: ""; else as `text`."""
        return "" if self.fields.get(name) is None else self.text(name)

    def texts(self, name: str) -> tuple[str, ...]:
        """A field that must be a list of texts."""
        return self.readables(self.value(name), name)

    def integer(self, name: str, low: int, high: int) -> int:
        """A field that must be an integer from ``low`` to ``high``."""
        value = self.value(name)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.error(f"expected an integer from {low} to {high}, found {_shown(value)}", name=name)
        if not low <= value <= high:
            raise self.error(f"expected {low} to {high}, found {value}", name=name)
        return value

    def readable(self, value: object, name: str) -> str:
        """``value`` as text: not endless, no NUL character, which would end it early, and nothing UTF-8 cannot hold.

        Raises:
            InputError: it is not such a text.
        """
        if not isinstance(value, str):
            raise self.error(f"expected text, found {_shown(value)}", name=name)
        if len(value) > MAX_TEXT:
            raise self.error(f"a text of {len(value):,} characters; at most {MAX_TEXT:,} are read", name=name)
        if "\0" in value:
            raise self.error("the text holds a NUL character", name=name)
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as error:
            raise self.error("the text holds half of a surrogate pair", name=name) from error
        return value

    def readables(self, value: object, name: str) -> tuple[str, ...]:
        """``value`` as a tuple of texts."""
        if not isinstance(value, list):
            raise self.error(f"expected a list of texts, found {_shown(value)}", name=name)
        if len(value) > MAX_KEYS:
            raise self.error(f"{len(value):,} texts; at most {MAX_KEYS:,} are read", name=name)
        return tuple(self.readable(item, name) for item in value)


def plain(name: str, limit: int = 60) -> str:
    """A text from a file as part of an error message: one line, nothing a terminal obeys, not too long."""
    text = name if name.isprintable() else repr(name)[1:-1]
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def listed(names: Iterable[str]) -> str:
    """The first names of a file's row or table, for an error message."""
    return ", ".join(plain(str(name)) for name in itertools.islice(names, 12)) or "nothing"


def _shown(value: object) -> str:
    """``value`` for an error message: JSON's word for its type, and the value if it is short."""
    if value is None:
        return "null"
    kinds = {bool: "the truth value", int: "the number", float: "the number", str: "the text"}
    kind = kinds.get(type(value))
    if kind:
        text = repr(value)
        return f"{kind} {text if len(text) <= 60 else text[:57] + '...'}"
    return (
        "a list"
        if isinstance(value, list)
        else "a mapping"
        if isinstance(value, dict)
        else type(value).__name__
    )
