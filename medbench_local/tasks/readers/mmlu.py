"""MMLU (Hendrycks et al., ICLR 2021): the original csv, the csv with a header row, and the hub's parquet."""

from __future__ import annotations

from collections.abc import Iterator

from medbench_local.errors import InputError
from medbench_local.files.readers import csv_rows, parquet_rows
from medbench_local.files.rows import Row, SourceFile, listed
from medbench_local.tasks.question import Question, question_of

HEADER = ["question", "choice0", "choice1", "choice2", "choice3", "answer"]
LETTERS = "ABCD"


def read(file: SourceFile, options: int | None) -> Iterator[Question]:
    """The questions of one file, in its order.

    A csv file whose first record is `HEADER` gives answers as 0 to 3, any other as A to D.

    Raises:
        InputError: with the line or row.
    """
    if file.kind == ".parquet":
        for row in parquet_rows(file, ("question", "choices", "answer")):
            choices = row.texts("choices")
            answer = row.integer("answer", 0, len(LETTERS) - 1)
            yield question_of(
                row, text=row.text("question"), options=choices, answer=answer, expected=options
            )
        return
    headed = False
    for position, (where, cells) in enumerate(csv_rows(file)):
        if position == 0 and cells == HEADER:
            headed = True
            continue
        hint = ""
        if position == 0:
            hint = f"; were it a header, it would have to be {', '.join(HEADER)}, not {listed(cells)}"
        if len(cells) != len(HEADER):
            problem = f"expected 6 cells (question, four options, answer), found {len(cells)}{hint}"
            raise InputError(str(file), where, problem)
        row = Row(file, where, dict(zip(HEADER, cells, strict=True)))
        answer = _index(row, cells[-1], "0123" if headed else LETTERS, hint)
        yield question_of(row, text=cells[0], options=cells[1:5], answer=answer, expected=options)


def _index(row: Row, cell: str, known: str, hint: str) -> int:
    if len(cell) != 1 or cell not in known:
        raise row.error(f"expected one of {', '.join(known)}, found {cell[:40]!r}{hint}", name="answer")
    return known.index(cell)
