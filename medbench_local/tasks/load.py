"""Task names into tasks: the questions of each split, and what differs from the official data."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from medbench_local.catalog.task import DESCRIPTIONS, EMBEDDED, is_own, is_table, task_entry, task_names
from medbench_local.errors import InputError, UsageError
from medbench_local.files.rows import SourceFile, plain
from medbench_local.files.streams import open_file, refuse_special
from medbench_local.paths import user_path
from medbench_local.progress import Progress, Silent
from medbench_local.settings import read_settings
from medbench_local.tasks.described import in_description, in_table
from medbench_local.tasks.locations import DataLocation, in_data_dir, in_folder, on_the_hub
from medbench_local.tasks.question import SPLITS, Question, Split, SplitName, Task
from medbench_local.tasks.reading import read_splits
from medbench_local.tasks.repeats import repeats
from medbench_local.tasks.tables.naming import table_name

LONGEST_NAME = 80
"""Characters of a task's name: run folders and sample files are named after it."""


@dataclass(frozen=True)
class LocatedTask:
    """A task whose questions have not been read.

    Attributes:
        id, title: as of the `Task`.
        options: how many each question must have; None if 2 to 26 will do.
        sizes: official sizes of the splits, where there are any.
        place: where its files lie.
        wanted: its splits, in the order of `SPLITS`.
    """

    id: str
    title: str
    options: int | None
    sizes: Mapping[SplitName, int]
    place: DataLocation
    wanted: tuple[SplitName, ...]

    def paths(self) -> list[list[Path]] | None:
        """The files of each of its splits, as `Split.files` lists them; None if pictures decide beside them.

        Raises:
            OSError: a file of one's own cannot be read.
        """
        names = [self.place.splits[split].files for split in self.wanted]
        paths = [list(dict.fromkeys(self.place.files[name].path for name in own)) for own in names]
        if self.place.pictures is None:
            return paths
        own = self.place.format == "own"
        return paths if own and not any(_names_images(path) for split in paths for path in split) else None

    def read(self, progress: Progress) -> Task:
        """Its questions.

        Raises:
            InputError: a file is missing or malformed.
        """
        return _read(self.id, self.title, self.options, self.sizes, self.place, self.wanted, progress)


def load_task(
    task_id: str,
    *,
    data_dir: Path | None,
    offline: bool = False,
    progress: Progress | None = None,
    splits: Sequence[SplitName] = SPLITS,
) -> Task:
    """Read a task: one of the catalog's, or a file or a folder with questions of one's own.

    A folder of one's own holds ``demonstrations.jsonl``, ``validation.jsonl`` and ``test.jsonl`` (see
    `medbench_local.tasks.readers.own`) and gives the task its name. A file is a table (see
    `medbench_local.tasks.tables`), whose questions are split here, or describes a data set (see
    `medbench_local.catalog.described`); the task is called as the file, without its ending.

    Args:
        task_id: a name of the catalog, a file, or a folder.
        data_dir: folder with the data sets' official files; None reads them from the hub. Embedded tasks and
            folders of one's own need neither.
        offline: use only what the hub's cache has.
        progress: hears of downloads and of the reading of files.
        splits: the splits that are wanted, at least one; the task has no others, and only their files are
            read or fetched.

    Raises:
        UsageError: there is no such task.
        InputError: a file is missing or malformed.
        AcquireError: the hub's files cannot be had.
    """
    listener = progress or Silent()
    return locate_task(task_id, data_dir=data_dir, offline=offline, progress=listener, splits=splits).read(
        listener
    )


def locate_task(
    task_id: str, *, data_dir: Path | None, offline: bool, progress: Progress, splits: Sequence[SplitName]
) -> LocatedTask:
    """Where the files of a task lie; those of the hub are fetched. Arguments and errors as of `load_task`."""
    wanted = tuple(name for name in SPLITS if name in splits)
    if not wanted:
        raise ValueError("load_task: no split is wanted")
    if is_table(task_id):
        path = user_path(task_id)
        refuse_special(path)
        if not path.is_file():
            raise InputError(path, "", "no such file")
        name = table_name(path)
        if path.suffix.lower() in DESCRIPTIONS:
            place = in_description(path, offline=offline, progress=progress)
        else:
            place = in_table(path)
        return LocatedTask(name, name, None, {}, place, wanted)
    if is_own(task_id):
        folder = user_path(task_id)
        if not folder.is_dir():
            raise UsageError(
                f"There is no folder {folder}.", advice="Name a task, or a file or folder of questions."
            )
        name = own_name(folder)
        return LocatedTask(name, name, None, {}, in_folder(folder, "local"), wanted)
    entry = task_entry(task_id)
    sizes = dict(zip(SPLITS, entry.sizes, strict=True)) if entry.sizes else {}
    if entry.source is None:
        place = in_folder(EMBEDDED / task_id, "embedded")
    elif data_dir is not None:
        place = in_data_dir(entry, entry.source, data_dir, wanted)
    else:
        place = on_the_hub(entry, entry.source, wanted, offline, progress)
    return LocatedTask(entry.id, entry.title, entry.options, sizes, place, wanted)


