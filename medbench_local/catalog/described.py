"""A YAML file that says how to read a data set of the hub, or files of one's own, as a task."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import Field, StrictStr, field_validator, model_validator

from medbench_local.catalog.load import StrictModel, read_yaml

DATA_FILES = (".parquet", ".jsonl", ".ndjson", ".json", ".csv", ".tsv")
"""Endings of files that a data set's questions are read from; of those that are text, with ".gz" after them, too."""

Text = Annotated[StrictStr, Field(min_length=1)]
Texts = Annotated[tuple[Text, ...], Field(min_length=1)]


class Columns(StrictModel):
    """Which columns, or fields, are what; those that are not named are found by their names."""

    question: Text | None = None
    options: Text | Texts | None = None
    answer: Text | Texts | None = None
    id: Text | None = None
    subject: Text | None = None
    passage: Text | None = None
    images: Text | None = None

    def named(self) -> dict[str, tuple[str, ...]]:
        """The names by role."""
        given = self.model_dump(exclude_none=True)
        return {role: (names,) if isinstance(names, str) else tuple(names) for role, names in given.items()}


class SplitSources(StrictModel):
    """For each split the names of files, with "*" for anything in them, or the name of a split on the hub.

    Splits that name the same are divided among each other.
    """

    demonstrations: Text | Texts
    validation: Text | Texts
    test: Text | Texts

    @field_validator("demonstrations", "validation", "test")
    @classmethod
    def _inside(cls, given: str | tuple[str, ...]) -> str | tuple[str, ...]:
        return _all_inside(given)


class Description(StrictModel):
    """The whole of the file.

    Attributes:
        repository: "owner/name" or "owner/name@revision" of a data set on the hub.
        path: a folder on this machine instead, relative to the description's own; without either it is that.
        config: which of a data set's configurations the splits' names belong to.
        files: all of the questions, which are split here; or
        splits: the files of each split.
        columns: which are what.
        answers: how they are written, where the rows do not show it.
        encoding: of CSV that is neither UTF-8 nor Windows-1252.
        pictures: folders, and folders in zip archives ("images.zip!images"), in which the pictures lie that rows name.
        defects: what becomes of rows that are not what they should be.
    """

    repository: Text | None = None
    path: Text | None = None
    config: Text | None = None
    files: Text | Texts | None = None
    splits: SplitSources | None = None
    columns: Columns = Columns()
    answers: Literal["letters", "from 0", "from 1", "texts"] | None = None
    encoding: Text | None = None
    pictures: Text | Texts = ()
    defects: Literal["refuse", "leave out"] = "refuse"

    @field_validator("repository")
    @classmethod
    def _is_named(cls, given: str | None) -> str | None:
        if given is None:
            return None
        part = r"[A-Za-z0-9][\w.-]*"
        if not re.fullmatch(rf"{part}/{part}(@[\w./-]+)?", given, re.ASCII) or ".." in given:
            raise ValueError("expected owner/name or owner/name@revision")
        return given

    @field_validator("files", "pictures")
    @classmethod
    def _inside(cls, given: str | tuple[str, ...] | None) -> str | tuple[str, ...] | None:
        return None if given is None else _all_inside(given)

    @model_validator(mode="after")
    def _one_of_each(self) -> Description:
        if self.repository is not None and self.path is not None:
            raise ValueError("give 'repository' or 'path', not both")
        if (self.files is None) == (self.splits is None):
            raise ValueError("give 'files', which are split here, or 'splits'")
        return self

    @property
    def source(self) -> tuple[str, str] | None:
        """Repository and revision, or None."""
        if self.repository is None:
            return None
        name, _, revision = self.repository.partition("@")
        return name, revision or "main"

    @property
    def picture_places(self) -> tuple[str, ...]:
        """The places of pictures."""
        return (self.pictures,) if isinstance(self.pictures, str) else self.pictures


def read_description(path: Path) -> Description:
    """Read a description.

    Raises:
        InputError: with the line and the key.
    """
    return read_yaml(path, Description)


def _all_inside(given: str | tuple[str, ...]) -> str | tuple[str, ...]:
    """Names of files that stay in their folder.

    Raises:
        ValueError: one leads out of it.
    """
    for name in (given,) if isinstance(given, str) else given:
        path = PurePosixPath(name)
        if path.is_absolute() or {".."} & {*path.parts} or set(name) & set("\\:\0"):
            raise ValueError(f"{name!r} leads out of the folder; write it with / and relative to that")
    return given
