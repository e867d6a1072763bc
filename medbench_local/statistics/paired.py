"""The paired difference of two models on the same questions, and the verdict drawn from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medbench_local.statistics.bootstrap import bootstrap_bounds, excludes_zero

Verdict = Literal["win", "tie", "loss"]


@dataclass(frozen=True)
class PairedDifference:
    """Accuracy of the medical model minus that of its base, on the same questions.

    Attributes:
        n: number of questions.
        accuracy_medical: share of correct answers, 0 to 1.
        accuracy_base: share of correct answers, 0 to 1.
        difference: ``accuracy_medical - accuracy_base``.
        low: lower bound of the confidence interval of the difference.
        high: upper bound.
        medical_only: number of questions that only the medical model answers correctly.
        base_only: number of questions that only the base model answers correctly.
    """

    n: int
    accuracy_medical: float
    accuracy_base: float
    difference: float
    low: float
    high: float
    medical_only: int
    base_only: int

    @property
    def verdict(self) -> Verdict:
        """The verdict that the interval gives."""
        return verdict(self.low, self.high)

    @property
    def discordance(self) -> float:
        """Share of questions that exactly one of the two models answers correctly."""
        return (self.medical_only + self.base_only) / self.n


def as_correct(values: ArrayLike, name: str) -> NDArray[np.bool_]:
    """``values`` as a vector of booleans.

    Raises:
        ValueError: not one-dimensional, empty, or something else than 0 and 1 in it.
    """
    array = np.asarray(values)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"`{name}` must be a vector with at least one question, not of shape {array.shape}")
    if not np.isin(array, (0, 1)).all():
        raise ValueError(f"`{name}` must hold only 0 (wrong) and 1 (correct)")
    return array.astype(bool)


def paired_bootstrap(medical: ArrayLike, base: ArrayLike, *, confidence: float = 0.95) -> PairedDifference:
    """Paired percentile bootstrap, over questions, of the difference of two accuracies.

    The interval is the exact one (`medbench_local.statistics.bootstrap`): nothing is drawn, so there is no seed and no
    number of resamples. Bounds are whole numbers of questions until they are divided by n, so that a bound that is 0
    is exactly 0. Exchanging the models mirrors the interval.

    Args:
        medical: 0 or 1 for each question, shape (n,).
        base: 0 or 1 for the same questions in the same order, shape (n,).
        confidence: coverage of the interval, between 0 and 1.

    Raises:
        ValueError: vectors that are not 0/1, empty or of different length, or a confidence out of its range.

    References:
        Efron and Tibshirani, An Introduction to the Bootstrap (1993), section 13.3. Koehn, Statistical
        Significance Tests for Machine Translation Evaluation (EMNLP 2004), for the paired form.

    Examples:
        >>> medical = [1] * 60 + [0] * 40
        >>> base = [1] * 45 + [0] * 15 + [1] * 5 + [0] * 35
        >>> found = paired_bootstrap(medical, base)
        >>> found.medical_only, found.base_only, found.difference
        (15, 5, 0.1)
        >>> found.low, found.high, found.verdict
        (0.02, 0.19, 'win')
    """
    right_medical, right_base = as_correct(medical, "medical"), as_correct(base, "base")
    if right_medical.size != right_base.size:
        raise ValueError(f"`medical` has {right_medical.size} questions, `base` {right_base.size}")
    n = int(right_medical.size)
    medical_only = int(np.count_nonzero(right_medical & ~right_base))
    base_only = int(np.count_nonzero(right_base & ~right_medical))
    low, high = bootstrap_bounds(n, medical_only, base_only, confidence)
    return PairedDifference(
        n=n,
        accuracy_medical=int(right_medical.sum()) / n,
        accuracy_base=int(right_base.sum()) / n,
        difference=(medical_only - base_only) / n,
        low=low / n,
        high=high / n,
        medical_only=medical_only,
        base_only=base_only,
    )


def verdict_of_counts(n: int, medical_only: int, base_only: int, confidence: float) -> Verdict:
    """The verdict that `paired_bootstrap` gives for these counts of discordant questions.

    It is monotone: more medical-only or fewer base-only questions never turn it towards a loss.

    Raises:
        ValueError: counts that cannot be, or a confidence out of its range.

    Examples:
        >>> [verdict_of_counts(100, better, 20 - better, 0.95) for better in (15, 11, 5)]
        ['win', 'tie', 'loss']
    """
    if excludes_zero(n, medical_only, base_only, confidence):
        return "win"
    return "loss" if excludes_zero(n, base_only, medical_only, confidence) else "tie"


def verdict(low: float, high: float) -> Verdict:
    """``win`` if the interval lies above 0, ``loss`` if below, else ``tie``; a bound of exactly 0 is a tie.

    Raises:
        ValueError: ``low`` is greater than ``high``, or one of them is not a number.

    Examples:
        >>> verdict(0.01, 0.05), verdict(0.0, 0.05), verdict(-0.05, -0.01)
        ('win', 'tie', 'loss')
    """
    if not low <= high:
        raise ValueError(f"an interval from {low} to {high} is none")
    if low > 0:
        return "win"
    return "loss" if high < 0 else "tie"


def raw_verdict(difference: float) -> Verdict:
    """The verdict by the sign of the difference alone: what ignoring statistical uncertainty gives."""
    return verdict(difference, difference)
