"""Any file of per-question results, for the paired verdict: who got which question right."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from medbench_local.errors import InputError
from medbench_local.files.hashes import prompt_sha256
from medbench_local.files.readers import json_lines
from medbench_local.files.rows import Row, SourceFile, plain
from medbench_local.reference.judging import Gold, judge
from medbench_local.reference.labels import Options, Value, fold, options_of
from medbench_local.reference.notation import Written
from medbench_local.reference.reading_choice import Unclear
from medbench_local.reference.rows import question_id

QuestionKey = tuple[str, str]

SETTINGS = ("shots", "scoring", "precision", "protocol", "split")
"""Fields that say how a question was asked; both files should say the same."""


@dataclass(frozen=True)
class Result:
    """One question's row.

    Attributes:
        where: its place in the file.
        correct: whether the prediction is right.
        gold: the correct option, where the row says it.
        text_sha256: hash of the question's text, as the row gives it, or None.
        question: the question's text, folded, or None.
        options: the options' texts, folded, in order of the alphabet; None where the row does not list them.
        option_count: how many options the row lists, or None.
        prompt: hash of the prompt's text, or None.
        settings: those of `SETTINGS` that the row has, with ``model`` and ``role``.
    """

    where: str
    correct: bool
    gold: Gold | None
    text_sha256: str | None
    question: str | None
    options: tuple[str, ...] | None
    option_count: int | None
    prompt: str | None
    settings: Mapping[str, str]


@dataclass(frozen=True)
class Outcomes:
    """One model's results.

    Attributes:
        path: the file.
        results: by task ("" where the file names none) and question id, in the file's order.
        duplicates: number of rows that repeat an earlier one with the same outcome.
        notes: clauses on how the file was read and what counts as wrong.
        content: hash of what the rows say, whatever their order.
    """

    path: Path
    results: Mapping[QuestionKey, Result]
    duplicates: int
    notes: tuple[str, ...]
    content: str


def read_results(path: Path) -> Outcomes:
    """Read rows with ``id``, ``correct`` (or ``prediction`` and ``answer``) and, if there are several, ``task``.

    ``options`` (a list of texts, or a mapping from label to text), ``text_sha256``, ``question`` and what our own
    samples say about model and settings are used where they are there.

    Raises:
        InputError: a line is not such a row, two rows disagree about the same question, or it is not clear what the
            predictions mean.
    """
    rows: dict[str, list[tuple[QuestionKey, Row, Written]]] = {}
    content = []
    for row in json_lines(SourceFile(path)):
        task = row.text("task") if row.fields.get("task") is not None else ""
        rows.setdefault(task, []).append(((task, question_id(row)), row, _written(row)))
        content.append(hashlib.sha256(json.dumps(row.fields, sort_keys=True).encode()).digest())
    if not rows:
        raise InputError(path, "", "no rows", advice="Expected one JSON object a line.")
    results: dict[QuestionKey, Result] = {}
    duplicates, notes = 0, []
    for task, found in rows.items():
        try:
            judged = judge([row for _, _, row in found])
        except Unclear as unclear:
            problem = f"task {plain(task)!r}: {unclear.problem}" if task else unclear.problem
            raise InputError(path, unclear.where, problem, advice=unclear.advice) from None
        notes += [f"task {task}: {note}" if task else note for note in judged.notes]
        for (key, row, said), correct, gold in zip(found, judged.correct, judged.gold, strict=True):
            result = _result(row, said.options, correct, gold)
            if key in results:
                _check_repeated(path, key, results[key], result)
                duplicates += 1
            else:
                results[key] = result
    return Outcomes(
        path, results, duplicates, tuple(notes), hashlib.sha256(b"".join(sorted(content))).hexdigest()
    )


def _check_repeated(path: Path, key: QuestionKey, first: Result, again: Result) -> None:
    problem = ""
    if first.correct != again.correct:
        problem = f"is {'correct' if again.correct else 'wrong'} here, the opposite on {first.where}"
    elif first.gold != again.gold:
        problem = f"has another answer here than on {first.where}"
    elif first.text_sha256 != again.text_sha256 or first.question != again.question:
        problem = f"has another text here than on {first.where}"
    if problem:
        raise InputError(
            path,
            again.where,
            f"question {plain(key[1])!r} {problem}",
            advice="Keep one row for each question, or give each task its name in 'task'.",
        )


def _written(row: Row) -> Written:
    """What a row says about its outcome.

    Raises:
        InputError: it says nothing, or something that can be none.
    """
    correct = row.fields.get("correct")
    if correct not in (None, 0, 1):  # true and false are equal to 1 and 0
        raise row.error(f"expected true or false, found {correct!r:.40}", name="correct")
    answer, prediction = row.fields.get("answer"), row.fields.get("prediction")
    if correct is None and not {"answer", "prediction"} <= row.fields.keys():
        raise row.error("expected 'correct', or 'prediction' and 'answer'")
    if correct is None and not _is_option(answer):
        raise row.error(
            f"expected the correct option, as text or number, found {answer!r:.40}", name="answer"
        )
    if correct is None and not (prediction is None or isinstance(prediction, str) or _is_option(prediction)):
        raise row.error(f"expected an option, as text or number, found {prediction!r:.40}", name="prediction")
    return Written(
        where=row.where,
        answer=_option(answer),
        prediction=_option(prediction),
        predicts="prediction" in row.fields,
        options=options_of(row.fields.get("options")),
        correct=None if correct is None else bool(correct),
    )


def _is_option(value: object) -> bool:
    return isinstance(value, (bool, int, float)) or (isinstance(value, str) and value.strip() != "")


def _option(value: object) -> Value:
    return value if isinstance(value, (str, bool, int, float)) and _is_option(value) else None


def _result(row: Row, options: Options | None, correct: bool, gold: Gold | None) -> Result:
    prompt = row.text("prompt") if isinstance(row.fields.get("prompt"), str) else None
    question = row.text("question") if isinstance(row.fields.get("question"), str) else None
    texts = options.texts if options is not None else None
    return Result(
        where=row.where,
        correct=correct,
        gold=gold,
        text_sha256=_text(row, "text_sha256"),
        question=fold(question) if question is not None else None,
        options=tuple(sorted(map(fold, texts))) if texts is not None else None,
        option_count=len(options.labels) if options is not None else None,
        prompt=_text(row, "prompt_sha256") or (prompt_sha256(prompt) if prompt else None),
        settings={
            name: value for name in (*SETTINGS, "model", "role") if (value := _scalar(row, name)) is not None
        },
    )


def _text(row: Row, name: str) -> str | None:
    return row.text(name) if row.fields.get(name) is not None else None


def _scalar(row: Row, name: str) -> str | None:
    value = row.fields.get(name)
    if isinstance(value, str):
        return row.text(name) or None
    return str(value) if isinstance(value, (int, float)) else None
