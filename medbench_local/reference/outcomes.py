"""Any file of per-question results, for the paired verdict: who got which question right."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from medbench_local.errors import InputError
from medbench_local.files.hashes import prompt_sha256
from medbench_local.files.rows import Row, listed, plain
from medbench_local.reference.judging import Gold, judge
from medbench_local.reference.notation import Written
from medbench_local.reference.question_keys import QuestionKey, question_keys, task_of
from medbench_local.reference.readers.reading import Results
from medbench_local.reference.readers.record import EVERYTHING, Record, Selection
from medbench_local.reference.reading_choice import Unclear
from medbench_local.reference.shared import Shared, shared_of
from medbench_local.tasks.labels import Value, fold, options_of

_ENCODER = json.JSONEncoder(sort_keys=True)

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
        document_sha256: hash of the data set's record, by another tool, where its text is not known; or None.
        options: the options' texts, folded, in order of the alphabet; None where the row does not list them.
        option_count: how many options the row lists, or None.
        prompt: hash of the prompt's text, or None.
        settings: those of `SETTINGS` that the row has, with ``model`` and ``role``.
        shared: what it says that it shares with other questions; nothing in another tool's log.
    """

    where: str
    correct: bool
    gold: Gold | None
    text_sha256: str | None
    question: str | None
    document_sha256: str | None
    options: tuple[str, ...] | None
    option_count: int | None
    prompt: str | None
    settings: Mapping[str, str]
    shared: Shared = ()


@dataclass(frozen=True)
class Outcomes:
    """One model's results.

    Attributes:
        path: the file.
        results: by task ("" where the file names none) and question id, in the file's order.
        duplicates: number of rows that repeat an earlier one with the same outcome.
        notes: clauses on how the file was read and what counts as wrong.
        content: hash of what the rows say, whatever their order.
        logs: whether rows came from another tool's log.
    """

    path: Path
    results: Mapping[QuestionKey, Result]
    duplicates: int
    notes: tuple[str, ...]
    content: str
    logs: bool = False


def read_results(path: Path, selection: Selection = EVERYTHING, *, role: str | None = None) -> Outcomes:
    """Read rows with ``id``, ``correct`` (or ``prediction`` and ``answer``) and, if there are several, ``task``.

    ``options`` (a list of texts, or a mapping from label to text), ``text_sha256``, ``question`` and what our own
    samples say about model and settings are used where they are there, and so are ``cluster``, ``image`` and
    ``images``. Where no row has an id, the text of ``question`` stands for it.

    Args:
        path: a file of any format that `Results` knows, or a folder of ``*.jsonl`` files, whose shots and scorings are
            then kept apart as tasks.
        selection: the metric, filter and task that are wanted.
        role: "medical" or "base": of a folder, rows that say that they have the other role are left out.

    Raises:
        InputError: a line is not such a row, two rows disagree about the same question, it is not clear what the
            predictions mean, or the file holds several metrics or filters and none is chosen.
    """
    source = Results(path, selection)
    in_folder = source.is_folder
    tasks, records, said, content = [], [], [], []
    for record in source:
        if in_folder and role is not None and record.row.fields.get("role") not in (None, role):
            continue
        tasks.append(task_of(record, cell=in_folder))
        records.append(record)
        said.append(_written(record, in_folder))
        content.append(hashlib.sha256(_ENCODER.encode(record.row.fields).encode()).digest())
    if not records:
        raise InputError(path, "", f"no rows of the {role} model")
    keys, by_text = question_keys(tasks, records)
    results: dict[QuestionKey, Result] = {}
    duplicates, notes = 0, [*source.notes, *by_text]
    for task, places in _places(tasks).items():
        try:
            judged = judge([said[i] for i in places])
        except Unclear as unclear:
            problem = f"task {plain(task)!r}: {unclear.problem}" if task else unclear.problem
            raise InputError(path, unclear.where, problem, advice=unclear.advice) from None
        notes += [f"task {task}: {note}" if task else note for note in judged.notes]
        for i, correct, gold in zip(places, judged.correct, judged.gold, strict=True):
            result = _result(records[i], said[i], correct, gold)
            if keys[i] in results:
                _check_repeated(path, keys[i], results[keys[i]], result)
                duplicates += 1
            else:
                results[keys[i]] = result
    return Outcomes(
        path,
        results,
        duplicates,
        tuple(notes),
        hashlib.sha256(b"".join(sorted(content))).hexdigest(),
        source.logs,
    )


