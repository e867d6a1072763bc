"""What partial scores say of every candidate: a linear mixed model of the score table.

The correctness of candidate c (format f, demonstration set d) on question q is taken as

    y = mean + F_f + D_d + FD_c + Q_q + FQ_fq + DQ_dq + error

with independent normal effects: some formats and some demonstration sets are better, some questions are
easier for everybody, and candidates that share a format or the demonstrations err on the same questions. The
best linear unbiased prediction of a candidate's accuracy over the whole validation set [1, 2] then borrows
strength from its row and column of the grid and removes the luck of the questions it happened to be scored on.

The variances of the question effects come from the covariances between candidates over questions, by the
method of moments; those of F, D and FD by expectation-maximisation, held away from 0 by a weak prior.

[1] C. R. Henderson, Best linear unbiased estimation and prediction under a selection model, Biometrics 31
    (1975).
[2] S. R. Searle, G. Casella, C. E. McCulloch, Variance Components, Wiley (1992), chapters 7 and 8.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medbench_local.prompts.prompt import Candidate

Matrix = NDArray[np.float64]

_PRIOR_VARIANCE = 0.02**2
"""Typical variance of formats, of demonstration sets, and of their interaction: 2 points of accuracy each."""
_PRIOR_WEIGHT = (2.0, 2.0, 6.0)
"""How many levels' worth of evidence the prior of F, D and FD counts for."""
_EM_STEPS = 12
_PRIOR_MEAN = 0.5
"""Accuracy before anything is known; as uncertain as it is large."""
_LEAST = 1e-3
"""Least variance of a question effect; keeps every matrix invertible."""


@dataclass(frozen=True)
class Estimate:
    """Accuracies over the whole validation set, as far as known.

    Attributes:
        mean: (candidates,) expected accuracy.
        covariance: (candidates, candidates) what is not known of it; zero for fully scored candidates.
        n_questions: size of the validation set, of which accuracies are whole fractions.
    """

    mean: Matrix
    covariance: Matrix
    n_questions: int

    def best(self, among: NDArray[np.bool_] | None = None) -> int:
        """The candidate with the highest expected accuracy, of those in ``among``; the earliest of equals."""
        mean = self._whole(self.mean)
        return int(np.argmax(mean if among is None else np.where(among, mean, -np.inf)))

    def ranking(self) -> NDArray[np.intp]:
        """Candidates from the highest expected accuracy down; the earlier of equals first."""
        return np.argsort(-np.round(self.mean, 9), kind="stable")

    def chances(self, draws: int = 2000, seed: int = 0) -> Matrix:
        """(candidates,) estimated probability of being the best, by simulation."""
        values, vectors = np.linalg.eigh(self.covariance)
        # The symmetric root: there is one, whichever vectors a library finds where values are equal.
        root = vectors * np.sqrt(np.maximum(values, 0.0)) @ vectors.T
        normal = np.random.default_rng(seed).standard_normal((draws, len(self.mean)))
        best = self._whole(self.mean + normal @ root.T).argmax(axis=1)
        return np.bincount(best, minlength=len(self.mean)) / draws

    def _whole(self, accuracy: Matrix) -> Matrix:
        """Numbers of correct answers, so that estimates less than half a question apart are ties."""
        return np.round(accuracy * self.n_questions)


@dataclass(frozen=True)
class Levels(Estimate):
    """Accuracies on questions like these, of which there is no end.

    Attributes:
        noise: (candidates, candidates) covariance of the results of one more question, given these accuracies.
    """

    noise: Matrix


@dataclass(frozen=True)
class _Group:
    """Questions that the same candidates were scored on: ``means`` over ``size`` questions."""

    members: NDArray[np.intp]
    means: Matrix
    centred: Matrix
    size: int


@dataclass(frozen=True)
class _Fit:
    """What the questions tell before anything is said of the candidates' levels.

    Attributes:
        groups: of questions.
        residual: (candidates, candidates) covariance of one question's results, given the levels.
        inverses: of the residual covariance of each group's members.
    """

    groups: Sequence[_Group]
    residual: Matrix
    inverses: Sequence[Matrix]


