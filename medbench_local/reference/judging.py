"""Which rows of a results file are right, and what is correct in each: pure functions.

Nothing is guessed: where two ways to read the file would call the same row right and wrong, it is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from medbench_local.reference.no_options import with_options_only
from medbench_local.reference.notation import (
    FEW,
    Golds,
    Pair,
    Written,
    possible_pairs,
    readings_of_answers,
    rows_with_answer,
    rows_with_both,
)
from medbench_local.reference.reading_choice import ADVICE, Unclear, decided, quoted, share, uncontradicted
from medbench_local.reference.respelling import respelled
from medbench_local.tasks.labels import MOST_OPTIONS, fold, no_answer
from medbench_local.tasks.notation import ENOUGH, NUMBERS, Reading, Token

MOST_EMPTY = 0.5
"""Share of predictions that may be empty and count as wrong."""


@dataclass(frozen=True)
class Gold:
    """The correct option of a question, as far as its row tells.

    Attributes:
        place: from 0; None where only its text is known.
        text: what it says, folded; None where only its place is known.
        from_either: whether ``place`` may be one too high: nothing shows if the numbers count from 0 or from 1.
    """

    place: int | None
    text: str | None
    from_either: bool = False


@dataclass(frozen=True)
class Judged:
    """The rows of one task in one file.

    Attributes:
        correct: whether each prediction is right.
        gold: the correct option of each row; None where the row does not say.
        notes: clauses on what was not written alike, or counted as wrong.
    """

    correct: tuple[bool, ...]
    gold: tuple[Gold | None, ...]
    notes: tuple[str, ...]


def judge(rows: Sequence[Written]) -> Judged:
    """Find out which rows are right.

    Args:
        rows: of one task, each with ``correct`` or with an answer.

    Raises:
        Unclear: predictions are in another form than the answers and nothing shows how they belong together, more
            than a few are no options, or ``correct`` contradicts the rest of a row.
    """
    rows = respelled(rows)
    both = rows_with_both(rows)
    undecided = [i for i, row in enumerate(rows) if row.correct is None]
    golds = readings_of_answers(rows)
    _check_answers(rows, undecided, golds)
    possible = [with_options_only(rows, both, pair) for pair in possible_pairs(rows, both, golds)]
    pairs = [pair for pair in possible if len(_strange(pair, both)) <= FEW * len(both)]
    pairs = uncontradicted(rows, both, pairs)
    notes: list[str] = []
    given = [i for i, row in enumerate(rows) if row.correct is not None and row.predicts]
    silent = [i for i in given if not rows[i].correct and no_answer(rows[i].prediction)]
    if silent:
        notes.append(f"{_are(len(silent), 'prediction')} empty, and wrong by 'correct'")
    if undecided:
        notes += _empty(rows, both, undecided)
        if not pairs:
            raise _not_understood(rows, both, possible)
        pair, said = decided(rows, both, undecided, pairs)
        notes += [*said, *_wrong(rows, pair, [i for i in both if rows[i].correct is None])]
        reading: Reading | None = pair.answers
        correct = [pair.right(i) if row.correct is None else row.correct for i, row in enumerate(rows)]
    else:
        if both and not pairs:
            notes.append("predictions cannot be compared with the answers; 'correct' was taken as it stands")
        reading = pairs[0].answers if pairs else None
        correct = [bool(row.correct) for row in rows]
    return Judged(tuple(correct), _golds(rows, golds, reading), tuple(notes))


def _check_answers(rows: Sequence[Written], undecided: Sequence[int], golds: Golds) -> None:
    """Refuse an answer that is none of its question's options, where the outcome depends on it."""
    for tokens in golds.values() or [(None,) * len(rows)]:
        lost = [i for i in undecided if tokens[i] is None]
        if lost:
            row = rows[lost[0]]
            raise Unclear(
                f"{row.where}, key 'answer'",
                f"{quoted(row.answer)} is none of the row's options ({share(len(lost), len(rows), 'answer')})",
                "Write all answers in the same way, as a label or a text of 'options'.",
            )


def _strange(pair: Pair, rows: Sequence[int]) -> list[int]:
    """Rows whose prediction is not empty and not understood."""
    return [i for i in rows if pair.chosen[i] is None]


