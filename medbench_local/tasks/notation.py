"""One value of a column under each way to read a column: labels, numbers from 0 or 1, texts. Pure functions."""

from __future__ import annotations

from enum import Enum

from medbench_local.tasks.labels import (
    MOST_OPTIONS,
    Options,
    Value,
    fold,
    labelled,
    letter,
    names_another,
    number,
    written,
)

Token = int | str
"""What a value means: the place of an option, from 0, or its text where the options' texts are not known."""

ENOUGH = 5
"""Answers for each option after which an option that is never the answer is taken not to exist.

Where options are equally often the answer, one of k never is in 5 k questions with probability below exp(-5), 0.7 %.
"""


class Reading(Enum):
    """One way to read a column."""

    LABEL = "labels"
    ZERO = "numbers from 0"
    ONE = "numbers from 1"
    TEXT = "texts"


NUMBERS = (Reading.ZERO, Reading.ONE)


def token_of(value: Value, reading: Reading, options: Options | None) -> Token | None:
    """What ``value`` means under ``reading``; None if it is not written so.

    Labels, numbers, and texts of a row that lists its options' texts become the place of the option, from 0.
    """
    if value is None:
        return None
    if reading is Reading.LABEL:
        return _label(value, options)
    if reading in NUMBERS:
        if options is not None and options.place(written(value)) is not None:
            return None  # it is a label: the keys of these options are numbers
        found = number_of(value)
        place = -1 if found is None else found - (reading is Reading.ONE)
        return place if 0 <= place < MOST_OPTIONS and _may_be(value, place, options) else None
    if options is not None:
        return options.place_of_text(written(value))
    return fold(written(value)) or None


def number_of(value: Value) -> int | None:
    """The number that ``value`` is or starts with as a label: 2, "2", "(2)" and "2. aspirin"."""
    pair = labelled(value)
    return number(pair[0] if pair else value)


def _label(value: Value, options: Options | None) -> int | None:
    if options is not None and (place := options.place(written(value))) is not None:
        return place
    pair = labelled(value)
    if pair is None:
        return letter(value)
    place = options.place(pair[0]) if options is not None else letter(pair[0])
    return place if place is not None and _may_be(value, place, options) else None


def _may_be(value: Value, place: int, options: Options | None) -> bool:
    """Whether the text after a label, if there is any, may be that option's: it is not another's and names no other."""
    pair = labelled(value)
    if pair is None:
        return True
    said = options.place_of_text(pair[1]) if options is not None and options.texts is not None else None
    return said == place if said is not None else not names_another(*pair)