class Grid:
    """The candidates as a grid of formats and demonstration sets.

    Attributes:
        n: number of candidates.
        offset: (candidates,) number of the format plus number of the demonstration set.
        levels: number of formats or of demonstration sets, whichever there are fewer of.
        formats: (candidates,) number of the format.
    """

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        formats = _levels([candidate.format for candidate in candidates])
        demonstrations = _levels([candidate.demonstrations for candidate in candidates])
        self.n = len(candidates)
        self.formats = formats
        self._designs = [_design(levels) for levels in (formats, demonstrations)]
        self._designs.append(np.eye(self.n))
        self._useful = [1 < design.shape[1] < self.n for design in self._designs[:2]] + [True]
        self._same = [design @ design.T for design in self._designs]
        self.offset = (formats + demonstrations).astype(np.intp)
        self.levels = min(design.shape[1] for design in self._designs[:2])

    @property
    def designs(self) -> list[Matrix]:
        """(candidates, levels) of each kind of effect that can be told from the others, candidates' own last."""
        return [design for design, useful in zip(self._designs, self._useful, strict=True) if useful]

    @property
    def shared_designs(self) -> list[Matrix]:
        """Those of the effects that several candidates share: formats, demonstration sets."""
        return self.designs[:-1]

    def on_others(self, values: Matrix, scored: NDArray[np.bool_]) -> Levels:
        """Predict every candidate's accuracy on questions like these, of which there is no end.

        Arguments as of `estimate`.
        """
        fit = self._fitted(values, scored)
        return Levels(*self._levels(fit), scored.shape[1], fit.residual)

    def on_these(self, others: Levels, correct: NDArray[np.bool_], scored: NDArray[np.bool_]) -> Estimate:
        """Predict every candidate's accuracy over all of these questions, where its level is known from elsewhere.

        Args:
            others: `on_others`, of values that tell levels better than right and wrong do.
            correct, scored: as of `estimate`.

        Returns:
            Of right and wrong: known where all of a candidate was scored, whatever ``others`` says.
        """
        return self._whole_set(self._fitted(correct, scored), others.mean, others.covariance, scored.shape[1])

    def estimate(self, values: NDArray[Any], scored: NDArray[np.bool_]) -> Estimate:
        """Predict every candidate's accuracy over all of these questions.

        Args:
            values: (candidates, questions), correctness where scored, or a value on the same scale.
            scored: same shape; at least one pair.
        """
        fit = self._fitted(values, scored)
        return self._whole_set(fit, *self._levels(fit), scored.shape[1])

    def _fitted(self, values: NDArray[Any], scored: NDArray[np.bool_]) -> _Fit:
        groups = _groups(values, scored)
        residual = self._residual_covariance(groups)
        return _Fit(groups, residual, [_inverse(residual[np.ix_(g.members, g.members)]) for g in groups])

    def _residual_covariance(self, groups: Sequence[_Group]) -> Matrix:
        """Covariance between candidates of one question's results, given the candidates' own levels."""
        kind = sum(
            (2**j * same for j, same in enumerate(self._same[:2]) if self._useful[j]),
            np.zeros((self.n, self.n)),
        ).astype(np.intp)
        kind[np.diag_indices(self.n)] = 4
        total, weight = np.zeros(5), np.zeros(5)
        for group in groups:
            if group.size > 1:
                kinds = kind[np.ix_(group.members, group.members)].ravel()
                total += np.bincount(kinds, (group.centred @ group.centred.T).ravel(), 5)
                weight += (group.size - 1) * np.bincount(kinds, minlength=5)
        covariance = total / np.maximum(weight, 1)
        question = max(covariance[0], _LEAST)
        shared = [max(covariance[j] - question, _LEAST) if weight[j] else _LEAST for j in (1, 2)]
        own = max(covariance[4] - question - sum(shared), 0.02)
        result = question + own * np.eye(self.n)
        for j in range(2):
            if self._useful[j]:
                result = result + shared[j] * self._same[j]
        return np.asarray(result)

    def _levels(self, fit: _Fit) -> tuple[Matrix, Matrix]:
        """Posterior mean and covariance of the candidates' levels."""
        precision = np.zeros((self.n, self.n))
        weighted = np.zeros(self.n)
        for group, inverse in zip(fit.groups, fit.inverses, strict=True):
            precision[np.ix_(group.members, group.members)] += group.size * inverse
            weighted[group.members] += group.size * (inverse @ group.means)
        return self._effects(precision, weighted)

    def _effects(self, precision: Matrix, weighted: Matrix) -> tuple[Matrix, Matrix]:
        """Posterior mean and covariance of the candidates' levels, variances by EM."""
        used = [j for j in range(3) if self._useful[j]]
        variance = dict.fromkeys(used, _PRIOR_VARIANCE)
        evidence = weighted - precision @ np.full(self.n, _PRIOR_MEAN)
        for step in range(_EM_STEPS + 1):
            prior = _PRIOR_MEAN**2 + sum(variance[j] * self._same[j] for j in used)
            shrink = _inverse(np.eye(self.n) + precision @ prior)
            if step == _EM_STEPS:
                break
            score, information = shrink @ evidence, shrink @ precision
            for j in used:
                levels = self._designs[j].shape[1]
                effect = variance[j] * (self._designs[j].T @ score)
                spread = levels * variance[j] - variance[j] ** 2 * float((information * self._same[j]).sum())
                variance[j] = (float(effect @ effect) + spread + _PRIOR_WEIGHT[j] * _PRIOR_VARIANCE) / (
                    levels + _PRIOR_WEIGHT[j]
                )
        covariance = prior @ shrink
        return _PRIOR_MEAN + covariance @ evidence, covariance

    def _whole_set(self, fit: _Fit, effects: Matrix, uncertainty: Matrix, n_questions: int) -> Estimate:
        """From levels to accuracies on these very questions: scored pairs are known, others predicted."""
        residual = fit.residual
        known = np.zeros(self.n)
        loading = np.zeros((self.n, self.n))
        noise = np.zeros((self.n, self.n))
        seen = 0
        for group, inverse in zip(fit.groups, fit.inverses, strict=True):
            share = group.size / n_questions
            carry = residual[:, group.members] @ inverse
            left = residual - carry @ residual[group.members]
            carry[group.members] = np.eye(len(group.members))
            left[group.members] = 0.0
            left[:, group.members] = 0.0
            known += share * (carry @ group.means)
            loading += share * np.eye(self.n)
            loading[:, group.members] -= share * carry
            noise += share / n_questions * left
            seen += group.size
        rest = (n_questions - seen) / n_questions
        loading += rest * np.eye(self.n)
        noise += rest / n_questions * residual
        return Estimate(known + loading @ effects, loading @ uncertainty @ loading.T + noise, n_questions)


