"""A file of questions of one's own becomes the folder of a task, and is told what it can find."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from medbench_local.catalog.protocol import load_protocol
from medbench_local.catalog.task import DESCRIPTIONS
from medbench_local.errors import InputError, UsageError
from medbench_local.files.atomic import whole_file, write_lines
from medbench_local.files.streams import refuse_special
from medbench_local.paths import user_path
from medbench_local.progress import Progress
from medbench_local.prompts.template import letter
from medbench_local.settings import read_settings
from medbench_local.study.detectable import detectable_beforehand
from medbench_local.tasks.album import Album
from medbench_local.tasks.described import in_description, in_table
from medbench_local.tasks.load import own_name
from medbench_local.tasks.locations import DataLocation
from medbench_local.tasks.picture import Picture
from medbench_local.tasks.question import SPLITS, Question, SplitName
from medbench_local.tasks.repeats import repeats
from medbench_local.tasks.tables.naming import table_name
from medbench_local.tasks.tables.reading import HowToRead, TablesRead, read_tables


@dataclass(frozen=True)
class ImportedQuestions:
    """A task that was made of a file.

    Attributes:
        task: its folder, which `compare` takes as a task.
        source: the file.
        sizes: how many questions each split has.
        notes: how the file was read, one sentence each.
        warnings: what somebody should look at.
        detectable: which differences so many test questions can show.
        example: the first test question.
    """

    task: Path
    source: Path
    sizes: dict[SplitName, int]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    detectable: str
    example: Question

    def __str__(self) -> str:
        question = self.example
        options = [
            f"{'*' if place == question.answer else ' '} {letter(place)}. {text}"
            for place, text in enumerate(question.options)
        ]
        return "\n".join(
            (
                *self.notes,
                *(f"Warning: {warning}" for warning in self.warnings),
                f"The first test question ({question.id}):",
                question.text,
                *options,
                self.detectable,
                f"The task is {self.task}.",
            )
        )


def import_file(
    source: str | Path,
    output: Path | None,
    how: HowToRead,
    *,
    offline: bool,
    force: bool,
    progress: Progress,
) -> ImportedQuestions:
    """Make a task's folder of a file. Arguments and errors as of `medbench_local.api.import_questions`."""
    path = user_path(source)
    refuse_special(path)
    if not path.is_file():
        raise InputError(path, "", "no such file")
    folder = path.parent / table_name(path) if output is None else user_path(output)
    own_name(folder)
    files = {name: folder / f"{name}.jsonl" for name in SPLITS}
    there = [file for file in files.values() if file.exists()]
    if path.resolve() in {file.resolve() for file in there}:
        raise UsageError(f"{path} is read, and would be replaced.", advice="Name another folder.")
    if there and not force:
        raise UsageError(
            f"There are questions in {folder} already.", advice="Name another folder, or `force=True`."
        )
    place = _located(path, how, offline, progress)
    read = _read(place, progress)
    questions = {name: tuple(one.question for one in split) for name, split in read.splits.items()}
    pictures = [p for split in questions.values() for question in split for p in question.pictures]
    _copy_pictures(folder, pictures)
    for name, file in files.items():
        rows = [json.dumps(one.row.fields, ensure_ascii=False) + "\n" for one in read.splits[name]]
        write_lines(file, rows)
    count = len(questions["test"])
    confidence = load_protocol("laptop").bootstrap.confidence
    detectable = detectable_beforehand({folder.resolve().name: count}, confidence=confidence)
    return ImportedQuestions(
        folder,
        path,
        {name: len(split) for name, split in questions.items()},
        read.notes,
        (*read.warnings, *repeats({name: questions[name] for name in SPLITS}, within=False)),
        detectable,
        questions["test"][0],
    )


def _located(path: Path, how: HowToRead, offline: bool, progress: Progress) -> DataLocation:
    """Where the files lie, and how they are to be read."""
    if path.suffix.lower() in DESCRIPTIONS:
        if how != HowToRead():
            raise UsageError(
                f"{path} says itself how its data set is to be read.",
                advice="Write columns, answers or encoding into it.",
            )
        return in_description(path, offline=offline, progress=progress)
    place = in_table(path)
    assert place.tables is not None
    return replace(place, tables=replace(place.tables, how=how))


def _read(place: DataLocation, progress: Progress) -> TablesRead:
    assert place.tables is not None
    inside = not place.source.startswith("hub:")
    with Album(place.pictures or (), read_settings().home, progress, inside=inside) as album:
        return read_tables(place.tables, album)


def _copy_pictures(folder: Path, pictures: Sequence[Picture]) -> None:
    for picture in {picture.name: picture for picture in pictures}.values():
        target = folder / picture.name
        if target.exists() and target.samefile(picture.path):
            continue
        with whole_file(target, nbytes=picture.path.stat().st_size) as temporary:
            shutil.copyfile(picture.path, temporary)
