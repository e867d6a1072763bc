"""Where a task's files lie: a folder of one's own, the data folder, or the hub's cache."""

from __future__ import annotations

import fnmatch
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from medbench_local.catalog.task import Format, HubLayout, Layout, Source, SplitFiles, TaskEntry
from medbench_local.errors import AcquireError, InputError, UnreachableError
from medbench_local.files.rows import SourceFile
from medbench_local.progress import Progress
from medbench_local.tasks.question import SPLITS, SplitName
from medbench_local.tasks.tables.reading import Tables


@dataclass(frozen=True)
class DataLocation:
    """Where a task's files lie on this machine.

    Attributes:
        format: which reader reads them.
        splits: the files of each split by name, and which of their questions belong to it.
        files: each of these names to the file.
        source: "local", "embedded" or "hub:<repository>@<revision>".
        note: a warning for whoever uses this place, or "".
        pictures: folders and archives in which pictures lie that questions name; None where questions have none.
        obtain: how to obtain the data set's files, for a person.
        tables: how the files are read together and split here, if they are.
    """

    format: Format
    splits: Mapping[SplitName, SplitFiles]
    files: Mapping[str, SourceFile]
    source: str
    note: str = ""
    pictures: Sequence[SourceFile] | None = None
    obtain: str = ""
    tables: Tables | None = None

    @property
    def own(self) -> bool:
        """Whether its files are of one's own, or of anybody, and not of the catalog."""
        return self.format in ("own", "table")


def in_folder(folder: Path, source: str) -> DataLocation:
    """A folder with one JSON Lines file a split, whether or not they are there; pictures may lie in it, too."""
    splits = {name: SplitFiles(files=(f"{name}.jsonl",)) for name in SPLITS}
    files = {f"{name}.jsonl": SourceFile(folder / f"{name}.jsonl") for name in SPLITS}
    pictures = None if source == "embedded" else (SourceFile(folder),)
    advice = "Names of pictures are relative to the folder of the questions."
    return DataLocation("own", splits, files, source, pictures=pictures, obtain=advice)


def in_data_dir(
    entry: TaskEntry, source: Source, data_dir: Path, wanted: Sequence[SplitName]
) -> DataLocation:
    """The first layout whose files are all there; failing that, the first that has the wanted splits' files.

    Looking at all files first keeps a split the same whichever others are wanted beside it.

    Raises:
        InputError: names the missing file that leads furthest, and where to get it.
    """
    if not data_dir.is_dir():
        raise InputError(data_dir, "", "no such folder", advice="Give the folder of the data sets' files.")
    nearest: list[tuple[Path, SplitName]] = []
    for needed in (SPLITS, wanted):
        for layout in source.local:
            splits = _splits(layout, entry, lambda pattern: _in_folder(data_dir, pattern))
            files, missing = _present(data_dir, splits, needed)
            if not missing:
                pictures = [_stored(data_dir, name) for name in layout.pictures] if source.images else None
                return DataLocation(
                    source.format, splits, files, "local", layout.note, pictures, source.obtain
                )
            if not nearest or len(missing) < len(nearest):
                nearest = missing
    path, split = nearest[0]
    raise InputError(
        path,
        "",
        f"no such file, nor the same with .gz; the {split} questions of {entry.id} are read from it",
        advice=f"{source.obtain} Without a data folder the questions come from the hub.",
    )


def on_the_hub(
    entry: TaskEntry, source: Source, wanted: Sequence[SplitName], offline: bool, progress: Progress
) -> DataLocation:
    """The first layout that can be had, fetched; the note says why if it is not the first of all.

    Raises:
        AcquireError: none can be had; the first one's error.
    """
    first: AcquireError | None = None
    for layout in source.hub:
        try:
            return _fetch(entry, source, layout, wanted, offline, progress, first)
        except UnreachableError:
            raise
        except AcquireError as error:
            first = first or error
    assert first is not None
    raise first