def _inverse(matrix: Matrix) -> Matrix:
    return np.asarray(np.linalg.inv(matrix), dtype=np.float64)


def _levels(values: Sequence[int | None]) -> NDArray[np.intp]:
    number = {value: index for index, value in enumerate(dict.fromkeys(values))}
    return np.array([number[value] for value in values], dtype=np.intp)


def _design(levels: NDArray[np.intp]) -> Matrix:
    return np.equal.outer(levels, np.arange(levels.max() + 1)).astype(np.float64)


def groups_of(scored: NDArray[np.bool_]) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Scored questions grouped by who was scored on them: the candidates and the questions of each group."""
    columns = np.flatnonzero(scored.any(axis=0))
    _, number = np.unique(np.packbits(scored[:, columns], axis=0), axis=1, return_inverse=True)
    grouped = [columns[number.ravel() == index] for index in range(int(number.max()) + 1)]
    return [(np.flatnonzero(scored[:, questions[0]]), questions) for questions in grouped]


def _groups(all_values: NDArray[Any], scored: NDArray[np.bool_]) -> list[_Group]:
    groups = []
    for members, questions in groups_of(scored):
        values = all_values[np.ix_(members, questions)].astype(np.float64)
        means = values.mean(axis=1)
        groups.append(_Group(members, means, values - means[:, None], len(questions)))
    return groups
