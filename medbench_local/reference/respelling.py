"""Two spellings that a whole column shows to be what they seem: "A: aspirin", and T and F for true and false.

Both could be something else in a single row: "A:" also stands for "answer:", and T for the twentieth option. So a
column is respelled as a whole, or left as it is.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from medbench_local.reference.notation import FEW, Written
from medbench_local.tasks.labels import Value, fold, written

_COLON = re.compile(r"\s*[\"'`*(\[{]*([A-Za-z])[\"'`*)\]}]*:[\"'`*]*[ \t]+(\S.*)")
_TRUTH = {"t": "true", "f": "false"}


def respelled(rows: Sequence[Written]) -> Sequence[Written]:
    """The rows with "A: aspirin" written as "A. aspirin", and T and F as the other column writes true and false.

    A colon is taken to follow a label if at least two letters stand before colons, each of them more than a few times:
    what begins with "A:" for "answer:" always begins with the same. T and F are true and false if one of both
    columns holds nothing but true and false, and the other nothing but T and F.
    """
    answers = [row.answer for row in rows]
    predictions = [row.prediction for row in rows]
    pairs = _truth_values(_labels(answers), _labels(predictions))
    if pairs == (answers, predictions):
        return rows
    return [
        replace(row, answer=answer, prediction=prediction)
        for row, answer, prediction in zip(rows, *pairs, strict=True)
    ]


def _labels(column: list[Value]) -> list[Value]:
    found = {
        i: match
        for i, value in enumerate(column)
        if isinstance(value, str) and ":" in value and (match := _COLON.fullmatch(value))
    }
    counts = Counter(match[1].upper() for match in found.values())
    if sum(count > FEW * len(found) for count in counts.values()) < 2:
        return column
    return [f"{found[i][1]}. {found[i][2]}" if i in found else value for i, value in enumerate(column)]


def _truth_values(answers: list[Value], predictions: list[Value]) -> tuple[list[Value], list[Value]]:
    said = _few_texts(answers), _few_texts(predictions)
    for short, long in (said, said[::-1]):
        if short and long and short <= _TRUTH.keys() and long <= {*_TRUTH.values()}:
            break
    else:
        return answers, predictions
    return _spelled_out(answers), _spelled_out(predictions)


def _few_texts(column: Iterable[Value]) -> set[str]:
    """The different texts of a column that is not empty everywhere; nothing if there are many."""
    values = {value for value in column if value is not None}
    return {fold(written(value)) for value in values} if len(values) <= 8 else set()


def _spelled_out(column: Iterable[Value]) -> list[Value]:
    return [_TRUTH.get(fold(value), value) if isinstance(value, str) else value for value in column]
