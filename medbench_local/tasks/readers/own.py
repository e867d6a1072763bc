"""Questions of one's own, and the embedded ones: JSON Lines with id, question, options and answer."""

from __future__ import annotations

from collections.abc import Iterator

from medbench_local.files.readers import json_lines
from medbench_local.files.rows import Row, SourceFile
from medbench_local.tasks.question import Question, question_of

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def read(file: SourceFile, options: int | None) -> Iterator[Question]:
    """The questions of one file, in its order.

    Each line: ``id`` (text), ``question`` (text), ``options`` (list of 2 to 26 different texts), ``answer``
    (index of the correct option, from 0, or its letter) and, if wanted, ``subject`` (text; null is as if it were not
    there); other keys are ignored.

    Raises:
        InputError: with the line.
    """
    for row in json_lines(file):
        id, text, choices = row.text("id"), row.text("question"), row.texts("options")
        if not id.strip():
            raise row.error("it is empty", name="id")
        if not text.strip():
            raise row.error("it is empty", name="question")
        for index, choice in enumerate(choices):
            if not choice.strip():
                raise row.error(f"option {LETTERS[index % 26]} is empty", name="options")
            if choice in choices[:index]:
                raise row.error(f"the option {choice[:40]!r} is given twice", name="options")
        subject = row.optional_text("subject")
        answer = _answer(row, len(choices))
        yield question_of(
            row, text=text, options=choices, answer=answer, expected=options, id=id, subject=subject
        )


def _answer(row: Row, count: int) -> int:
    value = row.value("answer")
    if isinstance(value, str):
        letters = LETTERS[:count]
        if len(value) != 1 or value not in letters:
            problem = (
                f"expected a letter from A to {letters[-1:] or 'A'} or an index from 0, found {value[:40]!r}"
            )
            raise row.error(problem, name="answer")
        return letters.index(value)
    return row.integer("answer", 0, max(count - 1, 0))
