"""What log-probabilities say of a question's options: how clear the choice is, how far two models differ."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Logprobs = Sequence[Sequence[float]]


def margins(logprobs: Logprobs) -> NDArray[np.float64]:
    """Gap in nats between the two most probable options of each question; inf if only one is possible.

    Raises:
        ValueError: a question with fewer than two options, with nan, or with no possible option.

    Examples:
        >>> [round(float(gap), 2) for gap in margins([[-0.2, -1.7, -4.0], [-1.0, -1.0]])]
        [1.5, 0.0]
    """
    gaps = np.empty(len(logprobs))
    for i, row in enumerate(logprobs):
        second, first = np.sort(_as_logprobs(row, i))[-2:]
        gaps[i] = first - second
    return gaps


def near_ties(logprobs: Logprobs, noise: float) -> NDArray[np.bool_]:
    """Which questions' two most probable options are at most ``noise`` nats apart; exact ties always are.

    Examples:
        >>> near_ties([[-0.2, -1.7], [-1.0, -1.0]], 0.0).tolist()
        [False, True]
    """
    ties: NDArray[np.bool_] = margins(logprobs) <= noise
    return ties


def kl_divergences(full: Logprobs, quantised: Logprobs) -> NDArray[np.float64]:
    """Kullback-Leibler divergence KL(full || quantised) over the options of each question, in nats.

    Probabilities are renormalised over the question's options. An option that only the quantised model deems
    impossible makes it infinite.

    Raises:
        ValueError: different numbers of questions or options, or log-probs that `margins` refuses.

    Examples:
        >>> from math import log
        >>> full, quantised = [[log(0.5), log(0.5)]], [[log(0.25), log(0.75)]]
        >>> round(float(kl_divergences(full, quantised)[0]), 4)
        0.1438
    """
    from scipy.special import logsumexp, rel_entr  # slow to import

    if len(full) != len(quantised):
        raise ValueError(f"log-probabilities of {len(full)} and of {len(quantised)} questions")
    divergences = np.empty(len(full))
    for i, (p_row, q_row) in enumerate(zip(full, quantised, strict=True)):
        p, q = _as_logprobs(p_row, i), _as_logprobs(q_row, i)
        if p.size != q.size:
            raise ValueError(f"question {i} has {p.size} options at one precision and {q.size} at the other")
        divergences[i] = rel_entr(np.exp(p - logsumexp(p)), np.exp(q - logsumexp(q))).sum()
    return np.maximum(divergences, 0)  # rounding may leave it a hair below


def _as_logprobs(row: Sequence[float], question: int) -> NDArray[np.float64]:
    values = np.asarray(row, dtype=np.float64)
    if values.ndim != 1 or values.size < 2:
        raise ValueError(f"question {question} has fewer than two options")
    if np.isnan(values).any() or np.isposinf(values).any() or np.isneginf(values).all():
        raise ValueError(f"question {question} has log-probabilities that are none: {values.tolist()}")
    return values