def _present(
    data_dir: Path, splits: Mapping[SplitName, SplitFiles], needed: Sequence[SplitName]
) -> tuple[dict[str, SourceFile], list[tuple[Path, SplitName]]]:
    files: dict[str, SourceFile] = {}
    missing: list[tuple[Path, SplitName]] = []
    for split in needed:
        for name in splits[split].files:
            path = data_dir / name
            zipped = path.with_name(f"{path.name}.gz")
            if path.is_file() or zipped.is_file():
                files[name] = SourceFile(path if path.is_file() else zipped)
            else:
                missing.append((path, split))
    return files, missing


def _fetch(
    entry: TaskEntry,
    source: Source,
    layout: HubLayout,
    wanted: Sequence[SplitName],
    offline: bool,
    progress: Progress,
    first: AcquireError | None,
) -> DataLocation:
    from medbench_local.hub.dataset import fetch_dataset_files
    from medbench_local.hub.errors import not_cached

    asked = _splits(layout, entry, lambda pattern: [pattern])
    names = [name for split in wanted for name in asked[split].files]
    paths = fetch_dataset_files(
        layout.repository,
        layout.revision,
        list(dict.fromkeys(name.partition("!")[0] for name in (*names, *layout.pictures))),
        offline=offline,
        progress=progress,
    )
    splits = _splits(layout, entry, lambda pattern: complete(fnmatch.filter(paths, pattern)))
    names = [name for split in wanted for name in splits[split].files]
    if not all(splits[split].files for split in wanted):
        raise not_cached(layout.repository, layout.revision)
    stored = {name: name.partition("!") for name in (*names, *layout.pictures)}
    files = {name: SourceFile(paths[path], member) for name, (path, _, member) in stored.items()}
    commit = _commit(next(iter(paths.values()))) or layout.revision
    reason = f"The first choice of files cannot be had: {first.message}" if first else ""
    note = " ".join(text for text in (reason, layout.note) if text)
    pictures = [files[name] for name in layout.pictures] if source.images else None
    return DataLocation(
        source.format,
        splits,
        files,
        f"hub:{layout.repository}@{commit}",
        note,
        pictures,
        "Delete the file from the hub's cache, and it is fetched again.",
    )


def _stored(folder: Path, name: str) -> SourceFile:
    """A folder of ``folder``, or one in an archive there: "imgs.zip!imgs"."""
    path, _, member = name.partition("!")
    return SourceFile(folder / path, member)


def _in_folder(folder: Path, pattern: str) -> list[str]:
    """The files of a folder that a path with "*" stands for; itself where parts are missing."""
    found = [path.relative_to(folder).as_posix() for path in folder.glob(pattern) if path.is_file()]
    return complete(found) or [pattern]


def complete(names: Sequence[str]) -> list[str]:
    """Files in the order of their names; none if these say that there are more of them ("-00000-of-00003")."""
    parts = [part for name in names if (part := re.match(r"(.*)-\d{5}-of-(\d{5})", name))]
    here = Counter(part[1] for part in parts)
    return sorted(names) if all(here[part[1]] == int(part[2]) for part in parts) else []


def _commit(path: Path) -> str:
    """The commit that a file of the hub's cache belongs to: the folder's name under "snapshots"."""
    parts = path.parts
    return parts[parts.index("snapshots") + 1] if "snapshots" in parts[:-2] else ""


def _splits(
    layout: Layout, entry: TaskEntry, fitting: Callable[[str], Sequence[str]]
) -> dict[SplitName, SplitFiles]:
    """The layout's splits with the task's own name in the paths, and the files that fit in place of each "*"."""

    def named(split: SplitFiles) -> SplitFiles:
        paths = [file.replace("{config}", entry.config) for file in split.files]
        files = tuple(name for path in paths for name in (fitting(path) if "*" in path else [path]))
        return split.model_copy(update={"files": files})

    return {
        "demonstrations": named(layout.demonstrations),
        "validation": named(layout.validation),
        "test": named(layout.test),
    }
