"""Task names into tasks: which files to read, what belongs to which split, and what differs from the official data."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from medbench_local.catalog.task import (
    EMBEDDED,
    Format,
    HubLayout,
    Layout,
    SplitFiles,
    TaskEntry,
    is_folder,
    task_entry,
    task_names,
)
from medbench_local.errors import AcquireError, InputError, UsageError
from medbench_local.progress import Progress, Silent
from medbench_local.tasks import medmcqa, medqa, mmlu, own, pubmedqa
from medbench_local.tasks.parts import PARTS
from medbench_local.tasks.question import SPLITS, DataFile, Question, Split, SplitName, Task
from medbench_local.tasks.rows import SourceFile

READERS: Mapping[Format, Callable[[SourceFile, int | None], Iterable[Question]]] = {
    "medqa": medqa.read,
    "medmcqa": medmcqa.read,
    "pubmedqa": pubmedqa.read,
    "mmlu": mmlu.read,
    "own": own.read,
}

OWN_FILES = {name: SplitFiles(files=(f"{name}.jsonl",)) for name in SPLITS}


@dataclass(frozen=True)
class _Place:
    """Where a task's files lie on this machine.

    Attributes:
        format: the reader.
        splits: which of the files' questions belong to each split.
        files: each name in ``splits`` to the file.
        source: "local", "embedded" or "hub:<repository>@<revision>".
        note: a warning for whoever uses this place, or "".
    """

    format: Format
    splits: Mapping[SplitName, SplitFiles]
    files: Mapping[str, SourceFile]
    source: str
    note: str = ""


def load_task(
    task_id: str,
    *,
    data_dir: Path | None,
    offline: bool = False,
    progress: Progress | None = None,
    splits: Collection[SplitName] = SPLITS,
) -> Task:
    """Read a task: one of the catalog's, or a folder with questions of one's own.

    A folder of one's own holds ``demonstrations.jsonl``, ``validation.jsonl`` and ``test.jsonl`` (see
    `medbench_local.tasks.own`) and gives the task its name.

    Args:
        task_id: a name of the catalog, or a folder.
        data_dir: folder with the data sets' official files; None reads them from the hub. Embedded tasks and
            folders of one's own need neither.
        offline: use only what the hub's cache has.
        progress: hears of downloads and of the reading of large files.
        splits: the splits that are wanted; the others are absent from the task and their files may be missing.

    Raises:
        UsageError: there is no such task.
        InputError: a file is missing or malformed.
        AcquireError: the hub's files cannot be had.
    """
    listener = progress or Silent()
    wanted = tuple(name for name in SPLITS if name in splits)
    if is_folder(task_id):
        folder = Path(task_id).expanduser()
        id, entry = _own_name(folder), None
        place = _in_folder(folder, "local")
    else:
        id, entry = task_id, task_entry(task_id)
        if entry.embedded:
            place = _in_folder(EMBEDDED / task_id, "embedded")
        elif data_dir is not None:
            place = _in_data_dir(entry, data_dir, wanted)
        else:
            place = _on_the_hub(entry, wanted, offline, listener)
    found = _read(id, place, wanted, entry, listener)
    return Task(
        id=id,
        title=entry.title if entry else id,
        splits=found,
        warnings=tuple(_warnings(id, place, found)),
    )


def _own_name(folder: Path) -> str:
    name = folder.resolve().name
    if not folder.is_dir():
        raise UsageError(
            f"There is no folder {folder}.", advice="Give a task's name or a folder of questions."
        )
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise UsageError(
            f"The folder's name {name!r} cannot name a task.",
            advice="Use letters, digits, dots, hyphens and underscores.",
        )
    if name in task_names():
        raise UsageError(f"The folder {folder} has the name of a known task.", advice="Rename the folder.")
    return name


def _in_folder(folder: Path, source: str) -> _Place:
    files = {f"{name}.jsonl": SourceFile(folder / f"{name}.jsonl") for name in SPLITS}
    return _Place("own", OWN_FILES, files, source)


def _in_data_dir(entry: TaskEntry, data_dir: Path, wanted: Sequence[SplitName]) -> _Place:
    """The first layout whose files are all there; failing that, one that has the wanted splits' files."""
    if not data_dir.is_dir():
        raise InputError(
            data_dir, "", "no such folder", advice="--data-dir names the folder of the data sets."
        )
    source = entry.source
    assert source is not None
    fewest: tuple[int, Path, SplitName] | None = None
    for splits in (SPLITS, wanted):
        for layout in source.local:
            files: dict[str, SourceFile] = {}
            missing: list[tuple[Path, SplitName]] = []
            for split in splits:
                for name in _names(layout, split, entry):
                    path = data_dir / name
                    present = next(
                        (p for p in (path, path.with_name(f"{path.name}.gz")) if p.is_file()), None
                    )
                    if present:
                        files[name] = SourceFile(present)
                    else:
                        missing.append((path, split))
            if not missing:
                return _Place(source.format, _splits(layout, entry), files, "local", layout.note)
            if fewest is None or len(missing) < fewest[0]:
                fewest = (len(missing), *missing[0])
    assert fewest is not None
    _, path, split = fewest
    raise InputError(
        path,
        "",
        f"no such file, nor the same with .gz; the {split} questions of {entry.id} are read from it",
        advice=f"{source.obtain} Without --data-dir the questions come from the hub.",
    )


