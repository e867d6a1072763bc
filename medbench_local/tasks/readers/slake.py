"""SLAKE (Liu et al., 2021), English closed questions: the official JSON files, with the options that the study makes.

The study (Jeong et al., EMNLP 2024) reads the options out of the question. Its way has faults: names of two words fall
apart, "or" inside a word is lost, and "both" is an option only where it is the answer. They are kept: the prompts are
the study's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from medbench_local.catalog.visual_options import options_by_question
from medbench_local.files.readers import json_list
from medbench_local.files.rows import Row, SourceFile
from medbench_local.tasks.album import Album
from medbench_local.tasks.picture import refuse_control_text
from medbench_local.tasks.question import Question, SplitRead, question_of

YES_NO = ("yes", "no")
ADDED = ("both", "almost the same")
"""Answers that become an option where the question names none such."""


def read_part(files: Sequence[SourceFile], _: str, options: int | None, album: Album) -> SplitRead:
    """The closed English questions of the files, without those whose answer is none of their options.

    Args:
        files: of the split.
        options: how many each question must have, or None.
        album: where the pictures are.

    Raises:
        InputError: with the item.
    """
    table = options_by_question("slake")
    rows = [row for file in files for row in json_list(file) if _is_asked(row)]
    questions = [question for row in rows if (question := _question(row, table.get, options, album))]
    dropped = len(rows) - len(questions)
    which = "1 question is" if dropped == 1 else f"{dropped:,} questions are"
    note = f"{which} left out, as in the study: the answer is not among the options that the question names."
    return SplitRead(questions, [note] if dropped else [])


def named_options(question: str) -> list[str]:
    """The options that a question names behind its first comma, as the study finds them: word by word."""
    _, comma, rest = question.partition(",")
    words = rest.strip("?").replace(",", " ").replace("or", " ").lower().split(" ") if comma else []
    return [word for word in words if word]


def _is_asked(row: Row) -> bool:
    return row.text("q_lang") == "en" and row.text("answer_type") == "CLOSED"


def _question(
    row: Row,
    fixed: Callable[[str], tuple[str, ...] | None],
    expected: int | None,
    album: Album,
) -> Question | None:
    """A question; None if its answer is not among its options."""
    text = row.text("question").capitalize()
    answer = row.text("answer").lower().strip()
    options = list(YES_NO if answer in YES_NO else fixed(text.strip()) or named_options(text))
    if options and answer in ADDED and answer not in options:
        options.append(answer)
    if answer not in options or len(options) < 2:
        return None
    refuse_control_text(row, (text, *options))
    number = row.value("qid")
    return question_of(
        row,
        text=text,
        options=options,
        answer=options.index(answer),
        expected=expected,
        id=str(number) if isinstance(number, int) else row.text("qid"),
        pictures=(album.named(row, row.text("img_name"), key="img_name"),),
    )
