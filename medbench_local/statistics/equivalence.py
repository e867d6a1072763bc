"""Does a quantised model answer as the full one does, on the same questions with the same prompt?"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medbench_local.statistics.net_change import net_change_interval, p_value_below
from medbench_local.statistics.options import Logprobs, kl_divergences, margins, near_ties
from medbench_local.statistics.significance import wilson

Outcome = Literal["equivalent", "different", "inconclusive"]

_PLANNED_POWER = 0.8
_MOST_QUESTIONS = 1_000_000


@dataclass(frozen=True)
class Equivalence:
    """Two precisions of one model, compared question by question.

    Attributes:
        n: number of questions.
        outcome: "equivalent" if the interval of the accuracy difference lies within the margin on both
            sides, "different" if it lies wholly outside, else "inconclusive".
        margin: largest difference of accuracies that is accepted, as a fraction.
        confidence: coverage of the interval of the difference and of the flips'.
        accuracy_full: share of correct answers at full precision.
        accuracy_quantised: share of correct answers of the quantised model.
        difference: ``accuracy_quantised - accuracy_full``.
        low: lower bound of the difference.
        high: upper bound.
        p_value: the larger of the two one-sided p-values; at most (1 - confidence) / 2 if equivalent.
        flips: number of questions whose predicted option differs.
        flips_low: lower Wilson bound of the share of flips.
        flips_high: upper Wilson bound.
        correct_to_wrong: flips that lost a correct answer.
        wrong_to_correct: flips that gained one.
        questions_needed: if inconclusive, about how many questions would settle it at the rates seen; None
            if settled, or if no reasonable number (a million) would.
        kl_mean: mean Kullback-Leibler divergence, in nats, of the quantised model's probabilities of the
            options from the full model's; infinite if an option became impossible; None without log-probs.
        kl_max: the largest.
        flip_margins: for each flip, in the questions' order, the gap in nats between the two most probable
            options at full precision; empty without log-probs.
        near_ties: number of questions whose gap at full precision is at most ``noise``; None without
            log-probs.
        noise: the gap, in nats, up to which the two most probable options count as tied.
    """

    n: int
    outcome: Outcome
    margin: float
    confidence: float
    accuracy_full: float
    accuracy_quantised: float
    difference: float
    low: float
    high: float
    p_value: float
    flips: int
    flips_low: float
    flips_high: float
    correct_to_wrong: int
    wrong_to_correct: int
    questions_needed: int | None
    kl_mean: float | None
    kl_max: float | None
    flip_margins: tuple[float, ...]
    near_ties: int | None
    noise: float


def equivalence(
    full: ArrayLike,
    quantised: ArrayLike,
    answers: ArrayLike,
    *,
    margin: float,
    confidence: float = 0.9,
    full_logprobs: Logprobs | None = None,
    quantised_logprobs: Logprobs | None = None,
    noise: float = 0.0,
) -> Equivalence:
    """Compare the answers of a quantised model with those of the full one.

    Equivalence is shown by two one-sided tests: that the accuracy fell by the margin or more, and that it
    rose by it or more, must both be rejected at (1 - confidence) / 2. The tests are exact
    (`medbench_local.statistics.net_change`), so a pair at the margin passes at most that often, however rare
    flips are; the interval is their inversion, so both always agree.

    Args:
        full: predicted option of each question at full precision; -1 where there is no prediction.
        quantised: the same of the quantised model.
        answers: index of the correct option of each question.
        margin: largest accepted difference of accuracies, between 0 and 1, exclusive.
        confidence: coverage of the interval, 0.5 to 0.99; 0.9 gives two tests at the 5 % level.
        full_logprobs: log-probability of each option of each question at full precision; questions may have
            different numbers of options; normalised over the options here. -inf is allowed, nan is not.
        quantised_logprobs: the same of the quantised model; both or neither.
        noise: gap of the two best options, in nats, up to which a question counts as a near-tie.

    Raises:
        ValueError: arrays that do not belong together, or an option out of its range.

    References:
        Schuirmann, Journal of Pharmacokinetics and Biopharmaceutics 15 (1987) 657-680: two one-sided tests.
        Dutta et al., Accuracy is Not All You Need (arXiv 2407.09141, 2024): flips.

    Examples:
        Of 500 questions one lost its correct answer: no change of three points is left that the data would allow.

        >>> answers = [0] * 500
        >>> found = equivalence([0] * 500, [1] + [0] * 499, answers, margin=0.03)
        >>> found.outcome, found.flips, found.correct_to_wrong
        ('equivalent', 1, 1)
        >>> equivalence([0] * 50, [1] + [0] * 49, [0] * 50, margin=0.03).outcome
        'inconclusive'
    """
    before, after = _as_indices(full, "full"), _as_indices(quantised, "quantised")
    correct = _as_indices(answers, "answers")
    if correct.min() < 0:
        raise ValueError("`answers` must not be negative")
    if not before.size == after.size == correct.size:
        raise ValueError(f"{before.size}, {after.size} and {correct.size} questions do not belong together")
    if not (0 < margin < 1 and 0.5 <= confidence <= 0.99 and noise >= 0):
        raise ValueError(
            "`margin` must lie between 0 and 1, `confidence` from 0.5 to 0.99, `noise` be at least 0"
        )
    n = int(before.size)
    flipped = before != after
    lost = int(np.count_nonzero((before == correct) & (after != correct)))
    gained = int(np.count_nonzero((before != correct) & (after == correct)))
    p_value = max(p_value_below(lost, gained, n, margin), p_value_below(gained, lost, n, margin))
    low, high = net_change_interval(lost, gained, n, confidence=confidence)
    outcome = _outcome(p_value, low, high, margin, confidence)
    if outcome == "equivalent":  # the bounds are found to a millionth: keep them on the tests' side
        low, high = max(low, -margin), min(high, margin)
    flips = int(np.count_nonzero(flipped))
    flips_low, flips_high = wilson(flips, n, confidence=confidence)
    options = _compare_options(full_logprobs, quantised_logprobs, flipped, noise)
    return Equivalence(
        n=n,
        outcome=outcome,
        margin=margin,
        confidence=confidence,
        accuracy_full=float(np.mean(before == correct)),
        accuracy_quantised=float(np.mean(after == correct)),
        difference=(gained - lost) / n,
        low=low,
        high=high,
        p_value=p_value,
        flips=flips,
        flips_low=flips_low,
        flips_high=flips_high,
        correct_to_wrong=lost,
        wrong_to_correct=gained,
        questions_needed=_questions_needed(lost, gained, n, margin, confidence)
        if outcome == "inconclusive"
        else None,
        kl_mean=options.kl_mean,
        kl_max=options.kl_max,
        flip_margins=options.flip_margins,
        near_ties=options.near_ties,
        noise=noise,
    )


@dataclass(frozen=True)
class _Options:
    kl_mean: float | None
    kl_max: float | None
    flip_margins: tuple[float, ...]
    near_ties: int | None


def _compare_options(
    full: Logprobs | None, quantised: Logprobs | None, flipped: NDArray[np.bool_], noise: float
) -> _Options:
    if full is None or quantised is None:
        if full is not quantised:
            raise ValueError("log-probabilities of both precisions are needed, or of neither")
        return _Options(None, None, (), None)
    if len(full) != flipped.size:
        raise ValueError(f"log-probabilities of {len(full)} questions, predictions of {flipped.size}")
    divergences = kl_divergences(full, quantised)
    return _Options(
        kl_mean=float(divergences.mean()),
        kl_max=float(divergences.max()),
        flip_margins=tuple(float(gap) for gap in margins(full)[flipped]),
        near_ties=int(np.count_nonzero(near_ties(full, noise))),
    )


def _outcome(p_value: float, low: float, high: float, margin: float, confidence: float) -> Outcome:
    if p_value <= (1 - confidence) / 2:
        return "equivalent"
    return "different" if low > margin or high < -margin else "inconclusive"


def _questions_needed(lost: int, gained: int, n: int, margin: float, confidence: float) -> int | None:
    from scipy.special import ndtri  # slow to import

    # Normal approximation at the rates seen; one change more, so that seeing none is not taken for certainty.
    gap = abs(margin - abs(lost - gained) / n)
    rate = (lost + gained + 1) / (n + 1)
    z = float(ndtri((1 + confidence) / 2) + ndtri(_PLANNED_POWER))
    if gap * gap * _MOST_QUESTIONS < rate * z * z:
        return None
    return max(n + 1, ceil(rate * (z / gap) ** 2))


def _as_indices(values: ArrayLike, name: str) -> NDArray[np.int64]:
    array = np.asarray(values)
    if array.ndim != 1 or array.size == 0 or not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"`{name}` must be a vector of option indices with at least one question")
    return array.astype(np.int64)
