"""Files of questions into the questions of each split: the whole way, and everything that is wrong at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from medbench_local.errors import InputError, QuestionsError
from medbench_local.files.rows import Row, SourceFile
from medbench_local.tasks.album import Album
from medbench_local.tasks.question import SPLITS, SplitName
from medbench_local.tasks.readers.own import question_in
from medbench_local.tasks.tables.answers import Notation, UnclearAnswers
from medbench_local.tasks.tables.columns import Columns
from medbench_local.tasks.tables.kinship import OwnQuestion, twice
from medbench_local.tasks.tables.opening import Opened, open_table
from medbench_local.tasks.tables.splitting import Splits, counts, split_as_said, split_at_random
from medbench_local.tasks.tables.table import Defect, Record, Table, Unclear
from medbench_local.tasks.tables.understanding import OwnRow, Understood, place_in_file, understand

MOST_DEFECTS = 10_000
"""After which no more are looked for, where a file with any is refused."""


@dataclass(frozen=True)
class HowToRead:
    """What somebody says of a file; by default everything is found out.

    Attributes:
        columns: names of columns by role (see `medbench_local.tasks.tables.columns.ROLES`).
        answers: how the answers are written.
        sheet: of a workbook.
        encoding: of a CSV.
        leave_out: leave out rows with defects, instead of refusing the file.
    """

    columns: Mapping[str, Sequence[str]] = field(default_factory=dict)
    answers: Notation | None = None
    sheet: str | None = None
    encoding: str | None = None
    leave_out: bool = False


@dataclass(frozen=True)
class Lot:
    """Files whose questions belong to one split, or are divided among several."""

    files: tuple[SourceFile, ...]
    splits: tuple[SplitName, ...] = SPLITS


@dataclass(frozen=True)
class Tables:
    """What a task is read from.

    Attributes:
        path: the file that somebody names: the table itself, or the description of a data set.
        lots: its tables; each split is in one of them.
        how: how to read them.
        described: whether ``path`` is a description, which can say more of them.
    """

    path: Path
    lots: tuple[Lot, ...]
    how: HowToRead = field(default_factory=HowToRead)
    described: bool = False

    @property
    def files(self) -> list[Path]:
        """All files, that which is named first."""
        files = [file.path for lot in self.lots for file in lot.files]
        return list(dict.fromkeys([self.path, *files]))


@dataclass(frozen=True)
class TablesRead:
    """The questions of a task.

    Attributes:
        columns: what its columns are.
        splits: the questions of each split.
        notes: how they were read, one sentence each.
        warnings: what somebody should look at.
        reported: those of the warnings that whoever reads results has to know, too.
    """

    columns: Columns
    splits: Splits
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    reported: tuple[str, ...]


def read_tables(tables: Tables, album: Album) -> TablesRead:
    """The questions of a task, split.

    Args:
        tables: the files, and what is known of them.
        album: where pictures are looked up.

    Raises:
        QuestionsError: rows are not what they should be; it has all of them.
        Unclear: its columns or its answers are not clear, until somebody says more.
        InputError: a file cannot be read, or there are too few questions.
        UsageError: one is a workbook, and openpyxl is not installed.
    """
    opened = _all_opened(tables, album)
    try:
        most = None if tables.how.leave_out else MOST_DEFECTS
        found = understand(opened.table, opened.columns, tables.how.answers, most)
    except UnclearAnswers as error:
        first, *others = error.ways
        raise Unclear(tables.path, str(error), {"answers": first}, others) from error
    asked, defects = _asked(tables.path, found, opened.columns, album)
    left_out: list[str] = []
    if defects and not tables.how.leave_out:
        refused = QuestionsError.of(
            tables.path, [str(defect) for defect in sorted(defects, key=place_in_file)]
        )
        if tables.described:
            refused.advice = f"Write `defects: leave out` into {tables.path.name} to do without these rows."
        raise refused
    if defects:
        rows = len({defect.where for defect in defects})
        left_out = [
            f"{rows:,} of {rows + len(asked):,} rows have a defect and are left out, first {defects[0]}."
        ]
    if not asked:
        raise InputError(tables.path, "", "there are no questions in it")
    splits, said = _split(tables, asked)
    reported = (*found.warnings, *left_out)
    return TablesRead(
        opened.columns,
        splits,
        (*found.notes, *said),
        (*opened.table.warnings, *reported, *twice(asked)),
        reported,
    )


def _all_opened(tables: Tables, album: Album) -> Opened:
    """The rows of all files, one below the other."""
    how = tables.how
    several = sum(len(lot.files) for lot in tables.lots) > 1
    found: list[Opened] = []
    columns: Columns | None = None
    for lot in tables.lots:
        for file in lot.files:
            opened = open_table(file, how.columns, sheet=how.sheet, encoding=how.encoding, album=album)
            both = opened.columns if columns is None else columns.with_those_of(opened.columns)
            if both is None:
                first = tables.lots[0].files[0].path.name
                problem = f"its columns are others than those of {first}: {opened.columns}"
                raise InputError(str(file), "", problem)
            columns = both
            found.append(_named(opened, lot, file if several else None))
    assert columns is not None
    table = Table(
        tuple(dict.fromkeys(name for one in found for name in one.table.columns)),
        tuple(record for one in found for record in one.table.records),
        tuple(dict.fromkeys(note for one in found for note in one.table.notes)),
        tuple(dict.fromkeys(warning for one in found for warning in one.table.warnings)),
        tuple(defect for one in found for defect in one.table.defects),
    )
    return Opened(table, columns)


def _named(opened: Opened, lot: Lot, file: SourceFile | None) -> Opened:
    """The rows of a file with its name before their places, where there are several files, and their split."""
    before = "" if file is None else f"{file.path.name}, "
    table = opened.table
    records = tuple(Record(before + row.where, row.cells, " ".join(lot.splits)) for row in table.records)
    defects = tuple(replace(defect, where=before + defect.where) for defect in table.defects)
    return Opened(replace(table, records=records, defects=defects), opened.columns)


def _asked(
    path: Path, found: Understood, columns: Columns, album: Album
) -> tuple[list[OwnQuestion], list[Defect]]:
    """The questions as they will be asked, and the defects of all rows, those of pictures among them."""
    asked: list[OwnQuestion] = []
    defects = list(found.defects)
    for row in found.rows:
        try:
            asked.append(
                OwnQuestion(row, question_in(Row(SourceFile(path), row.where, row.fields), None, album))
            )
        except InputError as error:
            defects.append(_at(row, columns, error))
    album.check(picture for one in asked for picture in one.question.pictures)
    sound: list[OwnQuestion] = []
    for one in asked:
        problems = [said for picture in one.question.pictures if (said := album.problem_of(picture))]
        defects += [Defect(one.row.where, columns.images, problem) for problem in problems]
        if not problems:
            sound.append(one)
    return sound, defects


def _at(row: OwnRow, columns: Columns, error: InputError) -> Defect:
    """What is refused of a question, at the column that it came from."""
    name = getattr(columns, error.where.partition(", key ")[2].strip("'"), "")
    return Defect(row.where, name if isinstance(name, str) else "", error.problem)


def _split(tables: Tables, asked: Sequence[OwnQuestion]) -> tuple[Splits, list[str]]:
    if len(tables.lots) == 1 and all(one.row.split is not None for one in asked):
        chosen, sentence = split_as_said(tables.path, asked)
        return chosen, [sentence]
    found: Splits = {}
    said: list[str] = []
    for lot in tables.lots:
        own = [one for one in asked if one.row.part == " ".join(lot.splits)]
        if len(lot.splits) > 1:
            chosen, sentences = split_at_random(tables.path, own, lot.splits)
            found |= chosen
            said += sentences
        elif own:
            found[lot.splits[0]] = tuple(own)
        else:
            raise InputError(lot.files[0].path, "", f"there are no {lot.splits[0]} questions in it")
    apart = {name: found[name] for lot in tables.lots if len(lot.splits) == 1 for name in lot.splits}
    if apart:
        said.append(f"Split as the files are: {counts(apart)}.")
    return {name: found[name] for name in SPLITS}, said