def _names_images(path: Path) -> bool:
    """Whether questions of one's own may have pictures; found without taking them apart."""
    with open_file(path) as stream:
        return any(b'"images"' in line for line in stream)


def own_name(folder: Path) -> str:
    """The name a folder gives its task.

    Raises:
        UsageError: its name cannot serve.
    """
    name = folder.resolve().name
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise UsageError(
            f"The folder's name {name!r} cannot name a task.",
            advice="Use letters, digits, dots, hyphens and underscores.",
        )
    if len(name) > LONGEST_NAME:
        raise UsageError(
            f"The folder's name has {len(name)} characters; a task's name has at most {LONGEST_NAME}.",
            advice="Rename the folder: files of a run are named after its tasks.",
        )
    if name in task_names():
        raise UsageError(f"The folder {folder} has the name of a known task.", advice="Rename the folder.")
    return name


def _read(
    id: str,
    title: str,
    options: int | None,
    sizes: Mapping[SplitName, int],
    place: DataLocation,
    wanted: Sequence[SplitName],
    progress: Progress,
) -> Task:
    """Read the wanted splits, and say what is odd about them."""
    with progress.step(f"reading {id}", total=None, unit="questions") as advance:
        read = read_splits(place, options, wanted, read_settings().home, progress, advance)
    splits: dict[SplitName, Split] = {}
    notes = [*read.warnings]
    for name, (found, files) in read.splits.items():
        last = place.files[place.splits[name].files[-1]]
        splits[name] = Split(_with_ids(found.questions, name, last), sizes.get(name), files)
        notes += [f"{name}: {note}" for note in found.notes]
    return Task(id, title, splits, tuple(_warnings(id, place, splits, notes)), read.notes)


def _with_ids(questions: Sequence[Question], split: SplitName, file: SourceFile) -> tuple[Question, ...]:
    """The questions with an id each: the data set's own, else the split and the row in it, from 0.

    Raises:
        InputError: there are no questions, or two have the same id.
    """
    if not questions:
        raise InputError(str(file), "", f"there are no {split} questions in it")
    seen: set[str] = set()
    result = []
    for row, question in enumerate(questions):
        named = question if question.id else replace(question, id=f"{split}-{row}")
        if named.id in seen:
            raise InputError(str(file), f"id '{plain(named.id)}'", "two questions have this id")
        seen.add(named.id)
        result.append(named)
    return tuple(result)


def _warnings(
    id: str, place: DataLocation, splits: Mapping[SplitName, Split], notes: Sequence[str]
) -> Iterable[str]:
    for note in (place.note, *notes):
        if note:
            yield f"{id}: {note}"
    for name, split in splits.items():
        count = len(split.questions)
        files = ", ".join(Path(file.path).name for file in split.files)
        official = place.splits[name].ids_sha256
        if split.expected is not None and count != split.expected:
            yield f"{id}: {name} has {count:,} questions, officially {split.expected:,} ({files})."
        elif official and official != _ids_sha256(split):
            yield f"{id}: {name} has as many questions as the official split, but not the same ({files})."
        blank = [q.id for q in split.questions if not q.text or not all(o.strip() for o in q.options)]
        if blank:
            yield f"{id}: {name} has {len(blank):,} questions with an empty text or option, first {plain(blank[0])}."
        odd = [q.contradiction for q in split.questions if q.contradiction]
        if odd:
            rows = "1 row names" if len(odd) == 1 else f"{len(odd):,} rows name"
            yield f"{id}: {name}: {rows} two different answers, of which `answer` is taken; first {odd[0]}."
    for sentence in repeats({name: split.questions for name, split in splits.items()}):
        yield f"{id}: {sentence}"


def _ids_sha256(split: Split) -> str:
    return hashlib.sha256("\n".join(question.id for question in split.questions).encode()).hexdigest()
