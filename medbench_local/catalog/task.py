"""The tasks known by name: the study's of text and about pictures, others, embedded ones; and where their files are."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StrictInt, StrictStr, model_validator

from medbench_local.catalog.load import DATA, StrictModel, read_built_in
from medbench_local.errors import UsageError
from medbench_local.paths import user_path

FILE = DATA / "tasks.yaml"
"""The catalog of tasks."""

EMBEDDED = Path(__file__).parent.parent / "demo" / "tasks"
"""One folder for each embedded task, named as the task."""

Format = Annotated[str, Field(pattern="^[a-z][a-z0-9_]*$")]
"""How a data set writes its questions: a module of `medbench_local.tasks.readers`."""
Part = Literal[
    "all",
    "four-fifths",
    "one-fifth",
    "pubmedqa-artificial",
    "pubmedqa-validation",
    "pubmedqa-train",
    "pubmedqa-dev",
    "pubmedqa-test",
    "all-closed",
    "vqa-rad-pool",
    "vqa-rad-validation",
    "vqa-rad-test",
    "pathvqa-validation",
    "pathvqa-test",
    "mmmu-validation",
    "mmmu-test",
]
"""Which questions of files belong to a split. Those from "all-closed" on are of data sets with pictures: their readers
know them, the others are in `medbench_local.tasks.parts`."""
Name = Annotated[StrictStr, Field(min_length=1)]
Size = Annotated[StrictInt, Field(ge=1)]


class SplitFiles(StrictModel):
    """The files of one split, read one after the other, and which of their questions belong to it.

    ``ids_sha256`` is the hash of the official ids, one a line, for splits worked out from the files' order.
    """

    files: Annotated[tuple[Name, ...], Field(min_length=1)]
    part: Part = "all"
    ids_sha256: Annotated[str, Field(pattern="^([0-9a-f]{64})?$")] = ""


class Layout(StrictModel):
    """One way in which the three splits may lie in files; ``note`` is a warning for whoever uses it.

    ``pictures`` are the folders, and the folders in archives, that pictures are looked up in by their names, in order.
    """

    demonstrations: SplitFiles
    validation: SplitFiles
    test: SplitFiles
    pictures: tuple[Name, ...] = ()
    note: str = ""


class HubLayout(Layout):
    """A layout in a data set repository of the hub, at a revision."""

    repository: Name
    revision: Name


class Source(StrictModel):
    """A data set: its format, licence, how to obtain its files, and their layouts, best first.

    ``images``: its questions are about pictures.
    """

    format: Format
    licence: Name
    obtain: Name
    images: bool = False
    hub: tuple[HubLayout, ...] = ()
    local: tuple[Layout, ...] = ()


class TypicalLength(StrictModel):
    """Mean characters of a question's text and of one of its options, in demonstrations, validation and test."""

    question: tuple[Size, Size, Size]
    option: tuple[Size, Size, Size]


class TaskRow(StrictModel):
    """What the file says of one task; ``sizes`` are demonstrations, validation, test.

    ``options`` is missing where questions have different numbers of them. ``study`` is the study that asked its
    questions; a task of none is compared on only if it is named. ``characters`` is measured on the official files (of
    large pools on a part of them), for plans that are made where the questions are not.
    """

    title: Name
    study: Literal["emnlp2024"] | None = None
    source: Name
    config: str = ""
    options: Annotated[StrictInt, Field(ge=2, le=26)] | None = None
    sizes: tuple[Size, Size, Size]
    characters: TypicalLength | None = None


class TaskFile(StrictModel):
    """The whole of tasks.yaml."""

    sources: dict[Name, Source]
    tasks: dict[Name, TaskRow]

    @model_validator(mode="after")
    def _sources_exist(self) -> TaskFile:
        for name, row in self.tasks.items():
            if row.source not in self.sources:
                raise ValueError(f"task {name} names the source {row.source}, which is not among the sources")
        return self


class TaskEntry(StrictModel):
    """A task the tool knows by name.

    Attributes:
        id: "medqa", "mmlu-anatomy", "demo-...".
        title: for people.
        options: options of every question; None if they may differ.
        sizes: official number of demonstrations, validation and test questions; None if there is none.
        source: the files; None for embedded tasks.
        config: what ``{config}`` in the source's paths stands for.
        characters: how long its questions are; None where nobody measured it.
    """

    id: str
    title: str
    options: int | None
    sizes: tuple[int, int, int] | None
    source: Source | None
    config: str = ""
    characters: TypicalLength | None = None

    @property
    def embedded(self) -> bool:
        """Whether its questions come with the package."""
        return self.source is None

    @property
    def images(self) -> bool:
        """Whether its questions are about pictures."""
        return self.source is not None and self.source.images

    @property
    def licence(self) -> str:
        """The data set's licence."""
        return self.source.licence if self.source else "Apache-2.0"


@cache
def study_tasks() -> tuple[str, ...]:
    """The ids of the study's thirteen tasks of text: what ``tasks=["all"]`` stands for."""
    return tuple(
        name
        for name, row in _catalog().tasks.items()
        if row.study == "emnlp2024" and not _catalog().sources[row.source].images
    )


@cache
def visual_tasks() -> tuple[str, ...]:
    """The ids of the tasks about pictures, all of them the study's: what ``tasks=["visual"]`` stands for."""
    return tuple(name for name, row in _catalog().tasks.items() if _catalog().sources[row.source].images)


