"""Questions that stand twice: in two splits of a task, or in its test set.

A test question among the demonstrations or the validation questions is no test any more, and one that is asked twice
counts twice. Two questions are the same if they differ at most in case, blanks, punctuation and the order of their
options. The same text with other options ("Which of these is true?") is another question, and so is one about other
pictures.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from medbench_local.files.rows import plain
from medbench_local.tasks.picture import Picture
from medbench_local.tasks.question import Question, SplitName

_PUNCTUATION = re.compile(r"[^\w<>=≤≥±+%°/^*]+")
"""White space and punctuation, without the signs that change what a question asks."""

_LOOKED_AT, _BEGINNING = 200, 40
"""Characters of a text, and of what is left of them, that tell most questions apart: abstracts are long."""

Key = tuple[str, frozenset[str], tuple[Picture, ...]]


def repeats(splits: Mapping[SplitName, tuple[Question, ...]], *, within: bool = True) -> Iterator[str]:
    """One sentence for each two splits that share questions, and one if the test set repeats its own (``within``)."""
    beginnings = {name: [_beginning(q.text) for q in questions] for name, questions in splits.items()}

    def keys(name: SplitName, among: set[str]) -> Iterator[tuple[Question, Key]]:
        for question, beginning in zip(splits[name], beginnings[name], strict=True):
            if beginning in among:
                yield question, _key(question)

    for known, name in itertools.combinations(splits, 2):
        both = set(beginnings[known]) & set(beginnings[name])
        seen = {key: question for question, key in keys(known, both)}
        found = [(question, seen[key]) for question, key in keys(name, both) if key in seen]
        where = known if known == "demonstrations" else f"{known} questions"
        yield from _said(found, name, f"is also among the {where}", f"are also among the {where}")
    if within and "test" in splits:
        twice = {beginning for beginning, count in Counter(beginnings["test"]).items() if count > 1}
        first: dict[Key, Question] = {}
        found = [
            (question, earlier)
            for question, key in keys("test", twice)
            if (earlier := first.setdefault(key, question)) is not question
        ]
        yield from _said(found, "test", "repeats an earlier one", "repeat an earlier one")


def _said(
    found: Sequence[tuple[Question, Question]], name: SplitName, one: str, several: str
) -> Iterator[str]:
    """What is said of questions of ``name``, each with its twin; nothing if there are none."""
    if not found:
        return
    counted = f"1 {name} question {one}" if len(found) == 1 else f"{len(found):,} {name} questions {several}"
    others = sum(_answer(question) != _answer(twin) for question, twin in found)
    but = f", {others:,} with another answer" if others else ""
    yield (
        f"{counted} (case, blanks, punctuation and the order of options aside){but}, first {plain(found[0][0].id)}."
    )


def _answer(question: Question) -> str:
    return normal(question.options[question.answer])


def _key(question: Question) -> Key:
    return normal(question.text), frozenset(map(normal, question.options)), question.pictures


def _beginning(text: str) -> str:
    return normal(text[:_LOOKED_AT])[:_BEGINNING]


def normal(text: str) -> str:
    """A text without what makes no difference between two questions: case, blanks, punctuation."""
    return _PUNCTUATION.sub(" ", unicodedata.normalize("NFKC", text).casefold()).strip()
