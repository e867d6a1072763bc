"""Which pair of readings a file holds to: pure functions.

Nothing is guessed: where two pairs would call the same row right and wrong, the file is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set

from medbench_local.reference.notation import FEW, Pair, Written, rows_with_answer
from medbench_local.tasks.labels import Value, bare, written
from medbench_local.tasks.notation import ENOUGH, NUMBERS, number_of

ADVICE = (
    "Write predictions as the answers are written (from a sentence, take the option alone), or list 'options' with "
    "their texts; write 'correct': false where a model gave no usable answer."
)


class Unclear(Exception):
    """The rows do not show what is meant, or contradict themselves.

    Args:
        where: a row and key that shows it.
        problem: what was found and expected.
        advice: what to do.
    """

    def __init__(self, where: str, problem: str, advice: str) -> None:
        super().__init__(f"{where}: {problem}. {advice}")
        self.where, self.problem, self.advice = where, problem, advice


def uncontradicted(rows: Sequence[Written], both: Sequence[int], pairs: Sequence[Pair]) -> list[Pair]:
    """The pairs that agree with every row that says itself whether it is correct.

    Raises:
        Unclear: there were some, and now there is none.
    """
    given = [i for i in (rows_with_answer(rows) if both else ()) if rows[i].correct is not None]
    filled = {*both}
    contradicted = {pair: _contradictions(rows, filled, given, pair) for pair in pairs}
    kept = [pair for pair, contradictions in contradicted.items() if not contradictions]
    if pairs and not kept:
        fewest = min(contradicted.values(), key=len)
        row = rows[fewest[0]]
        raise Unclear(
            f"{row.where}, key 'correct'",
            f"{str(row.correct).lower()} contradicts the row's own prediction {quoted(row.prediction)} and answer "
            f"{quoted(row.answer)} ({share(len(fewest), len(rows), 'row')} in all)",
            "Correct the rows, or leave out 'correct' or 'prediction', whichever is not what it says.",
        )
    return kept


def _contradictions(rows: Sequence[Written], filled: Set[int], given: Sequence[int], pair: Pair) -> list[int]:
    """Rows whose ``correct`` is not what their prediction and answer say.

    A text that is no answer of the file may be another wording of its own: who says that it is correct may know better.
    """
    answers = {*pair.gold}
    found = []
    for i in given:
        row, token = rows[i], pair.chosen[i]
        unknown = token is None if i in filled else not row.predicts
        reworded = row.correct and isinstance(token, str) and token not in answers
        if not unknown and not reworded and row.correct != pair.right(i):
            found.append(i)
    return found


def decided(
    rows: Sequence[Written], both: Sequence[int], undecided: Sequence[int], pairs: Sequence[Pair]
) -> tuple[Pair, list[str]]:
    """The pair that remains, or one of several that call the same rows right; and what is to be said about it.

    Args:
        rows: of one task.
        both: those with an answer and a prediction.
        undecided: those whose outcome depends on it.
        pairs: all that may be, at least one.

    Raises:
        Unclear: they differ.
    """
    pair = pairs[0]
    notes: list[str] = []
    if all({each.answers, each.predictions} <= {*NUMBERS} for each in pairs):
        pair, notes = _both_numbers(rows, both, undecided, pairs)
    elif other := next((each for each in pairs if not _same_rows(pair, each, undecided)), None):
        raise _ambiguous(rows, undecided, pair, other)
    elif {pair.answers, pair.predictions} & {*NUMBERS}:
        notes.append(f"{pair}, and were compared so")
    _check_case(rows, undecided)
    return pair, notes


def _both_numbers(
    rows: Sequence[Written], both: Sequence[int], undecided: Sequence[int], pairs: Sequence[Pair]
) -> tuple[Pair, list[str]]:
    """The pair that counts answers and predictions alike, where nothing hints that they do not.

    More than a few 0 in both columns show that they do, and so do 1 and the number of options. Else the numbers must go
    equally far, or be written alike, as one tool writes them: its model may never choose the first option, or the last.
    But predictions beyond all answers, or as many right answers if one column counted from another number, are such
    hints.

    Raises:
        Unclear: something hints that they do not.
    """
    alike = next((each for each in pairs if each.answers == each.predictions), None)
    if alike is None:
        raise _ambiguous(rows, undecided, pairs[0], None)
    answers, predictions = _numbers(rows[i].answer for i in both), _numbers(rows[i].prediction for i in both)
    zeros = sum(number_of(rows[i].prediction) == 0 for i in both)
    if not predictions or (0 in answers and zeros > FEW * len(both)):
        return alike, []
    most = max(answers)
    alike_range = (min(answers), most) == (min(predictions), max(predictions))
    listed = {len(options.labels) if (options := rows[i].options) else most for i in both}
    if alike_range and min(answers) == 1 and listed == {most} and len(both) >= ENOUGH * most:
        return alike, []
    forms = {_form(rows[i].answer) for i in both}, {_form(rows[i].prediction) for i in both}
    known = alike.shown
    beyond = any(rows[i].options is None and alike.chosen[i] == known for i in both)
    if beyond or not (alike_range or forms[0] == forms[1]) or not _best(rows, alike, undecided):
        raise _ambiguous(rows, undecided, alike, next((each for each in pairs if each != alike), None))
    note = (
        "answers and predictions are numbers and may count from 0 or from 1: both were taken to count alike"
    )
    return alike, [] if alike_range and forms[0] == forms[1] else [note]


def _numbers(values: Iterable[Value]) -> set[int]:
    return {found for value in values if (found := number_of(value)) is not None}


def _best(rows: Sequence[Written], alike: Pair, undecided: Sequence[int]) -> bool:
    """Whether fewer predictions would be right, or the very same, if one column counted from another number."""
    right = [alike.right(i) for i in undecided]
    for step in (-1, 1):
        shifted = [
            (found := number_of(rows[i].prediction)) is not None and found + step == number_of(rows[i].answer)
            for i in undecided
        ]
        if shifted != right and sum(shifted) >= sum(right):
            return False
    return True


def _form(value: Value) -> str:
    """How a number is written: as one, as digits, or as digits with something around them."""
    if not isinstance(value, str):
        return "number"
    return "digits" if value.strip() == bare(value) else "label"


def _same_rows(one: Pair, other: Pair, rows: Sequence[int]) -> bool:
    return all(one.right(i) == other.right(i) for i in rows)


def _ambiguous(rows: Sequence[Written], undecided: Sequence[int], pair: Pair, other: Pair | None) -> Unclear:
    i = next((i for i in undecided if other is None or pair.right(i) != other.right(i)), undecided[0])
    ways = f"{pair}" if other is None else f"{pair}, or {other}"
    return Unclear(
        f"{rows[i].where}, key 'prediction'",
        f"is {quoted(rows[i].prediction)} the answer {quoted(rows[i].answer)}? The file does not show whether {ways}",
        ADVICE,
    )


def _check_case(rows: Sequence[Written], undecided: Sequence[int]) -> None:
    """Refuse answers that differ in case only, where it decides: they may be two labels or one."""
    written_so = {bare(written(rows[i].answer)) for i in rows_with_answer(rows) if rows[i].options is None}
    if len({text.casefold() for text in written_so}) == len(written_so):
        return
    for i in undecided:
        answer, prediction = (bare(written(value)) for value in (rows[i].answer, rows[i].prediction))
        if rows[i].options is None and answer != prediction and answer.casefold() == prediction.casefold():
            raise Unclear(
                f"{rows[i].where}, key 'prediction'",
                f"is {prediction!r} the answer {answer!r}? Some answers differ in upper and lower case only",
                ADVICE,
            )


def quoted(value: Value) -> str:
    """``value`` for a message."""
    return f"{value!r:.60}"


def share(count: int, of: int, thing: str) -> str:
    """ "2 of 60 predictions"."""
    return f"{count:,} of {of:,} {thing}s"
