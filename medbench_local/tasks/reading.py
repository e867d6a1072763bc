"""A task's files into the questions of its splits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path

from medbench_local.catalog.task import Format, SplitFiles
from medbench_local.errors import InputError, QuestionsError
from medbench_local.files.hashes import file_sha256, hash_file
from medbench_local.files.rows import SourceFile
from medbench_local.progress import Progress, Silent
from medbench_local.tasks.album import Album
from medbench_local.tasks.locations import DataLocation
from medbench_local.tasks.parts import PARTS
from medbench_local.tasks.question import DataFile, Question, SplitName, SplitRead
from medbench_local.tasks.tables.reading import Tables, TablesRead, read_tables
from medbench_local.tasks.tables.table import Unclear, call_to_import

Reader = Callable[..., Iterable[Question]]
"""The questions of a file; the number of options, if it is known, is that of every question. Where questions may have
pictures it is called with an `Album`, too."""

PartReader = Callable[[Sequence[SourceFile], str, int | None, Album], SplitRead]
"""The questions of a part of several files, of data sets with pictures: their parts are made of rows that are no
questions yet."""


def reader_of(format: Format) -> Reader:
    """What reads a file of a format: the function ``read`` of the module of that name."""
    reader: Reader = import_module(f"medbench_local.tasks.readers.{format}").read
    return reader


def part_reader_of(format: Format) -> PartReader | None:
    """What reads parts of a format: the function ``read_part`` of the module of that name; None if it has none."""
    module = import_module(f"medbench_local.tasks.readers.{format}")
    reader: PartReader | None = getattr(module, "read_part", None)
    return reader


@dataclass(frozen=True)
class SplitsRead:
    """The questions of several splits.

    Attributes:
        splits: those of each, and the files that they come from.
        notes: how they were read, where that was found out, one sentence each.
        warnings: what is odd about all of them.
    """

    splits: dict[SplitName, tuple[SplitRead, tuple[DataFile, ...]]]
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def read_splits(
    place: DataLocation,
    options: int | None,
    wanted: Sequence[SplitName],
    home: Path,
    progress: Progress,
    advance: Callable[[int], object],
) -> SplitsRead:
    """The questions of the wanted splits, and the files that they come from.

    Args:
        place: where these lie.
        options: how many each question must have, if that is known.
        wanted: at least one.
        home: the tool's, for pictures that are no files of their own and for hashes.
        progress: hears of large files.
        advance: hears how many questions were read.

    Raises:
        InputError: a file or a picture is missing or malformed.
    """
    found: dict[SplitName, tuple[SplitRead, tuple[DataFile, ...]]] = {}
    hashes: dict[Path, str] = {}
    tables: TablesRead | None = None
    # The hub's cache is made of links that lead out of its folders.
    inside = place.own and not place.source.startswith("hub:")
    with Album(place.pictures or (), home, progress, inside=inside) as album:
        if place.tables is not None:
            tables = _read_tables(place.tables, album)
        else:
            read = _reading(place, options, album)
        for name in wanted:
            if tables is not None:
                split = SplitRead([one.question for one in tables.splits[name]])
            else:
                split = read(place.splits[name])
            pictures = [picture for question in split.questions for picture in question.pictures]
            album.check(pictures)
            album.refuse_defects(place.obtain)
            advance(len(split.questions))
            paths = list(dict.fromkeys(place.files[key].path for key in place.splits[name].files))
            for path in paths:
                # Tables of pictures are large, and their hash is known from last time.
                if path not in hashes:
                    hashes[path] = (
                        hash_file(path, Silent()) if place.pictures is None else file_sha256(path, home)
                    )
            records = [(path, hashes[path]) for path in paths]
            records += album.used(pictures)
            found[name] = split, tuple(DataFile(str(path), sha256, place.source) for path, sha256 in records)
    if tables is None:
        return SplitsRead(found)
    others = tuple(f"warning: {warning}" for warning in tables.warnings if warning not in tables.reported)
    return SplitsRead(found, (*tables.notes, *others), tables.reported)


def _read_tables(tables: Tables, album: Album) -> TablesRead:
    """The questions of tables that are used without being imported; errors say how to say more of them."""
    try:
        return read_tables(tables, album)
    except Unclear as error:
        said = {name: value for name, value in error.settles.items() if name in ("columns", "answers")}
        if tables.described:
            advice = f"Say it in {tables.path.name}: {', '.join(f'`{name}:`' for name in said)}."
        else:
            call = call_to_import(tables.path, error.settles)
            advice = f"Say it once by {call}{error.instead}, then name the folder that it makes as the task."
        raise InputError(error.path, error.where, error.problem, advice=advice) from error
    except QuestionsError as error:
        if not tables.described:
            error.advice = f"{call_to_import(tables.path, {})} lists all of them."
        raise


def _reading(place: DataLocation, options: int | None, album: Album) -> Callable[[SplitFiles], SplitRead]:
    """What reads a split; a file that is whole questions is read once, whichever splits it has part in."""
    part_reader = part_reader_of(place.format)
    if part_reader is not None:
        return partial(_part, part_reader, place, options, album)
    reader = reader_of(place.format)
    if place.pictures is not None:
        reader = partial(reader, album=album)
    read: dict[str, list[Question]] = {}

    def split(plan: SplitFiles) -> SplitRead:
        for key in plan.files:
            if key not in read:
                read[key] = list(reader(place.files[key], options))
        return SplitRead(PARTS[plan.part]([question for key in plan.files for question in read[key]]))

    return split


def _part(
    reader: PartReader, place: DataLocation, options: int | None, album: Album, plan: SplitFiles
) -> SplitRead:
    return reader([place.files[key] for key in plan.files], plan.part, options, album)
