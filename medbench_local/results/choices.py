"""The prompt that was chosen for a model, and how it was found."""

from __future__ import annotations

from typing import Literal

from medbench_local.results.record import Count, Positive, Record, Share


class CandidateScore(Record):
    """Validation accuracy of one candidate.

    Attributes:
        format: "default" or the seed of a sampled format.
        demonstrations: seed of the demonstration set; null for zero-shot.
        accuracy: on the questions it was scored on; null if it was scored on none.
        questions: how many those are.
        expected: accuracy on the whole validation set: known where all of it was scored, else estimated from all
            candidates' scores; comparable between candidates, unlike ``accuracy``.
    """

    format: Literal["default"] | int
    demonstrations: int | None
    accuracy: Share | None
    questions: Count
    expected: float | None = None


class PromptChoice(Record):
    """The prompt that was chosen for one side, and how.

    Attributes:
        format: "default" or the seed of a sampled format.
        demonstrations: seed of the demonstration set; null for zero-shot.
        validation_accuracy: of the chosen candidate on the questions it was chosen by, where the best of many looks
            better than it is; null if nothing was selected.
        spread: expected accuracy of the chosen candidate minus that of the first one (the default format), on the
            whole validation set, hence too large in the same way; of a search under a limit, which ranks by margins, it
            may be below 0. null if nothing was selected.
        estimated_gain: the same difference as it is to be expected on other questions, shrunken by what the best of
            many owes to luck; null if nothing was selected, and in files of releases that did not estimate it.
        method: "none", "exhaustive" or "racing".
        prompts_scored: validation prompts whose score was needed.
        prompts_exhaustive: what the exhaustive search would have needed.
        error_bound: guaranteed bound on the probability that the exhaustive search would have chosen another
            candidate (1 where a limit ended the search); null if nothing was selected.
        error_estimate: estimate of that probability where the bound says little; else null.
        candidates: every candidate, in the order of evaluation.
        dropped_demonstrations: validation prompts that lost demonstrations because they were longer than the context.
        overlong: validation prompts that did not fit at all and counted as wrong.
    """

    format: Literal["default"] | int
    demonstrations: int | None
    validation_accuracy: Share | None
    spread: float | None
    method: str
    prompts_scored: Count
    prompts_exhaustive: Count
    error_bound: Positive | None
    error_estimate: Positive | None
    candidates: tuple[CandidateScore, ...]
    dropped_demonstrations: Count = 0
    overlong: Count = 0
    estimated_gain: float | None = None


class PromptChoices(Record):
    """One choice for each side."""

    medical: PromptChoice
    base: PromptChoice