def _not_understood(rows: Sequence[Written], both: Sequence[int], possible: Sequence[Pair]) -> Unclear:
    best = min(possible, key=lambda pair: len(_strange(pair, both)), default=None)
    strange = _strange(best, both) if best else both
    first = rows[strange[0]]
    answers = list(dict.fromkeys(quoted(rows[i].answer) for i in rows_with_answer(rows)))
    some = ", ".join(answers[:5]) + (" ..." if len(answers) > 5 else "")
    return Unclear(
        f"{first.where}, key 'prediction'",
        f"{quoted(first.prediction)} is written in another way than the answers ({some}), and the file does not show "
        f"what is meant ({share(len(strange), len(both), 'prediction')})",
        ADVICE,
    )


def _empty(rows: Sequence[Written], both: Sequence[int], undecided: Sequence[int]) -> Iterator[str]:
    filled = {*both}
    empty = [i for i in undecided if i not in filled]
    if len(empty) > MOST_EMPTY * len(undecided):
        raise Unclear(
            f"{rows[empty[0]].where}, key 'prediction'",
            f"nothing there ({share(len(empty), len(undecided), 'prediction')})",
            "Give every prediction, or 'correct': false where a model gave no usable answer.",
        )
    if empty:
        yield f"{_are(len(empty), 'prediction')} empty and counted as wrong"


def _wrong(rows: Sequence[Written], pair: Pair, asked: Sequence[int]) -> Iterator[str]:
    """What counts as wrong because it is no option, or hardly one.

    Raises:
        Unclear: most predictions are options that the answers never are.
    """
    strange = _strange(pair, asked)
    golds = {gold for i in asked if isinstance(gold := pair.gold[i], str)}
    others = [i for i in asked if isinstance(pair.chosen[i], str) and pair.chosen[i] not in golds]
    if others and not any(rows[i].options for i in asked):
        yield (
            f"{_are(len(others), 'prediction')} no text that is an answer in the file: where one of them is an answer "
            "written otherwise, it counts as wrong ('options' in the rows would tell)"
        )
    if strange:
        first = rows[strange[0]]
        yield (
            f"{_are(len(strange), 'prediction')} no option (the first: {quoted(first.prediction)}, {first.where}) and "
            "counted as wrong"
        )
    numbers = {pair.answers, pair.predictions} & {*NUMBERS}
    shown = pair.shown
    most = shown if numbers or (shown > 2 and len(asked) >= ENOUGH * shown) else MOST_OPTIONS
    beyond = []
    for i in asked:
        token, options = pair.chosen[i], rows[i].options
        if isinstance(token, int) and token >= (len(options.labels) if options else most):
            beyond.append(i)
    if beyond:
        first = rows[beyond[0]]
        many = len(beyond) > FEW * len(asked)
        if (numbers and many) or len(beyond) > MOST_EMPTY * len(asked):
            raise Unclear(
                f"{first.where}, key 'prediction'",
                f"{quoted(first.prediction)} is an option that no question seems to have "
                f"({share(len(beyond), len(asked), 'prediction')})",
                "Check that answers and predictions name the options in the same way.",
            )
        yield (
            f"{_are(len(beyond), 'prediction')} an option that no question seems to have (the first: "
            f"{quoted(first.prediction)}, {first.where}) and counted as wrong"
        )


def _golds(rows: Sequence[Written], golds: Golds, reading: Reading | None) -> tuple[Gold | None, ...]:
    """What is correct in each row, under ``reading`` or else under the likeliest one."""
    if not golds:
        return (None,) * len(rows)
    chosen = reading if reading is not None and reading in golds else next(iter(golds))
    either = chosen is Reading.ZERO and Reading.ONE in golds
    return tuple(_gold(token, row, either) for token, row in zip(golds[chosen], rows, strict=True))


def _gold(token: Token | None, row: Written, either: bool) -> Gold | None:
    if token is None or isinstance(token, str):
        return None if token is None else Gold(None, token)
    texts = row.options.texts if row.options else None
    return Gold(token, fold(texts[token]) if texts else None, either)


def _are(count: int, thing: str) -> str:
    """ "1 prediction is", "2 predictions are"."""
    return f"{count:,} {thing} is" if count == 1 else f"{count:,} {thing}s are"