def demo_tasks() -> tuple[str, ...]:
    """The ids of the embedded tasks: what the embedded pair is compared on unless told otherwise."""
    return tuple(sorted(folder.parent.name for folder in EMBEDDED.glob("demo-*/test.jsonl")))


def task_names() -> tuple[str, ...]:
    """Every task id: the study's of text, those about pictures and of no study, the embedded ones."""
    others = tuple(name for name in _catalog().tasks if name not in study_tasks())
    return study_tasks() + others + demo_tasks()


def task_entry(task_id: str) -> TaskEntry:
    """What the catalog knows of a task.

    Raises:
        UsageError: there is no such task; the error suggests the nearest names.
    """
    row = _catalog().tasks.get(task_id)
    if row:
        source = _catalog().sources[row.source]
        return TaskEntry(
            id=task_id,
            title=row.title,
            options=row.options,
            sizes=row.sizes,
            source=source,
            config=row.config,
            characters=row.characters,
        )
    if task_id in demo_tasks():
        title = f"Made-up {task_id.removeprefix('demo-').replace('-', ' ')}"
        return TaskEntry(id=task_id, title=title, options=None, sizes=None, source=None)
    raise UsageError(f"There is no task {task_id!r}.", advice=_advice(task_id))


def expand_tasks(names: Iterable[str]) -> tuple[str, ...]:
    """Task ids and groups as given on the command line, as task ids, each once, in the order given.

    Groups are ``all`` (the study's thirteen of text), ``mmlu`` (its nine), ``visual`` (the study's eight about
    pictures), ``mmmu`` (five of these) and ``demo`` (the embedded ones). A folder of the user's own (a name with a
    path separator, or an existing folder) and a file with questions are passed on as they are.

    Raises:
        UsageError: nothing is named, or a name is not known.
    """
    groups = task_groups()
    found: dict[str, None] = {}
    for name in (name.strip() for name in names):
        if name in groups:
            found.update(dict.fromkeys(groups[name]))
        elif name in task_names() or is_own(name):
            found[name] = None
        elif name:
            raise UsageError(f"There is no task {name!r}.", advice=_advice(name))
    if not found:
        raise UsageError("No task is named.", advice=f"{_known()}.")
    return tuple(found)


def names_apart(text: str) -> tuple[str, ...]:
    """Names of tasks that one text holds, between commas; one in the name of a file or folder that is there is no end.

    Names without anything in them are left out.
    """
    parts = text.split(",")
    found: list[str] = []
    while parts:
        together = (",".join(parts[:count]).strip() for count in range(len(parts), 1, -1))
        name = next((name for name in together if _is_there(name)), parts[0].strip())
        del parts[: name.count(",") + 1]
        found += [name] if name else []
    return tuple(found)


QUESTION_FILES = (".csv", ".tsv", ".xlsx", ".xlsm", ".jsonl", ".ndjson", ".json", ".parquet")
"""Endings of files that questions of one's own are read from; of those that are text, with ".gz" after them, too."""

OTHER_FILES = {
    ".xls": "old Excel files",
    ".xlsb": "binary Excel files",
    ".ods": "OpenDocument files",
    ".odt": "OpenDocument files",
    ".numbers": "Numbers files",
    ".doc": "Word files",
    ".docx": "Word files",
    ".pdf": "PDF files",
}
"""Endings of files that people keep questions in and that are not read, and what they are."""

DESCRIPTIONS = (".yaml", ".yml")
"""Endings of files that say how to read a data set; see `medbench_local.catalog.described`."""


def is_own(name: str) -> bool:
    """Whether a task's name means a folder or a file of the user's own rather than a task of the catalog."""
    if not name or name in task_names():
        return False
    return "/" in name or "\\" in name or is_table(name) or Path(name).is_dir()


def is_table(name: str) -> bool:
    """Whether a task's name means a file of questions, or one that describes a data set: by its ending, unless it is a
    folder."""
    ending = Path(name.removesuffix(".gz")).suffix.lower()
    known = {*QUESTION_FILES, *OTHER_FILES, *DESCRIPTIONS}
    return name not in task_names() and ending in known and not user_path(name).is_dir()


def _is_there(name: str) -> bool:
    try:
        return user_path(name).exists()
    except OSError:  # longer than any name
        return False


@cache
def _catalog() -> TaskFile:
    return read_built_in(FILE, TaskFile)


def _advice(name: str) -> str:
    known = (*task_names(), *task_groups())
    near = difflib.get_close_matches(name.lower().replace("_", "-"), known, n=3)
    if near:
        return f"Did you mean {' or '.join(near)}?"
    return f"{_known()}; or give a file or a folder with your own questions."


def _known() -> str:
    return f"Known are {', '.join(task_names())}, and the groups {', '.join(task_groups())}"


def task_groups() -> dict[str, tuple[str, ...]]:
    """Names that stand for several tasks, and these."""
    return {
        "all": study_tasks(),
        "mmlu": tuple(name for name in study_tasks() if name.startswith("mmlu-")),
        "visual": visual_tasks(),
        "mmmu": tuple(name for name in visual_tasks() if name.startswith("mmmu-")),
        "demo": demo_tasks(),
    }
