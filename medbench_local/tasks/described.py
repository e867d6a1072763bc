"""Where the files of a described data set lie: the hub's cache, or a folder; and which of them are which split."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from medbench_local.catalog.described import DATA_FILES, Description, read_description
from medbench_local.catalog.task import SplitFiles
from medbench_local.errors import InputError
from medbench_local.files.rows import SourceFile, listed
from medbench_local.paths import user_path
from medbench_local.progress import Progress
from medbench_local.tasks.locations import DataLocation, complete
from medbench_local.tasks.question import SPLITS, SplitName
from medbench_local.tasks.tables.reading import HowToRead, Lot, Tables

MOST_FILES = 100_000
"""Files of a folder among which those of a split are looked for by its name."""


@dataclass(frozen=True)
class _Files:
    """What there is to choose from.

    Attributes:
        fitting: the names that fit one with "*".
        all: every name.
    """

    fitting: Callable[[str], Sequence[str]]
    all: Callable[[], Sequence[str]]


def in_description(path: Path, *, offline: bool, progress: Progress) -> DataLocation:
    """The files of a described data set; those of the hub are fetched.

    Args:
        path: the description.
        offline: use only what the hub's cache has.
        progress: hears of the download.

    Raises:
        InputError: the description is malformed or names files that are not there; with its key.
        AcquireError: the hub's files cannot be had.
    """
    said = read_description(path)
    how = HowToRead(
        said.columns.named(), said.answers, encoding=said.encoding, leave_out=said.defects == "leave out"
    )
    if said.source is None:
        folder = user_path(path).parent / (said.path or "")
        if not folder.is_dir():
            raise InputError(path, "key 'path'", f"there is no folder {folder}")
        chosen = _chosen(path, said, _in_folder(folder))
        files = {name: folder / name for name in dict.fromkeys(n for _, names in chosen for n in names)}
        _refuse_links(path, folder, files.values())
        pictures = [_place(folder, name) for name in said.picture_places or ("",)]
        source, advice = "local", "Names of pictures are relative to the folders of the data set."
    else:
        from medbench_local.hub.dataset import open_dataset

        repository, revision = said.source
        opened = open_dataset(repository, revision, offline=offline, progress=progress)
        names = opened.names
        chosen = _chosen(path, said, _Files(lambda pattern: fnmatch.filter(names, pattern), lambda: names))
        wanted = list(dict.fromkeys(n for _, found in chosen for n in found))
        beside = [n for place in said.picture_places for n in _of_place(path, names, place)]
        fetched = opened.fetch([*wanted, *beside], progress)
        if not opened.complete:
            progress.note(
                f"{path.name}: files of {repository} are taken from the cache, as far as they are there."
            )
        files = {name: fetched[name] for name in wanted}
        pictures = [_place(opened.folder, name) for name in said.picture_places]
        source, advice = (
            f"hub:{repository}@{opened.commit}",
            "Say in `pictures` where in the repository they lie.",
        )
    lots = tuple(Lot(tuple(SourceFile(files[n]) for n in found), splits) for splits, found in chosen)
    return located(Tables(path, lots, how, described=True), source, pictures, advice)


def in_table(path: Path) -> DataLocation:
    """A table whose questions are split here; pictures are looked up in its folder."""
    advice = "Names of pictures are relative to the folder of the file with the questions."
    tables = Tables(path, (Lot((SourceFile(path),)),))
    return located(tables, "local", [SourceFile(path.parent)], advice)


def located(tables: Tables, source: str, pictures: Sequence[SourceFile], advice: str) -> DataLocation:
    """Tables as a task's location: all of their files decide each of its splits."""
    files = {str(path): SourceFile(path) for path in tables.files}
    splits = {name: SplitFiles(files=tuple(files)) for name in SPLITS}
    return DataLocation("table", splits, files, source, pictures=pictures, obtain=advice, tables=tables)


def _chosen(
    path: Path, said: Description, there: _Files
) -> list[tuple[tuple[SplitName, ...], tuple[str, ...]]]:
    """The files, and the splits that they belong to.

    Raises:
        InputError: none fits, several may be meant, or a file belongs to splits that do not name the same.
    """
    if said.splits is None:
        assert said.files is not None
        return [(SPLITS, _named(path, "files", said.files, said.config, there))]
    found = {
        name: _named(path, f"splits.{name}", getattr(said.splits, name), said.config, there)
        for name in SPLITS
    }
    lots: dict[tuple[str, ...], list[SplitName]] = {}
    for name, files in found.items():
        lots.setdefault(files, []).append(name)
    seen: dict[str, SplitName] = {}
    for files, names in lots.items():
        for file in files:
            if file in seen:
                problem = (
                    f"{file} is also among the files of {seen[file]}; splits name the same files, which are divided "
                    "among them, or others"
                )
                raise InputError(path, f"key 'splits.{names[0]}'", problem)
            seen[file] = names[0]
    return [(tuple(names), files) for files, names in lots.items()]


