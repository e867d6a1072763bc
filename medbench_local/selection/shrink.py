"""What the chosen candidate gains on other questions: an estimate that the luck of the best of many does not inflate.

The best of many is partly better and partly lucky; the more candidates and the fewer questions there are, the more of
its lead is luck. Of 110 equal candidates, the best on 14 questions leads the first one there by about 25 points.

As in `grid`, the correctness of a candidate on a question is a general level plus effects of the candidate's format,
of its demonstrations and of the two together, plus effects of the question. But here the candidates' effects of a
kind come from a mixture of normal distributions around 0, one of which is 0 itself, with weights learned from all of
them [1]: where candidates are no further apart than equal ones would be, their effects come close to 0, and one that
stands out clearly keeps its lead. Posterior means are found effect by effect [2], the variances of the questions'
effects by expectation-maximisation, question by question, so that a race may choose which ones it scores.

[1] M. Stephens, False discovery rates: a new deal, Biostatistics 18 (2017).
[2] Y. Kim, W. Wang, P. Carbonetto, M. Stephens, A flexible empirical Bayes approach to multiple linear regression and
    connections with penalized regression, arXiv 2208.10910 (2022).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medbench_local.selection.grid import Grid, Matrix, groups_of
from medbench_local.selection.result import Selection

_PARTS = np.array([0.0, 0.005, 0.01, 0.02, 0.04, 0.08]) ** 2
"""Variances of the mixture's parts: effects of no points, of about half a point, ... of about 8 points."""
_LEAN = 0.1
"""What the mixture's weights are learned with beside the effects: so much of an effect of each part, and as many more
effects of 0 as this share of the real ones. Without the former, a few effects are all found to be 0."""
_FIRST_QUESTION, _FIRST_SHARED, _FIRST_OWN = 0.07, 0.015, 0.12
"""Variances of the questions' effects to begin with: those of multiple-choice questions of medium difficulty."""
_LEAST = 1e-3
_STEPS, _SWEEPS, _LAST_SWEEPS = 20, 3, 40
_STILL = 1e-5
_DIGITS = 6


def estimated_gain(found: Selection) -> float:
    """What the winner's accuracy is expected to exceed the first candidate's by on other questions of the kind.

    Returns:
        A fraction, -1 to 1, rounded to 6 decimals, so that it does not depend on how a library sums.
    """
    if found.winner == 0:
        return 0.0
    levels = _Levels(Grid([score.candidate for score in found.scores]), found.correct, found.scored).fit()
    return round(float(np.clip(levels[found.winner] - levels[0], -1.0, 1.0)), _DIGITS)


@dataclass(frozen=True)
class _Group:
    """Questions that the same candidates were scored on.

    Attributes:
        members: indices of these candidates.
        correct: (members, questions).
    """

    members: NDArray[np.intp]
    correct: Matrix


