"""A file of questions into the questions of each split: the whole way, and everything that is wrong at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from medbench_local.errors import InputError, QuestionsError
from medbench_local.files.rows import SourceFile
from medbench_local.tasks.tables.answers import Notation, UnclearAnswers
from medbench_local.tasks.tables.columns import Columns
from medbench_local.tasks.tables.opening import open_table
from medbench_local.tasks.tables.splitting import Splits, split_rows
from medbench_local.tasks.tables.understanding import understand

ANSWERS_ADVICE = 'Say it: `answers="from 0"`, or "from 1", "letters", "texts".'


@dataclass(frozen=True)
class HowToRead:
    """What somebody says of a file; by default everything is found out.

    Attributes:
        columns: names of columns by role (see `medbench_local.tasks.tables.columns.ROLES`).
        answers: how the answers are written.
        sheet: of a workbook.
        encoding: of a CSV.
    """

    columns: Mapping[str, Sequence[str]] = field(default_factory=dict)
    answers: Notation | None = None
    sheet: str | None = None
    encoding: str | None = None


@dataclass(frozen=True)
class TableRead:
    """The questions of a file.

    Attributes:
        columns: what its columns are.
        splits: the rows of each split.
        notes: how it was read, one sentence each.
        warnings: what somebody should look at.
    """

    columns: Columns
    splits: Splits
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


def read_table(file: SourceFile, how: HowToRead) -> TableRead:
    """The questions of a file, split.

    Args:
        file: the table.
        how: what is known of it.

    Raises:
        QuestionsError: rows are not what they should be; it has all of them.
        InputError: the file cannot be read, its columns or its answers are not clear, or there are too few questions.
        UsageError: it is a workbook, and openpyxl is not installed.
    """
    opened = open_table(file, how.columns, sheet=how.sheet, encoding=how.encoding)
    try:
        found = understand(opened.table, opened.columns, how.answers)
    except UnclearAnswers as error:
        raise InputError(str(file), "", str(error), advice=ANSWERS_ADVICE) from error
    if found.defects:
        raise QuestionsError.of(str(file), [str(defect) for defect in found.defects])
    if not found.rows:
        raise InputError(str(file), "", "there are no questions in it")
    splits, said = split_rows(file, found.rows)
    return TableRead(opened.columns, splits, (*found.notes, said), found.warnings)
