"""The prompt of a cell: chosen on validation questions, never on test questions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from medbench_local.catalog.protocol import SelectionSettings
from medbench_local.prompts.demonstrations import demonstration_rows, validation_rows
from medbench_local.prompts.prompt import Candidate
from medbench_local.prompts.prompt_style import PromptStyle, candidates
from medbench_local.results.choices import CandidateScore, PromptChoice
from medbench_local.scoring.answers import Answer, CellScorer
from medbench_local.selection.costs import Costs
from medbench_local.selection.exhaustive import exhaustive
from medbench_local.selection.racing import most_prompts, racing
from medbench_local.selection.result import Outcomes, Selection
from medbench_local.selection.shrink import estimated_gain
from medbench_local.study.usable import usable_candidates
from medbench_local.study.verdicts import correctness
from medbench_local.tasks.question import Question, Task

_MARGIN_STEP = 1e-3
"""Nats to which margins are taken, far below what tells two candidates apart."""

_LABELS = 6
"""Characters that are written around an option, about."""
_PICTURE = 2000
"""Characters that are as much work as a picture, about."""


def choose_prompt(
    scorer: CellScorer,
    *,
    task: Task,
    shots: int,
    prompt_style: PromptStyle,
    settings: SelectionSettings,
    demonstration_seed: int,
    limit: int | None,
    drops: bool = False,
) -> tuple[Candidate, PromptChoice]:
    """The candidate with the best validation accuracy, and how it was found.

    Args:
        scorer: of the cell.
        task: its validation questions are used.
        shots: demonstrations in a prompt.
        prompt_style: decides which candidates there are.
        settings: method, candidates and limits.
        demonstration_seed: of the demonstration set where nothing is selected.
        limit: most validation questions, below the protocol's limit.
        drops: whether demonstrations are left out of prompts that are too long.

    Raises:
        TooFewPicturesError: no candidate can be asked in a protocol that does as the study's code did.
    """
    options = candidates(
        prompt_style, shots, formats=settings.formats, demonstration_seeds=settings.demonstration_seeds
    )
    if not is_searched(len(options), shots, settings):
        chosen = Candidate(None, demonstration_seed if shots else None)
        return chosen, unsearched(chosen)
    options = usable_candidates(prompt_style, task, shots, options, drops=drops)
    rows = selection_rows(task, settings, limit)
    questions = task.questions("validation")
    unfit = {"dropped": 0, "overlong": 0}

    def evaluate(candidate: int, picked: NDArray[np.intp]) -> Outcomes:
        chosen_rows = [rows[i] for i in picked]
        answers = scorer.answers(options[candidate], "validation", chosen_rows)
        unfit["dropped"] += sum(answer.dropped > 0 for answer in answers)
        unfit["overlong"] += sum(answer.overlong for answer in answers)
        asked = [questions[row] for row in chosen_rows]
        return Outcomes(correctness(asked, answers), margins_of(asked, answers))

    if settings.method == "exhaustive":
        found = exhaustive(evaluate, options, len(rows))
    else:
        pool = task.questions("demonstrations") if shots else ()  # which a task may be without
        found = racing(
            evaluate,
            options,
            len(rows),
            error_rate=settings.error_rate,
            max_fraction=settings.max_fraction,
            max_prompts=settings.max_prompts,
            min_gain=settings.min_gain,
            costs=asking_costs(options, pool, [questions[row] for row in rows], shots),
            seed=settings.seed,
        )
    return options[found.winner], _choice(found, **unfit)


def margins_of(questions: Sequence[Question], answers: Sequence[Answer]) -> NDArray[np.float64]:
    """By how much the right option is ahead of the best other one, in nats (cloze: a byte); nan where nothing says so.

    To `_MARGIN_STEP`, so that what the batches of the fast mode do to a score's last digits seldom gets further.
    """
    found = np.full(len(answers), np.nan)
    for place, (question, answer) in enumerate(zip(questions, answers, strict=True)):
        if len(answer.logprobs) > 1:
            right = answer.logprobs[question.answer]
            others = [*answer.logprobs[: question.answer], *answer.logprobs[question.answer + 1 :]]
            found[place] = round((right - max(others)) / _MARGIN_STEP) * _MARGIN_STEP
    return found


def asking_costs(
    options: Sequence[Candidate], pool: Sequence[Question], asked: Sequence[Question], shots: int
) -> Costs:
    """How much text is read to ask, in characters: of each candidate's demonstrations, and of each question.

    It goes by the data set's own text, not by a model's tokens, so that two models are asked the same questions in the
    same order as far as their answers do not part them.

    Args:
        options: the candidates.
        pool: questions that demonstrations are drawn from.
        asked: the validation questions.
        shots: demonstrations in a prompt.
    """
    shown: dict[int | None, float] = {None: 0.0}
    for option in options:
        if option.demonstrations is not None and option.demonstrations not in shown:
            rows = demonstration_rows(option.demonstrations, len(pool), shots)
            shown[option.demonstrations] = float(sum(_length(pool[row]) for row in rows))
    prefix = [shown[option.demonstrations] for option in options]
    return Costs(np.array(prefix), np.array([float(_length(question)) for question in asked]))


def _length(question: Question) -> int:
    text = len(question.text) + sum(map(len, question.options))
    return text + _LABELS * len(question.options) + _PICTURE * len(question.pictures)


def selection_rows(task: Task, settings: SelectionSettings, limit: int | None = None) -> tuple[int, ...]:
    """Rows of the validation split that a search uses; those with a limit are the first of those without."""
    size = len(task.questions("validation"))
    limits = [size, *(x for x in (settings.validation_questions, limit) if x is not None)]
    return validation_rows(size, min(limits))


def is_searched(candidates: int, shots: int, settings: SelectionSettings) -> bool:
    """Whether there is anything to choose: not where the protocol says so, nor from a fixed prompt."""
    return settings.method != "none" and (candidates > 1 or shots > 0)


def search_prompts(candidates: int, questions: int, settings: SelectionSettings) -> int:
    """Most prompts that a search scores."""
    if settings.method == "racing":
        return most_prompts(
            candidates, questions, max_fraction=settings.max_fraction, max_prompts=settings.max_prompts
        )
    return candidates * questions


def _choice(found: Selection, dropped: int, overlong: int) -> PromptChoice:
    scores = tuple(
        CandidateScore(
            format="default" if score.candidate.format is None else score.candidate.format,
            demonstrations=score.candidate.demonstrations,
            accuracy=score.accuracy,
            questions=score.questions,
            expected=score.expected,
        )
        for score in found.scores
    )
    winner = scores[found.winner]
    return PromptChoice(
        format=winner.format,
        demonstrations=winner.demonstrations,
        validation_accuracy=winner.accuracy,
        spread=found.spread,
        estimated_gain=estimated_gain(found),
        method=found.method,
        prompts_scored=found.prompts_scored,
        prompts_exhaustive=found.prompts_exhaustive,
        error_bound=found.error_bound,
        error_estimate=found.error_estimate,
        candidates=scores,
        dropped_demonstrations=dropped,
        overlong=overlong,
    )


def unsearched(chosen: Candidate) -> PromptChoice:
    """The record of a prompt that was taken without a search."""
    return PromptChoice(
        format="default" if chosen.format is None else chosen.format,
        demonstrations=chosen.demonstrations,
        validation_accuracy=None,
        spread=None,
        method="none",
        prompts_scored=0,
        prompts_exhaustive=0,
        error_bound=None,
        error_estimate=None,
        candidates=(),
    )