def _on_the_hub(entry: TaskEntry, wanted: Sequence[SplitName], offline: bool, progress: Progress) -> _Place:
    """The first layout that can be had; if none can, the first one's error."""
    source = entry.source
    assert source is not None
    first: AcquireError | None = None
    for layout in source.hub:
        try:
            return _fetch(entry, source.format, layout, wanted, offline, progress)
        except AcquireError as error:
            first = first or error
    assert first is not None
    raise first


def _fetch(
    entry: TaskEntry,
    format: Format,
    layout: HubLayout,
    wanted: Sequence[SplitName],
    offline: bool,
    progress: Progress,
) -> _Place:
    from medbench_local.acquire.hub import fetch_dataset_files

    names = list(dict.fromkeys(name for split in wanted for name in _names(layout, split, entry)))
    stored = list(dict.fromkeys(name.partition("!")[0] for name in names))
    paths = fetch_dataset_files(
        layout.repository, layout.revision, stored, offline=offline, progress=progress
    )
    files = {name: SourceFile(paths[name.partition("!")[0]], name.partition("!")[2]) for name in names}
    revision = _commit(paths[stored[0]]) or layout.revision
    return _Place(format, _splits(layout, entry), files, f"hub:{layout.repository}@{revision}", layout.note)


def _commit(path: Path) -> str:
    """The commit that a file of the hub's cache belongs to: the folder's name under "snapshots"."""
    parts = path.parts
    return parts[parts.index("snapshots") + 1] if "snapshots" in parts[:-2] else ""


def _names(layout: Layout, split: SplitName, entry: TaskEntry) -> tuple[str, ...]:
    return _splits(layout, entry)[split].files


def _splits(layout: Layout, entry: TaskEntry) -> dict[SplitName, SplitFiles]:
    named: dict[SplitName, SplitFiles] = {
        "demonstrations": layout.demonstrations,
        "validation": layout.validation,
        "test": layout.test,
    }
    return {
        name: SplitFiles(
            files=tuple(file.replace("{config}", entry.config) for file in split.files), part=split.part
        )
        for name, split in named.items()
    }


def _read(
    id: str, place: _Place, wanted: Sequence[SplitName], entry: TaskEntry | None, progress: Progress
) -> dict[SplitName, Split]:
    read: dict[str, list[Question]] = {}
    hashed: dict[Path, DataFile] = {}
    sizes = dict(zip(SPLITS, entry.sizes, strict=True)) if entry and entry.sizes else {}
    result: dict[SplitName, Split] = {}
    for split in wanted:
        plan = place.splits[split]
        questions: list[Question] = []
        for name in plan.files:
            file = place.files[name]
            if name not in read:
                with progress.step(f"reading {id}", total=None, unit="questions") as advance:
                    read[name] = list(READERS[place.format](file, entry.options if entry else None))
                    advance(len(read[name]))
            if file.path not in hashed:
                hashed[file.path] = DataFile(str(file.path), _sha256(file.path), place.source)
            questions += read[name]
        last = place.files[plan.files[-1]]
        numbered = _numbered(PARTS[plan.part](questions), split, last)
        files = dict.fromkeys(place.files[name].path for name in plan.files)
        result[split] = Split(numbered, sizes.get(split), tuple(hashed[path] for path in files))
    return result


def _numbered(questions: Sequence[Question], split: SplitName, file: SourceFile) -> tuple[Question, ...]:
    """The questions with an id each: the data set's own, else the split and the row."""
    if not questions:
        raise InputError(str(file), "", f"no {split} questions in it")
    seen: set[str] = set()
    result = []
    for row, question in enumerate(questions):
        named = question if question.id else replace(question, id=f"{split}-{row}")
        if named.id in seen:
            raise InputError(str(file), f"id {named.id!r}", "given to two questions")
        seen.add(named.id)
        result.append(named)
    return tuple(result)


def _warnings(id: str, place: _Place, splits: Mapping[SplitName, Split]) -> Iterable[str]:
    if place.note:
        yield f"{id}: {place.note}"
    for name, split in splits.items():
        count = len(split.questions)
        if split.expected is not None and count != split.expected:
            files = ", ".join(Path(file.path).name for file in split.files)
            yield f"{id}: {count:,} {name} questions, where the official split has {split.expected:,} ({files})."
        blank = [q.id for q in split.questions if not q.text or not all(o.strip() for o in q.options)]
        if blank:
            yield f"{id}: {len(blank):,} {name} questions have an empty text or option, the first is {blank[0]}."
    for known, name in (("demonstrations", "validation"), ("demonstrations", "test"), ("validation", "test")):
        if known in splits and name in splits:
            texts = {(q.text, q.options) for q in splits[known].questions}
            shared = sum((q.text, q.options) in texts for q in splits[name].questions)
            if shared:
                yield f"{id}: {shared:,} {name} questions are also among the {known} questions."


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(2**20):
            digest.update(piece)
    return digest.hexdigest()