class _Levels:
    """The candidates' accuracies on questions without number, fitted to some scores."""

    def __init__(self, grid: Grid, correct: NDArray[np.bool_], scored: NDArray[np.bool_]) -> None:
        self._n = grid.n
        self._designs = grid.designs
        self._shared = grid.shared_designs
        self._groups = [
            _Group(members, correct[np.ix_(members, questions)].astype(np.float64))
            for members, questions in groups_of(scored)
        ]
        self._level = float(correct[scored].mean())
        self._effects = [np.zeros(design.shape[1]) for design in self._designs]
        self._weights = [np.full(len(_PARTS), 1 / len(_PARTS)) for _ in self._designs]

    def fit(self) -> Matrix:
        """(candidates,) accuracies."""
        variances = np.array([_FIRST_QUESTION, *[_FIRST_SHARED] * len(self._shared), _FIRST_OWN])
        for _ in range(_STEPS):
            inverses = self._sweep(variances, _SWEEPS)
            variances = self._variances(variances, inverses)
        self._sweep(variances, _LAST_SWEEPS)
        return self._levels()

    def _levels(self) -> Matrix:
        total = np.full(self._n, self._level)
        for design, effects in zip(self._designs, self._effects, strict=True):
            total += design @ effects
        return total

    def _sweep(self, variances: Matrix, most: int) -> list[Matrix]:
        """Bring every effect to its posterior mean given the others; the inverse covariances of the groups."""
        precision, weighted = np.zeros((self._n, self._n)), np.zeros(self._n)
        inverses = []
        for group in self._groups:
            inverse = _inverse(self._question_designs(group), variances)
            precision[np.ix_(group.members, group.members)] += group.correct.shape[1] * inverse
            weighted[group.members] += inverse @ group.correct.sum(axis=1)
            inverses.append(inverse)
        score = weighted - precision @ self._levels()
        pulls = [
            *(precision @ design for design in self._shared),
            precision,
        ]  # the last design is the identity
        for _ in range(most):
            moved = float(score.sum() / precision.sum())
            self._level += moved
            score -= moved * precision.sum(axis=1)
            changes = [self._sweep_kind(kind, pull, score) for kind, pull in enumerate(pulls)]
            if max(changes) < _STILL:
                break
        return inverses

    def _sweep_kind(self, kind: int, pull: Matrix, score: Matrix) -> float:
        """Update the effects of one kind and their mixture, and ``score`` with them; the largest change."""
        design, effects, weights = self._designs[kind], self._effects[kind], self._weights[kind]
        information = (design * pull).sum(axis=0)
        shares = np.full(len(_PARTS), _LEAN)
        shares[0] += _LEAN * len(effects)
        largest = 0.0
        for i in np.flatnonzero(information > _STILL):
            noise = 1 / information[i]
            mean, parts = _posterior(effects[i] + noise * float(design[:, i] @ score), noise, weights)
            change = mean - effects[i]
            score -= change * pull[:, i]
            effects[i] = mean
            shares += parts
            largest = max(largest, abs(change))
        self._weights[kind] = shares / shares.sum()
        return largest

    def _question_designs(self, group: _Group) -> list[Matrix]:
        """(members, effects) of the effects of one question that several members share: of all, of each kind."""
        shared = [design[group.members] for design in self._shared]
        return [np.ones((len(group.members), 1)), *(design[:, design.any(axis=0)] for design in shared)]

    def _variances(self, variances: Matrix, inverses: list[Matrix]) -> Matrix:
        """One step of expectation-maximisation for the questions' effects: common, shared by kind, and own."""
        total, count = np.zeros(len(variances)), np.zeros(len(variances))
        levels = self._levels()
        for group, inverse in zip(self._groups, inverses, strict=True):
            score = inverse @ (group.correct - levels[group.members][:, None])
            pulls = [
                (design.T @ score, (inverse @ design) * design) for design in self._question_designs(group)
            ]
            pulls.append((score, np.diag(inverse)))
            for kind, (pull, information) in enumerate(pulls):
                variance = variances[kind]
                total[kind] += variance**2 * float((pull**2).sum())
                total[kind] += variance * pull.size - variance**2 * float(information.sum()) * score.shape[1]
                count[kind] += pull.size
        return np.maximum(total / count, _LEAST)


def _inverse(designs: Sequence[Matrix], variances: Matrix) -> Matrix:
    """Inverse covariance of one question's results: the last of ``variances`` each candidate's own, the others shared.

    By the identity of Woodbury, with a small matrix inverted instead of a large one.
    """
    own = float(variances[-1])
    scaled = np.hstack([design * np.sqrt(v) for design, v in zip(designs, variances[:-1], strict=True)])
    inner = np.linalg.inv(own * np.eye(scaled.shape[1]) + scaled.T @ scaled)
    return np.asarray((np.eye(len(scaled)) - scaled @ inner @ scaled.T) / own)


def _posterior(seen: float, noise: float, weights: Matrix) -> tuple[float, Matrix]:
    """Mean of an effect observed as ``seen`` with variance ``noise``, and the chances of the mixture's parts."""
    spread = _PARTS + noise
    with np.errstate(divide="ignore"):
        logs = np.log(weights) - 0.5 * (np.log(spread) + seen * seen / spread)
    parts = np.exp(logs - logs.max())
    parts /= parts.sum()
    return float((parts * _PARTS / spread).sum() * seen), parts
