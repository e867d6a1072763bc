"""A table of questions of one's own, which are split here: CSV, Excel, JSON and JSON Lines as people have them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from medbench_local.files.rows import Row, SourceFile
from medbench_local.tasks.album import Album
from medbench_local.tasks.question import SPLITS, SplitRead
from medbench_local.tasks.readers.own import question_in
from medbench_local.tasks.tables.reading import HowToRead, TableRead, read_table


def read_part(files: Sequence[SourceFile], part: str, options: int | None, album: Album) -> SplitRead:
    """The questions of a split; with those of the test, what is to be said of the file.

    Args:
        files: the table.
        part: "table-test", "table-validation" or "table-demonstrations".
        options: how many each question must have; None if 2 to 26 will do.
        album: where pictures are looked up.

    Raises:
        InputError: as `medbench_local.tasks.tables.reading.read_table`.
        UsageError: openpyxl is needed and not installed.
    """
    (file,) = files
    split = next(name for name in SPLITS if part == f"table-{name}")
    read = _known(file)
    questions = [question_in(Row(file, row.where, row.fields), options, album) for row in read.splits[split]]
    return SplitRead(questions, (" ".join(read.notes), *read.warnings) if split == "test" else ())


def _known(file: SourceFile) -> TableRead:
    """The table, read once for its three splits."""
    stat = file.path.stat() if file.path.exists() else None
    return _read(file.path, (stat.st_mtime_ns, stat.st_size) if stat else None)


@lru_cache(maxsize=2)
def _read(path: Path, _version: object) -> TableRead:
    return read_table(SourceFile(path), HowToRead())