def _named(
    path: Path, key: str, given: str | Sequence[str], config: str | None, there: _Files
) -> tuple[str, ...]:
    """The files that a key of the description names, in the order of their names."""
    found: list[str] = []
    for name in (given,) if isinstance(given, str) else given:
        if not name.removesuffix(".gz").endswith(DATA_FILES):
            if key == "files" or "/" in name or "*" in name:
                problem = f"{name!r} does not end as files that are read do ({', '.join(DATA_FILES)})"
                raise InputError(path, f"key '{key}'", problem)
            fitting: Sequence[str] = _of_split(path, key, name, config, there.all())
        else:
            fitting = complete(there.fitting(name))
            if not fitting:
                problem = f"no file is called {name}; there are {listed(_data_files(there.all()))}"
                raise InputError(path, f"key '{key}'", problem)
        found += fitting
    return tuple(dict.fromkeys(found))


def _of_split(path: Path, key: str, split: str, config: str | None, names: Sequence[str]) -> Sequence[str]:
    """The files of a split that is named as the hub names it: "data/test-00000-of-00001.parquet", "test.jsonl".

    Raises:
        InputError: there are none, or they lie in several folders or formats.
    """
    endings = "|".join(re.escape(ending) for ending in DATA_FILES)
    before = rf"(?:{re.escape(config)}[-_])?" if config else ""
    part = r"(?:-\d{5}-of-\d{5}(?:-[0-9a-f]+)?|/[^/]+)?"
    file = rf"(?P<file>{before}{re.escape(split)}{part})(?P<ending>{endings})"
    pattern = re.compile(rf"(?P<folder>(?:[^/]+/)*){file}(\.gz)?")
    groups: dict[tuple[str, str], list[str]] = {}
    for name in names:
        match = pattern.fullmatch(name)
        if match is None:
            continue
        folders = match["folder"].split("/")
        if config is None or config in folders or match["file"].startswith((f"{config}-", f"{config}_")):
            groups.setdefault((match["folder"], match["ending"]), []).append(name)
    within = f" of the configuration {config!r}" if config else ""
    if not groups:
        problem = f"no file is that of a split {split!r}{within}; there are {listed(_data_files(names))}"
        raise InputError(path, f"key '{key}'", problem)
    if len(groups) > 1:
        firsts = listed(found[0] for found in groups.values())
        more = "name the file" if config else "say `config`, or name the file"
        raise InputError(
            path, f"key '{key}'", f"several may be the split {split!r}{within}: {firsts}; {more}"
        )
    (found,) = groups.values()
    whole = complete(found)
    if not whole:
        raise InputError(
            path, f"key '{key}'", f"files of the split {split!r} are missing; there are {listed(found)}"
        )
    return whole


def _data_files(names: Sequence[str]) -> list[str]:
    return [name for name in names if name.removesuffix(".gz").endswith(DATA_FILES)]


def _in_folder(folder: Path) -> _Files:
    def fitting(pattern: str) -> list[str]:
        if "*" not in pattern:
            return [pattern] if (folder / pattern).is_file() else []
        return [file.relative_to(folder).as_posix() for file in folder.glob(pattern) if file.is_file()]

    def everything() -> list[str]:
        files = (file for file in folder.rglob("*") if file.is_file())
        return sorted(file.relative_to(folder).as_posix() for file in islice(files, MOST_FILES))

    return _Files(fitting, everything)


def _refuse_links(path: Path, folder: Path, files: Iterable[Path]) -> None:
    inside = folder.resolve()
    for file in files:
        if not file.resolve().is_relative_to(inside):
            raise InputError(path, "", f"{file} is a link that leads out of {folder}")


def _of_place(path: Path, names: Sequence[str], place: str) -> list[str]:
    """The archive, or the files of the folder, that a place of pictures is in a repository."""
    file = place.partition("!")[0].rstrip("/")
    found = [name for name in names if name == file or name.startswith(f"{file}/")]
    if not found:
        raise InputError(path, "key 'pictures'", f"there is no folder or archive {file} in the repository")
    return found


def _place(folder: Path, name: str) -> SourceFile:
    file, _, member = name.partition("!")
    return SourceFile(folder / file.rstrip("/"), member)
