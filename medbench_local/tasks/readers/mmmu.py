"""MMMU (Yue et al., CVPR 2024), one subject: the hub's parquet, split as the study splits it.

The study (Jeong et al., EMNLP 2024) shows the five questions of "dev", tunes on five of "validation" and asks the other
25; open questions are taken out afterwards.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Sequence
from dataclasses import replace

from medbench_local.files.rows import Row, SourceFile
from medbench_local.tasks.album import Album
from medbench_local.tasks.parts import as_datasets
from medbench_local.tasks.picture import Picture, refuse_control_text, tagged
from medbench_local.tasks.question import LETTERS, Question, SplitRead, question_of

COLUMNS = ("id", "question", "options", "answer", "question_type", "subfield")
PICTURES = tuple(f"image_{number}" for number in range(1, 8))
VALIDATION_ROWS = 5
LONGEST_LIST = 20_000
"""Characters of a list of options as Python writes it."""

_SYMBOL = re.compile(r"\$\\([^$]+)\$")


def read_part(files: Sequence[SourceFile], part: str, options: int | None, album: Album) -> SplitRead:
    """The multiple-choice questions of a part.

    Args:
        files: the "dev" questions, or those of "validation".
        part: "all-closed", "mmmu-validation" or "mmmu-test".
        options: how many each question must have, or None.
        album: keeps the pictures.

    Raises:
        InputError: with the row.
    """
    found = [
        pair
        for file in files
        for pair in album.rows(file, COLUMNS, PICTURES, lambda _: True, lambda row, name: _called(row, name))
    ]
    if part != "all-closed":
        validation, test = as_datasets(found, min(VALIDATION_ROWS, len(found)))
        found = validation if part == "mmmu-validation" else test
    closed = [pair for pair in found if pair[0].text("question_type") != "open"]
    return SplitRead([_question(row, pictures, options) for row, pictures in closed])


def readable(text: str) -> str:
    r"""A text as the study shows it: "$\name$" as " name ", two blanks as one, stripped."""
    return _SYMBOL.sub(r" \1 ", text).replace("  ", " ").strip()


def _called(row: Row, column: str) -> str:
    return f"{row.text('id')}#{column}"


def _question(row: Row, pictures: tuple[Picture, ...], expected: int | None) -> Question:
    stored, choices = row.text("question"), _options(row)
    refuse_control_text(row, (stored, *choices))
    with_tags, _ = tagged(stored)
    letters, answer = LETTERS[: len(choices)], row.text("answer")
    if len(answer) != 1 or answer not in letters:
        raise row.error(
            f"expected a letter from A to {letters[-1:] or 'A'}, found {answer[:40]!r}", name="answer"
        )
    return question_of(
        row,
        text=readable(with_tags),
        options=[readable(choice) for choice in choices],
        answer=letters.index(answer),
        expected=expected,
        id=row.text("id"),
        subject=row.optional_text("subfield"),
        pictures=tuple(replace(picture, own_colours=True) for picture in pictures),
    )


def _options(row: Row) -> tuple[str, ...]:
    """The options: a list, or one as Python writes it, which is read as data."""
    value = row.value("options")
    if isinstance(value, list):
        return row.readables(value, "options")
    written = row.text("options")
    if len(written) > LONGEST_LIST:
        raise row.error(f"longer than {LONGEST_LIST:,} characters", name="options")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a backslash that escapes nothing: formulas have them
            read = ast.literal_eval(written)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise row.error("expected a list of texts as Python writes it", name="options") from error
    return row.readables(read, "options")
