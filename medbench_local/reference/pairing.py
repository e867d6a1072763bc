"""Two files of per-question results side by side: which rows are the same question, and what else differs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medbench_local.errors import InputError
from medbench_local.files.rows import plain
from medbench_local.reference.notation import FEW
from medbench_local.reference.outcomes import SETTINGS, Outcomes, Result
from medbench_local.reference.question_keys import QuestionKey
from medbench_local.reference.shared import Clustering, clustering

Both = tuple[Result, Result]

_FIRST = 3
"""How many ids an error lists."""

_ONE_ID = (
    "Rows with the same id must be the same question. Row numbers do for ids only where both files list the same "
    "questions in the same order, none left out: take the data set's own ids."
)
_RELEASES = (
    "Rows with the same id must be the same question. If the files are from two releases of the data set, leave these "
    "questions out of one file."
)

_MANY = 300
"""Questions on which even a model and its fine-tuned self are hardly right and wrong alike."""


@dataclass(frozen=True)
class PairedOutcomes:
    """Both models' results on the questions of one task that both have.

    Attributes:
        task: its id, "" where the files name none.
        ids: of the questions, in the medical file's order.
        medical: whether the medical model answered correctly.
        base: the same of the base model.
        clustering: which questions go together, where some do.
    """

    task: str
    ids: tuple[str, ...]
    medical: NDArray[np.bool_]
    base: NDArray[np.bool_]
    clustering: Clustering | None = None


@dataclass(frozen=True)
class Difference:
    """A setting that is not the same on both sides.

    Attributes:
        name: "shots", "scoring", "precision", "protocol", "split" or "prompt".
        questions: on how many questions in common.
        medical, base: the most frequent values there; hashes for "prompt".
    """

    name: str
    questions: int
    medical: str
    base: str


@dataclass(frozen=True)
class Pairing:
    """Two files paired by task and question id.

    Attributes:
        tasks: those with at least one question in both files, in the medical file's order.
        medical_unmatched: questions that only the medical file has.
        base_unmatched: questions that only the base file has.
        medical_duplicates: repeated rows in the medical file.
        base_duplicates: repeated rows in the base file.
        compared: questions in common of which more than the id could be compared.
        differences: settings that are not the same in both files.
        one_model: the model that all rows of both files name, if they do and it is one.
        swapped: whether the medical file's rows say that they are the base model's, or the other way round.
        copies: whether both files hold the same rows, or too many questions have the same outcome in both for chance.
    """

    tasks: tuple[PairedOutcomes, ...]
    medical_unmatched: int
    base_unmatched: int
    medical_duplicates: int
    base_duplicates: int
    compared: int
    differences: tuple[Difference, ...]
    one_model: str | None
    swapped: bool
    copies: bool

    @property
    def questions(self) -> int:
        """How many both files have."""
        return sum(len(task.ids) for task in self.tasks)


def pair_results(medical: Outcomes, base: Outcomes) -> Pairing:
    """Pair two files by task and question id.

    Raises:
        InputError: they have no question in common, or rows with the same id are not the same question: their correct
            answers, their texts or their options differ.
    """
    common: dict[str, list[QuestionKey]] = {}
    for key in medical.results:
        if key in base.results:
            common.setdefault(key[0], []).append(key)
    if not common:
        raise InputError(
            base.path,
            "",
            f"no question in common with {medical.path}",
            advice=_advice(medical, base),
        )
    both = {key: (medical.results[key], base.results[key]) for keys in common.values() for key in keys}
    compared = _same_questions(medical, base, common, both)
    return Pairing(
        tasks=tuple(
            PairedOutcomes(
                task=task,
                ids=tuple(id for _, id in keys),
                medical=np.array([both[key][0].correct for key in keys]),
                base=np.array([both[key][1].correct for key in keys]),
                clustering=clustering(
                    [both[key][0].shared for key in keys], [both[key][1].shared for key in keys]
                ),
            )
            for task, keys in common.items()
        ),
        medical_unmatched=len(medical.results) - len(both),
        base_unmatched=len(base.results) - len(both),
        medical_duplicates=medical.duplicates,
        base_duplicates=base.duplicates,
        compared=compared,
        differences=tuple(_differences([*both.values()])),
        one_model=_one_model([*both.values()]),
        swapped=any(
            m.settings.get("role") == "base" or b.settings.get("role") == "medical" for m, b in both.values()
        ),
        copies=medical.content == base.content or _all_alike([*both.values()]),
    )


def _advice(medical: Outcomes, base: Outcomes) -> str:
    """What to do where no key is in both files: their tasks or their ids may differ."""
    tasks = [sorted({plain(task) for task, _ in outcomes.results}) for outcomes in (base, medical)]
    if set(tasks[0]) & set(tasks[1]):
        return "Compare 'id' in both."
    said = [", ".join(names[:_FIRST]) + (" ..." if names[_FIRST:] else "") or "none" for names in tasks]
    return (
        f"They name other tasks: {said[0] or 'none'} here, {said[1] or 'none'} there. Rows that do not say their task "
        "get it from `task=`."
    )


def _same_questions(
    medical: Outcomes, base: Outcomes, common: dict[str, list[QuestionKey]], both: dict[QuestionKey, Both]
) -> int:
    """How many pairs could be compared by more than their id.

    Raises:
        InputError: some of them are not the same question.
    """
    compared: set[QuestionKey] = set()
    tests: list[tuple[str, Callable[[Sequence[Both]], list[bool | None]]]] = [
        ("the correct answer is another one", _golds_agree),
        ("the question's text is another one ('text_sha256')", _agree(lambda result: result.text_sha256)),
        ("the question's text is another one ('question')", _agree(lambda result: result.question)),
        (
            "the data set's record is another one (the log's 'doc_hash')",
            _agree(lambda result: result.document_sha256),
        ),
        ("the options are others", _agree(lambda result: result.options)),
        ("the number of options is another one", _agree(lambda result: result.option_count)),
    ]
    for problem, test in tests:
        verdicts = {
            key: agrees
            for keys in common.values()
            for key, agrees in zip(keys, test([both[key] for key in keys]), strict=True)
            if agrees is not None
        }
        wrong = [key for key, agrees in verdicts.items() if not agrees]
        if wrong:
            ids = ", ".join(plain(repr(id)) for _, id in wrong[:_FIRST]) + (" ..." if wrong[_FIRST:] else "")
            one, other = both[wrong[0]]
            raise InputError(
                base.path,
                "",
                f"in {len(wrong):,} of the {len(both):,} questions in common with {medical.path} {problem} "
                f"(ids {ids}; {other.where} here, {one.where} there)",
                advice=_ONE_ID if len(wrong) > FEW * len(verdicts) else _RELEASES,
            )
        golds = {both[key][0].gold for key in verdicts}
        if test is not _golds_agree or len(golds) > 1:  # one answer to all questions tells none of them apart
            compared |= verdicts.keys()
    return len(compared)


def _agree(value: Callable[[Result], object]) -> Callable[[Sequence[Both]], list[bool | None]]:
    """Whether a value is the same on both sides, for each pair; None where one of them lacks it."""

    def test(pairs: Sequence[Both]) -> list[bool | None]:
        values = [(value(one), value(other)) for one, other in pairs]
        return [None if None in pair else pair[0] == pair[1] for pair in values]

    return test


def _golds_agree(pairs: Sequence[Both]) -> list[bool | None]:
    """Whether the correct answers of one task's questions are the same: by text where both have it, else by place.

    Numbers of which nothing shows where they count from are taken so that most agree.
    """
    tried = [[_gold_agrees(pair, (first, second)) for pair in pairs] for first in (0, 1) for second in (0, 1)]
    return max(tried, key=lambda agreements: agreements.count(True))


def _gold_agrees(pair: Both, too_high: tuple[int, int]) -> bool | None:
    one, other = (result.gold for result in pair)
    if one is None or other is None:
        return None
    if one.text is not None and other.text is not None:
        return one.text == other.text
    if one.place is None or other.place is None:
        return None
    return one.place - too_high[0] * one.from_either == other.place - too_high[1] * other.from_either


def _differences(pairs: Sequence[Both]) -> list[Difference]:
    found = []
    for name in (*SETTINGS, "prompt"):
        values = [
            (one, other)
            for medical, base in pairs
            if (one := _setting(medical, name)) is not None
            and (other := _setting(base, name)) is not None
            and one != other
        ]
        if values:
            (medical, base), _ = Counter(values).most_common(1)[0]
            found.append(Difference(name, len(values), medical, base))
    return found


def _setting(result: Result, name: str) -> str | None:
    return result.prompt if name == "prompt" else result.settings.get(name)


def _one_model(pairs: Sequence[Both]) -> str | None:
    """The model that all rows of both files name, if they do and it is one."""
    names = {result.settings.get("model") for pair in pairs for result in pair}
    return names.pop() if len(names) == 1 else None


def _all_alike(pairs: Sequence[Both]) -> bool:
    """Whether many questions have the same outcome on both sides, and not all of them one and the same."""
    outcomes = {(one.correct, other.correct) for one, other in pairs}
    return len(pairs) >= _MANY and outcomes == {(True, True), (False, False)}
