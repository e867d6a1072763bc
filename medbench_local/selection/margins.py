"""How far right or wrong a candidate's answers are, as values that say more of it than right and wrong do.

An answer is right where the right option's log-probability is above the best other one's. That difference, the margin,
tells a narrow miss from a hopeless one, and so tells candidates apart on fewer questions: where margins are normal, the
mean of what is compared here is known from about 60 % of the questions that right and wrong need.

Formats differ in how sharp a model's answers are and in what they do to its liking for a letter. So that neither
decides who is ahead, a margin counts in units of its format's own spread, and only close to the border: `_WIDTH` of
these units to either side, beyond which right is right and wrong is wrong.
"""

from __future__ import annotations

from math import sqrt

import numpy as np
from numpy.typing import NDArray

_WIDTH = 0.5
"""Width of the border, in standard deviations of a format's margins."""

_LEAST_SPREAD = 1e-6
"""Nats; margins that are all alike have none."""

_FAVOUR = 0.015
"""Accuracy by which margins typically favour one format over another; 0.014 between those of the embedded pair."""

_UNSURE = 0.02
"""How near 0 and 1 the mean value counts at most, where the scale of accuracies is fitted."""


def margin_values(
    margins: NDArray[np.float64],
    correct: NDArray[np.bool_],
    scored: NDArray[np.bool_],
    formats: NDArray[np.intp],
) -> NDArray[np.float64]:
    """Right and wrong with what lies between, on the scale of accuracies.

    Args:
        margins: (candidates, questions) log-probability of the right option minus that of the best other one, in nats;
            nan where there is none: there right is 1 and wrong is 0.
        correct: same shape.
        scored: same shape, which of them are known; at least one.
        formats: (candidates,) number of each candidate's format.

    Returns:
        (candidates, questions), of no meaning where nothing was scored.
    """
    from scipy.special import ndtr, ndtri  # slow to import

    values = correct.astype(np.float64)
    known = scored & np.isfinite(margins)
    if not known.any():
        return values
    of_formats = [known & (formats == number)[:, None] for number in np.unique(formats[known.any(axis=1)])]
    for of_format in of_formats:
        seen = margins[of_format]
        values[of_format] = ndtr(seen / (_WIDTH * max(float(seen.std()), _LEAST_SPREAD)))
    # With margins normal, a mean value v is an accuracy of Phi(sqrt(1 + _WIDTH ** 2) * Phi^-1(v)): differences between
    # candidates are larger than those of their values.
    wide = sqrt(1 + _WIDTH**2)
    middle = float(ndtri(np.clip(values[known].mean(), _UNSURE, 1 - _UNSURE)))
    slope = wide * np.exp((middle**2 - (wide * middle) ** 2) / 2)
    values[known] = correct[known].mean() + slope * (values[known] - values[known].mean())
    for of_format in of_formats:
        values[of_format] += _favour(np.where(of_format, correct - values, 0.0), of_format)
    return values


def _favour(gaps: NDArray[np.float64], members: NDArray[np.bool_]) -> float:
    """By how much a format's values are too low, as far as its right and wrong answers tell.

    Args:
        gaps: (candidates, questions) right or wrong minus value, 0 elsewhere.
        members: same shape, the answers with this format.
    """
    asked = members.sum(axis=0)
    if (asked > 0).sum() < 2:
        return 0.0
    of_questions = gaps.sum(axis=0)[asked > 0] / asked[asked > 0]
    error = float(of_questions.var(ddof=1)) / len(of_questions)
    return float(of_questions.mean()) * _FAVOUR**2 / (_FAVOUR**2 + error)