def _places(tasks: Sequence[str]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for i, task in enumerate(tasks):
        found.setdefault(task, []).append(i)
    return found


def _check_repeated(path: Path, key: QuestionKey, first: Result, again: Result) -> None:
    problem = ""
    if first.correct != again.correct:
        problem = f"is {'correct' if again.correct else 'wrong'} here, the opposite on {first.where}"
    elif first.gold != again.gold:
        problem = f"has another answer here than on {first.where}"
    elif (first.text_sha256, first.question, first.document_sha256) != (
        again.text_sha256,
        again.question,
        again.document_sha256,
    ):
        problem = f"has another text here than on {first.where}"
    elif None not in (first.options, again.options) and first.options != again.options:
        problem = f"has other options here than on {first.where}"
    if problem:
        raise InputError(
            path,
            again.where,
            f"question {plain(key[1])!r} {problem}",
            advice="Keep one row for each question, or give each task its name in 'task'.",
        )


def _written(record: Record, in_folder: bool) -> Written:
    """What a row says about its outcome. What another tool's log says is correct is not compared with its prediction.

    Raises:
        InputError: it says nothing, or something that can be none.
    """
    row, correct = record.row, record.correct
    fields = row.fields
    scored = record.scored_by is not None
    answer, prediction = fields.get("answer"), fields.get("prediction")
    if correct is None and not {"answer", "prediction"} <= fields.keys():
        raise row.error(f"expected 'correct', or 'prediction' and 'answer'; the row has {listed(fields)}")
    if correct is None and not _is_option(answer):
        raise row.error(
            f"expected the correct option, as text or number, found {answer!r:.40}", name="answer"
        )
    if correct is None and not (prediction is None or isinstance(prediction, str) or _is_option(prediction)):
        raise row.error(f"expected an option, as text or number, found {prediction!r:.40}", name="prediction")
    return Written(
        where=f"{row.file.path.name}, {row.where}" if in_folder else row.where,
        answer=_option(answer),
        prediction=None if scored else _option(prediction),
        predicts="prediction" in fields and not scored,
        options=options_of(fields.get("options")),
        correct=correct,
    )


def _is_option(value: object) -> bool:
    return isinstance(value, (bool, int, float)) or (isinstance(value, str) and value.strip() != "")


def _option(value: object) -> Value:
    return value if isinstance(value, (str, bool, int, float)) and _is_option(value) else None


def _result(record: Record, said: Written, correct: bool, gold: Gold | None) -> Result:
    row = record.row
    options = said.options
    prompt = row.text("prompt") if isinstance(row.fields.get("prompt"), str) else None
    question = row.text("question") if isinstance(row.fields.get("question"), str) else None
    texts = options.texts if options is not None else None
    return Result(
        where=said.where,
        correct=correct,
        gold=gold,
        text_sha256=_text(row, "text_sha256"),
        question=fold(question) if question is not None else None,
        document_sha256=_text(row, "document_sha256"),
        options=tuple(sorted(map(fold, texts))) if texts is not None else None,
        option_count=len(options.labels) if options is not None else None,
        prompt=_text(row, "prompt_sha256") or (prompt_sha256(prompt) if prompt else None),
        settings={
            name: value
            for name in (*SETTINGS, "model", "role")
            if name in row.fields and (value := _scalar(row, name)) is not None
        },
        shared=() if record.scored_by is not None else shared_of(row),
    )


def _text(row: Row, name: str) -> str | None:
    return row.text(name) if row.fields.get(name) is not None else None


def _scalar(row: Row, name: str) -> str | None:
    value = row.fields.get(name)
    if isinstance(value, str):
        return row.text(name) or None
    return str(value) if isinstance(value, (int, float)) else None
