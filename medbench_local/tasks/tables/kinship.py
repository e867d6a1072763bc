"""Which questions belong together: the same ones, those about one picture, those with one passage."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

from medbench_local.tasks.question import Question
from medbench_local.tasks.repeats import normal
from medbench_local.tasks.tables.understanding import OwnRow

SHORTEST_PASSAGE = 20
"""Characters of a passage, without blanks and punctuation at its ends, that is one: "-" and "none" are not."""

NAMED = 3
"""How many repeated questions a warning names."""


@dataclass(frozen=True)
class OwnQuestion:
    """A row and the question that it becomes."""

    row: OwnRow
    question: Question


def families(asked: Sequence[OwnQuestion]) -> list[list[int]]:
    """The places of the questions that belong together, directly or through others; each place in one list."""
    leader = list(range(len(asked)))

    def head(place: int) -> int:
        while leader[place] != place:
            leader[place] = leader[leader[place]]
            place = leader[place]
        return place

    first: dict[Hashable, int] = {}
    for place, one in enumerate(asked):
        for key in _keys(one):
            other, own = head(first.setdefault(key, place)), head(place)
            leader[max(other, own)] = min(other, own)
    found: dict[int, list[int]] = {}
    for place in range(len(asked)):
        found.setdefault(head(place), []).append(place)
    return list(found.values())


def twice(asked: Sequence[OwnQuestion]) -> list[str]:
    """A warning that names the questions that stand twice, and one for those with two answers; else nothing."""
    first: dict[Hashable, OwnQuestion] = {}
    pairs: list[tuple[OwnQuestion, OwnQuestion]] = []
    for one in asked:
        known = first.setdefault(_same(one.question), one)
        if known is not one:
            pairs.append((known, one))
    if not pairs:
        return []
    said = [
        f"{_counted(len(pairs))} earlier one, apart from case, blanks, punctuation and the order of options: "
        f"{_named(pairs)}. It is kept in one split and counts as often as it stands there; remove one to count it once."
    ]
    others = [(a, b) for a, b in pairs if _answer(a.question) != _answer(b.question)]
    if others:
        said.append(f"The same question has different answers: {_named(others)}. One of them is wrong.")
    return said


def _counted(count: int) -> str:
    return "1 question repeats an" if count == 1 else f"{count:,} questions repeat an"


def _named(pairs: Sequence[tuple[OwnQuestion, OwnQuestion]]) -> str:
    named = "; ".join(f"{earlier.row.where} and {later.row.where}" for earlier, later in pairs[:NAMED])
    return f"{named} and {len(pairs) - NAMED:,} more" if len(pairs) > NAMED else named


def _keys(one: OwnQuestion) -> Iterator[Hashable]:
    yield "question", _same(one.question)
    passage = normal(one.row.passage)
    if len(passage) >= SHORTEST_PASSAGE:
        yield "passage", passage
    for picture in one.question.pictures:
        yield "picture", picture.sha256


def _same(question: Question) -> Hashable:
    return normal(question.text), frozenset(map(normal, question.options)), question.pictures


def _answer(question: Question) -> str:
    return normal(question.options[question.answer])
