"""How a column writes the correct options, settled by all of its rows: letters, numbers from 0 or from 1, or texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from medbench_local.tasks.labels import Options, Value, written
from medbench_local.tasks.notation import NUMBERS, Reading, number_of, token_of
from medbench_local.tasks.tables.table import Defect

Notation = Literal["letters", "from 0", "from 1", "texts"]
"""What somebody may say of a column."""

READINGS: Mapping[Notation, Reading] = {
    "letters": Reading.LABEL,
    "from 0": Reading.ZERO,
    "from 1": Reading.ONE,
    "texts": Reading.TEXT,
}

SLIPS = 0.05
"""Share of the numbers that show one way to count which may show the other: a typing error is no notation."""


class UnclearAnswers(Exception):
    """A column may be read in several ways that name different options.

    Args:
        problem: a sentence.
        ways: what somebody may say of it, the likeliest first.
    """

    def __init__(self, problem: str, ways: Sequence[Notation]) -> None:
        super().__init__(problem)
        self.ways = ways


@dataclass(frozen=True)
class Asked:
    """What one row says.

    Attributes:
        where: its place in the file.
        value: the answer as written; not blank.
        options: the question's.
    """

    where: str
    value: Value
    options: Options


@dataclass(frozen=True)
class Settled:
    """What the answers of a column mean.

    Attributes:
        places: index of the correct option of each row; None for those that have a defect.
        note: how they were read, a sentence.
        defects: of those that are not understood.
    """

    places: tuple[int | None, ...]
    note: str
    defects: tuple[Defect, ...]


def settle(column: str, rows: Sequence[Asked], notation: Notation | None) -> Settled:
    """What each answer means.

    Args:
        column: its name.
        rows: those with an answer and options.
        notation: how they are written, where somebody says so.

    Raises:
        UnclearAnswers: nothing in the file shows which of two ways is meant.
    """
    places = {reading: tuple(_place(row, reading) for row in rows) for reading in Reading}
    if notation is not None:
        reading, why = READINGS[notation], " as was said"
    else:
        reading, why = _likeliest(column, rows, places)
    found, others = list(places[reading]), 0
    if reading is not Reading.TEXT:
        for i, row in enumerate(rows):
            if found[i] is None and number_of(row.value) is None and places[Reading.TEXT][i] is not None:
                found[i], others = places[Reading.TEXT][i], others + 1
    more = f"; {others:,} of {len(rows):,} are an option's text" if others else ""
    defects = tuple(
        Defect(row.where, column, _problem(row, reading))
        for row, place in zip(rows, found, strict=True)
        if place is None
    )
    return Settled(tuple(found), f"Answers in '{column}' are read as {reading.value}{why}{more}.", defects)


def _place(row: Asked, reading: Reading) -> int | None:
    token = token_of(row.value, reading, row.options)
    return token if isinstance(token, int) and token < len(row.options.labels) else None


def _likeliest(
    column: str, rows: Sequence[Asked], places: Mapping[Reading, Sequence[int | None]]
) -> tuple[Reading, str]:
    """The way in which most answers are options, and what shows that it is this one."""
    count = {reading: sum(place is not None for place in found) for reading, found in places.items()}
    best = [reading for reading in Reading if count[reading] == max(count.values())]
    different = [best[0]]
    different += [reading for reading in best[1:] if _contradict(places[reading], places[best[0]])]
    if len(different) > 1:
        ways = " and as ".join(reading.value for reading in different)
        raise UnclearAnswers(
            f"The answers in '{column}' can be read as {ways}, which are different options ({rows[0].where}: "
            f"{written(rows[0].value)!r}), and no row shows which is meant.",
            [notation for reading in different for notation, known in READINGS.items() if known is reading],
        )
    chosen = best[0]
    if chosen not in NUMBERS:
        return chosen, ""
    other = NUMBERS[1 - NUMBERS.index(chosen)]
    shows, against = (
        [i for i in range(len(rows)) if places[a][i] is not None and places[b][i] is None]
        for a, b in ((chosen, other), (other, chosen))
    )
    if len(against) > SLIPS * len(shows):
        first, second = rows[shows[0]], rows[against[0]]
        raise UnclearAnswers(
            f"The answers in '{column}' count from 0 and from 1: {written(first.value)} ({first.where}, "
            f"{len(first.options.labels)} options) and {written(second.value)} ({second.where}).",
            ["from 0", "from 1"],
        )
    if not shows:
        return chosen, ""
    row = rows[shows[0]]
    return chosen, f": {row.where} has {written(row.value)}, with {len(row.options.labels)} options"


def _contradict(one: Sequence[int | None], other: Sequence[int | None]) -> bool:
    """Whether a row is read as two options; half letters and half texts, which complete each other, are not."""
    return any(None not in (a, b) and a != b for a, b in zip(one, other, strict=True))


def _problem(row: Asked, reading: Reading) -> str:
    count = len(row.options.labels)
    said = written(row.value)
    shown = repr(said if len(said) <= 40 else f"{said[:37]}...")
    first, last = row.options.labels[0].upper(), row.options.labels[-1].upper()
    expected = {
        Reading.LABEL: f"{first} to {last}",
        Reading.ZERO: f"0 to {count - 1}",
        Reading.ONE: f"1 to {count}",
        Reading.TEXT: "the text of an option",
    }[reading]
    return f"expected {expected}, found {shown}"
