"""VQA-RAD (Lau et al., 2018): the official JSON, the form of two files known as "data_RAD", and the hub's parquet.

As the study (Jeong et al., EMNLP 2024) prepares it: closed questions only, repetitions and what leaks from the test
side left out, texts in lower case but for the first letter, options yes and no. For the questions with other answers it
edited the options by hand and did not publish them; here they come from a table of our own
(`medbench_local.catalog.visual_options`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from medbench_local.catalog.visual_options import options_by_question
from medbench_local.files.readers import json_list
from medbench_local.files.rows import Row, SourceFile
from medbench_local.tasks.album import Album
from medbench_local.tasks.parts import one_fifth_as_scikit_learn
from medbench_local.tasks.picture import Picture, refuse_control_text
from medbench_local.tasks.question import Question, SplitRead, question_of

YES_NO = ("yes", "no")
COLUMNS = ("question", "answer")
PHRASES = ("freeform", "para", "test_freeform", "test_para")
"""The kinds of phrases that are asked; the "data_RAD" form has more, which repeat questions in a fixed frame."""


class _Item(NamedTuple):
    """A closed question as it stands in a file, but for its answer, which is in lower case and stripped."""

    row: Row
    id: str
    test: bool
    image: str
    question: str
    answer: str
    pictures: tuple[Picture, ...]


def read_part(files: Sequence[SourceFile], part: str, options: int | None, album: Album) -> SplitRead:
    """A side of the data set, or the validation questions, which are drawn from the pool.

    Args:
        files: all of the data set. Rows of the test side say so, or are in a file whose name begins with "test".
        part: "vqa-rad-pool", "vqa-rad-validation" or "vqa-rad-test".
        options: how many each question must have, or None.
        album: where the pictures are.

    Raises:
        InputError: with the item or row.
    """
    closed = [item for file in files for item in _closed(file, album)]
    test = _once(item for item in closed if item.test)
    side = test
    if part != "vqa-rad-test":
        leaked = {_key(item) for item in test}
        side = [item for item in _once(item for item in closed if not item.test) if _key(item) not in leaked]
    if part == "vqa-rad-validation":
        side = one_fifth_as_scikit_learn(side)
    table = options_by_question("vqa-rad")
    edited = sum(clean(item.answer) not in YES_NO for item in side)
    questions = [_question(item, table.get(clean(item.question)), options, album) for item in side]
    return SplitRead(questions, _notes(edited))


def clean(text: str) -> str:
    """A text in lower case, blanks squeezed, none before a question mark."""
    return re.sub(" +", " ", text.lower()).replace(" ?", "?").strip()


def _notes(edited: int) -> list[str]:
    if not edited:
        return []
    which = "1 question has" if edited == 1 else f"{edited:,} questions have"
    return [
        f"{which} other answers than yes and no; the study wrote their options by hand and did not publish them, so "
        "here they are this program's own."
    ]


def _closed(file: SourceFile, album: Album) -> Iterator[_Item]:
    test = file.path.name.startswith("test")
    if file.kind == ".parquet":
        rows = album.rows(
            file, COLUMNS, ("image",), _is_closed, lambda row, _: f"{file.path.name} {row.where}"
        )
        for row, pictures in rows:
            yield _Item(row, "", test, pictures[0].sha256, row.text("question"), _answer(row), pictures)
        return
    for row in sorted(json_list(file), key=_number):
        kind = row.text("phrase_type")
        if kind in PHRASES and row.text("answer_type").lower().strip() == "closed":
            id = str(row.fields.get("qid", ""))
            image = row.text("image_name")
            side = test or kind.startswith("test_")
            yield _Item(row, id, side, image, row.text("question"), _answer(row), ())


def _number(row: Row) -> int:
    """What the official order is by; the official file has this order already."""
    number = str(row.fields.get("qid", ""))
    return int(number) if number.isdecimal() and len(number) < 10 else 0


def _answer(row: Row) -> str:
    value = row.value("answer")
    text = str(value) if isinstance(value, int | float) else row.text("answer")
    return text.lower().strip()


def _is_closed(row: Row) -> bool:
    return _answer(row) in YES_NO


def _once(items: Iterable[_Item]) -> list[_Item]:
    """The first of items with the same picture, question and answer."""
    found: dict[tuple[str, str, str], _Item] = {}
    for item in items:
        found.setdefault(_key(item), item)
    return list(found.values())


def _key(item: _Item) -> tuple[str, str, str]:
    return item.image, item.question, item.answer


def _question(item: _Item, edited: tuple[str, ...] | None, expected: int | None, album: Album) -> Question:
    row, answer = item.row, clean(item.answer)
    text = clean(item.question).capitalize()
    options = YES_NO if answer in YES_NO else edited
    if options is None or answer not in options:
        raise row.error(
            f"the answer is {answer[:40]!r}, and the table of options has "
            f"{'none' if options is None else 'others'} for this question"
        )
    refuse_control_text(row, (text, *options))
    pictures = item.pictures or (album.named(row, item.image, key="image_name"),)
    return question_of(
        row,
        text=text,
        options=options,
        answer=options.index(answer),
        expected=expected,
        id=item.id,
        pictures=pictures,
    )
