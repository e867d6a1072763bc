"""A file of questions of one's own becomes the folder of a task, and is told what it can find."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from medbench_local.catalog.protocol import load_protocol
from medbench_local.errors import InputError, QuestionsError, UsageError
from medbench_local.files.atomic import whole_file, write_lines
from medbench_local.files.rows import Row, SourceFile
from medbench_local.paths import user_path
from medbench_local.progress import Progress
from medbench_local.settings import read_settings
from medbench_local.study.detectable import detectable_beforehand
from medbench_local.tasks.album import Album
from medbench_local.tasks.load import own_name
from medbench_local.tasks.question import SPLITS, Question, SplitName
from medbench_local.tasks.readers.own import question_in
from medbench_local.tasks.repeats import repeats
from medbench_local.tasks.tables.naming import table_name
from medbench_local.tasks.tables.reading import HowToRead, TableRead, read_table


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
        letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
        question = self.example
        options = [
            f"{'*' if place == question.answer else ' '} {letters[place]}. {text}"
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
    source: str | Path, output: Path | None, how: HowToRead, *, force: bool, progress: Progress
) -> ImportedQuestions:
    """Make a task's folder of a file. Arguments and errors as of `medbench_local.api.import_questions`."""
    path = user_path(source)
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
    read = read_table(SourceFile(path), how)
    questions = _checked(path, read, progress)
    for name, file in files.items():
        write_lines(file, [json.dumps(row.fields, ensure_ascii=False) + "\n" for row in read.splits[name]])
    if path.parent.resolve() != folder.resolve():
        _copy_pictures(folder, [question for split in questions.values() for question in split])
    count = len(questions["test"])
    confidence = load_protocol("laptop").bootstrap.confidence
    (detectable,) = detectable_beforehand({folder.resolve().name: count}, confidence=confidence)
    return ImportedQuestions(
        folder,
        path,
        {name: len(split) for name, split in questions.items()},
        read.notes,
        (*read.warnings, *repeats(questions)),
        detectable,
        questions["test"][0],
    )


def _checked(path: Path, read: TableRead, progress: Progress) -> dict[SplitName, tuple[Question, ...]]:
    """The questions as they will be asked; all that are refused are said."""
    file = SourceFile(path)
    defects: list[str] = []
    found: dict[SplitName, list[Question]] = {name: [] for name in SPLITS}
    with Album((SourceFile(path.parent),), read_settings().home, progress) as album:
        for name, rows in read.splits.items():
            for row in rows:
                try:
                    found[name].append(question_in(Row(file, row.where, row.fields), None, album))
                except InputError as error:
                    defects.append(f"{error.where}: {error.problem}")
        if defects:
            raise QuestionsError.of(path, defects)
        album.check(
            picture for split in found.values() for question in split for picture in question.pictures
        )
        album.refuse_defects("Names of pictures are relative to the folder of the file with the questions.")
    return {name: tuple(split) for name, split in found.items()}


def _copy_pictures(folder: Path, questions: Sequence[Question]) -> None:
    for picture in {
        picture.name: picture for question in questions for picture in question.pictures
    }.values():
        with whole_file(folder / picture.name, nbytes=picture.path.stat().st_size) as temporary:
            shutil.copyfile(picture.path, temporary)
