"""Any two files of per-question results, for the paired verdict: who got which question right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medbench_local.errors import InputError
from medbench_local.files.readers import json_lines
from medbench_local.files.rows import Row, SourceFile
from medbench_local.reference.rows import question_id

QuestionKey = tuple[str, str]


@dataclass(frozen=True)
class Outcomes:
    """One model's results.

    Attributes:
        path: the file.
        correct: by task ("" where the file names none) and question id, in the file's order.
        duplicates: number of rows that repeat an earlier one with the same outcome.
    """

    path: Path
    correct: Mapping[QuestionKey, bool]
    duplicates: int


@dataclass(frozen=True)
class PairedOutcomes:
    """Both models' results on the questions of one task that both have.

    Attributes:
        task: its id, "" where the files name none.
        ids: of the questions, in the medical file's order.
        medical: whether the medical model answered correctly.
        base: the same of the base model.
    """

    task: str
    ids: tuple[str, ...]
    medical: NDArray[np.bool_]
    base: NDArray[np.bool_]


@dataclass(frozen=True)
class Pairing:
    """Two files paired by task and question id.

    Attributes:
        tasks: those with at least one question in both files, in the medical file's order.
        medical_unmatched: questions that only the medical file has.
        base_unmatched: questions that only the base file has.
        medical_duplicates: repeated rows in the medical file.
        base_duplicates: repeated rows in the base file.
    """

    tasks: tuple[PairedOutcomes, ...]
    medical_unmatched: int
    base_unmatched: int
    medical_duplicates: int
    base_duplicates: int


def read_results(path: Path) -> Outcomes:
    """Read rows with ``id``, ``correct`` (or ``prediction`` and ``answer``) and, if there are several, ``task``.

    Raises:
        InputError: a line is not such a row, or two rows disagree about the same question.
    """
    correct: dict[QuestionKey, bool] = {}
    first: dict[QuestionKey, str] = {}
    duplicates = 0
    for row in json_lines(SourceFile(path)):
        task = row.text("task") if row.fields.get("task") is not None else ""
        key = (task, question_id(row))
        outcome = _correct(row)
        if key not in correct:
            correct[key], first[key] = outcome, row.where
        elif correct[key] == outcome:
            duplicates += 1
        else:
            raise InputError(
                path,
                row.where,
                f"question {key[1]!r} is {'correct' if outcome else 'wrong'} here, the opposite on {first[key]}",
                advice="Keep one row for each question, or give each task its name in 'task'.",
            )
    if not correct:
        raise InputError(path, "", "no rows", advice="Expected one JSON object a line.")
    return Outcomes(path, correct, duplicates)


def pair_results(medical: Outcomes, base: Outcomes) -> Pairing:
    """Pair two files by task and question id.

    Raises:
        InputError: they have no question in common.
    """
    common: dict[str, list[QuestionKey]] = {}
    for key in medical.correct:
        if key in base.correct:
            common.setdefault(key[0], []).append(key)
    if not common:
        raise InputError(
            base.path,
            "",
            f"no question in common with {medical.path}",
            advice="Compare 'task' and 'id' in both.",
        )
    matched = sum(map(len, common.values()))
    return Pairing(
        tasks=tuple(
            PairedOutcomes(
                task=task,
                ids=tuple(id for _, id in keys),
                medical=np.array([medical.correct[key] for key in keys]),
                base=np.array([base.correct[key] for key in keys]),
            )
            for task, keys in common.items()
        ),
        medical_unmatched=len(medical.correct) - matched,
        base_unmatched=len(base.correct) - matched,
        medical_duplicates=medical.duplicates,
        base_duplicates=base.duplicates,
    )


def _correct(row: Row) -> bool:
    if row.fields.get("correct") is not None:
        value = row.fields["correct"]
        if value not in (0, 1):  # true and false are equal to 1 and 0
            raise row.error(f"expected true or false, found {value!r:.40}", name="correct")
        return bool(value)
    if "answer" not in row.fields or "prediction" not in row.fields:
        raise row.error("expected 'correct', or 'prediction' and 'answer'")
    answer, prediction = row.fields["answer"], row.fields["prediction"]
    if not _is_option(answer):
        raise row.error(
            f"expected the correct option, as text or number, found {answer!r:.40}", name="answer"
        )
    if prediction is None or prediction == "":
        return False
    if not _is_option(prediction) or isinstance(prediction, str) != isinstance(answer, str):
        raise row.error(
            f"expected an option in the same form as the answer {answer!r:.40}, found {prediction!r:.40}",
            name="prediction",
        )
    return prediction == answer


def _is_option(value: object) -> bool:
    return isinstance(value, (str, int)) and not isinstance(value, bool) and value != ""
