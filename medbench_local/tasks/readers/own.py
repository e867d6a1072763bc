"""Questions of one's own, and the embedded ones: JSON Lines with id, question, options, answer and perhaps images."""

from __future__ import annotations

from collections.abc import Iterator

from medbench_local.files.readers import json_lines
from medbench_local.files.rows import Row, SourceFile
from medbench_local.tasks.album import Album
from medbench_local.tasks.picture import TAG, Picture, refuse_control_text, tagged
from medbench_local.tasks.question import LETTERS, Question, question_of


def read(file: SourceFile, options: int | None, album: Album | None = None) -> Iterator[Question]:
    """The questions of one file, in its order.

    Each line: ``id`` (text), ``question`` (text), ``options`` (list of 2 to 26 different texts), ``answer``
    (index of the correct option, from 0, or its letter) and, if wanted, ``subject`` (text) and ``images`` (list of
    names of files); null is as if a key were not there, and other keys are ignored.

    The names of pictures are relative to the folder of the questions and do not lead out of it. The question may say
    where they stand: by "<image>" for each, or by "<image 1>", "<image 2>" in this order.

    Args:
        file: what is read.
        options: how many each question must have; None if 2 to 26 will do.
        album: where pictures are looked up; None if there cannot be any.

    Raises:
        InputError: with the line.
    """
    for row in json_lines(file):
        yield question_in(row, options, album)


def question_in(row: Row, options: int | None, album: Album | None) -> Question:
    """The question of one row, whose keys are those that `read` names. Arguments and errors as there."""
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
    text, pictures = _pictures(row, text, choices, album)
    answer = _answer(row, len(choices))
    return question_of(
        row,
        text=text,
        options=choices,
        answer=answer,
        expected=options,
        id=id,
        subject=subject,
        pictures=pictures,
    )


def _pictures(
    row: Row, text: str, choices: tuple[str, ...], album: Album | None
) -> tuple[str, tuple[Picture, ...]]:
    """The pictures that a row names, and its question's text with a tag for each, if it has tags."""
    if album is None or row.fields.get("images") is None:
        return text, ()
    names = row.texts("images")
    if not names:
        return text, ()
    refuse_control_text(row, (text,), but=TAG)
    refuse_control_text(row, choices)
    with_tags, numbers = tagged(text)
    if numbers and numbers != tuple(range(1, len(numbers) + 1)):
        raise row.error("expected <image 1>, <image 2> and so on in this order", name="question")
    if (tags := with_tags.count(TAG)) not in (0, len(names)):
        raise row.error(f"{tags} times {TAG} for {len(names)} pictures", name="question")
    if not with_tags.replace(TAG, "").strip():
        raise row.error("it is empty but for the places of pictures", name="question")
    return with_tags, tuple(album.named(row, name, key="images") for name in names)


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
