"""How a file writes its answers and predictions, inferred from all of its rows: pure functions.

A column is read in one way from its first row to its last: as labels, as numbers from 0 or from 1, or as texts. A pair
of readings, one for the answers and one for the predictions, is possible if it understands every answer and nothing in
the file speaks against it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from medbench_local.tasks.labels import (
    MOST_OPTIONS,
    Options,
    Value,
    fold,
    labelled,
    no_answer,
    written,
)
from medbench_local.tasks.notation import ENOUGH, NUMBERS, Reading, Token, number_of, token_of

FEW = 0.05
"""Share of a file's predictions that may be something else than it seems to be full of."""


Golds = Mapping[Reading, tuple[Token | None, ...]]
"""What each row's answer means, under each reading of the answers."""


@dataclass(frozen=True)
class Written:
    """What one row says.

    Attributes:
        where: its place in the file.
        answer: the correct option as written; None where the row does not say.
        prediction: the chosen option as written; None for none.
        predicts: whether the row has a prediction at all, be it empty.
        options: the question's options, where the row lists them.
        correct: whether the prediction is right, where the row says so.
    """

    where: str
    answer: Value
    prediction: Value
    predicts: bool
    options: Options | None
    correct: bool | None


@dataclass(frozen=True)
class Pair:
    """The rows under one reading of the answers and one of the predictions.

    Attributes:
        answers, predictions: the readings.
        gold, chosen: what each row's answer and prediction mean; None if there is none or it is not understood.
    """

    answers: Reading
    predictions: Reading
    gold: tuple[Token | None, ...]
    chosen: tuple[Token | None, ...]

    def right(self, row: int) -> bool:
        """Whether the prediction of a row is its answer."""
        return self.chosen[row] is not None and self.chosen[row] == self.gold[row]

    @property
    def shown(self) -> int:
        """How many options the answers show."""
        return max((token for token in self.gold if isinstance(token, int)), default=-1) + 1

    def __str__(self) -> str:
        return f"answers are {self.answers.value} and predictions {self.predictions.value}"


def rows_with_answer(rows: Sequence[Written]) -> list[int]:
    """Which rows say what is correct."""
    return [i for i, row in enumerate(rows) if row.answer is not None]


def rows_with_both(rows: Sequence[Written]) -> list[int]:
    """Which rows have an answer and a prediction that is not empty."""
    answered = rows_with_answer(rows)
    answers = {fold(written(rows[i].answer)) for i in answered} - {""}
    return [i for i in answered if not no_answer(rows[i].prediction) or _is_known(rows[i], answers)]


def _is_known(row: Written, answers: Set[str]) -> bool:
    """Whether what looks like no prediction ("None") is an option."""
    said = written(row.prediction)
    return fold(said) in answers or (row.options is not None and row.options.place_of_text(said) is not None)


def readings_of_answers(rows: Sequence[Written]) -> Golds:
    """What each row's answer means under the readings that understand the most answers, the likeliest first.

    Without texts of options any answer is a text, so that other readings must understand all of them.
    """
    found: dict[Reading, tuple[Token | None, ...]] = {}
    understood = {}
    for reading in Reading:
        found[reading] = tuple(_answer_of(row, reading) for row in rows)
        understood[reading] = sum(token is not None for token in found[reading])
    most = max(understood.values())
    best = [reading for reading in Reading if most and understood[reading] == most]
    if len(best) > 1 and not any((options := row.options) and options.texts for row in rows):
        texts = {fold(written(row.answer)) for row in rows if row.answer is not None}
        labels = {*found[Reading.LABEL]} - {None}
        closed = len(texts) <= MOST_OPTIONS and len(rows_with_answer(rows)) >= ENOUGH * len(texts)
        if closed and 0 < len(labels) < len(texts) and all(labelled(text) for text in texts):
            best = [Reading.TEXT]  # "S. aureus" and "S. pyogenes" are no labels
        best = [reading for reading in best if reading is not Reading.TEXT] or best
    return {reading: found[reading] for reading in best}


def possible_pairs(rows: Sequence[Written], both: Sequence[int], golds: Golds) -> list[Pair]:
    """All pairs of readings that nothing in the file speaks against, whatever they understand of the predictions.

    Args:
        rows: of one task.
        both: those of `rows_with_both`.
        golds: what `readings_of_answers` found.
    """
    found = []
    for answers, gold in golds.items():
        for predictions in Reading:
            chosen: list[Token | None] = [None] * len(rows)
            for i in both:
                chosen[i] = token_of(rows[i].prediction, predictions, rows[i].options)
            pair = Pair(answers, predictions, gold, tuple(chosen))
            if not _numbers_speak_against(rows, both, pair):
                found.append(pair)
    return found


def _answer_of(row: Written, reading: Reading) -> Token | None:
    token = token_of(row.answer, reading, row.options)
    beyond = isinstance(token, int) and row.options is not None and token >= len(row.options.labels)
    return None if beyond else token


def _numbers_speak_against(rows: Sequence[Written], both: Sequence[int], pair: Pair) -> bool:
    """Whether the numbers of a column show that they do not count so.

    A 0 counts from 0. The number of options counts from 1, where rows list their options or there are `ENOUGH` answers
    to know how many there are (3 or more). So do answers that are each of 1, 2, 3 ... and never 0, where rows do not
    list more. More than a few rows must say so: a single stray value shows nothing. Two options only, 0 and 1 on one
    side and letters on the other, never show which is which.
    """
    shown = pair.shown
    enough = len(both) >= ENOUGH * shown
    zeros = sum(number_of(rows[i].prediction) == 0 for i in both)
    if pair.predictions is Reading.ONE and zeros > FEW * len(both):
        return True
    kinds = {pair.answers, pair.predictions}
    two = len({token for token in pair.gold if token is not None}) <= 2
    if Reading.LABEL in kinds and kinds & {*NUMBERS} and two and not any(rows[i].options for i in both):
        return True
    if pair.predictions is Reading.ZERO and not (pair.answers is Reading.ZERO and zeros):
        beyond = 0
        for i in both:
            options = rows[i].options
            beyond += pair.chosen[i] == (len(options.labels) if options else shown) and (
                options is not None or (enough and shown > 2)
            )
        if beyond > FEW * len(both):
            return True
    golds = {token for token in pair.gold if token is not None}
    never_first = shown > 3 and golds == {*range(1, shown)}
    return pair.answers is Reading.ZERO and never_first and enough and not any(rows[i].options for i in both)
