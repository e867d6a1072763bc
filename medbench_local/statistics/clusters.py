"""The bootstrap over clusters: questions about one picture, or one passage, are right or wrong together.

The study resamples questions as if each said something of its own. Several questions about one picture do not: a model
that misreads the picture gets them wrong together. Here the clusters are resampled instead, whole, with replacement, as
many as there are. A resample has the questions of the clusters that were drawn, so that their number varies, and its
difference of accuracies is a ratio: d* = (sum of the clusters' differences) / (sum of their sizes), where a cluster's
difference is the number of its questions that only the medical model answers correctly minus the number that only the
base model does.

Nothing is drawn. Both sums together are a sum of independent draws of pairs of whole numbers; every pair of sums gets
its probability (`medbench_local.statistics.lattice`), and the bounds are quantiles of the ratio: fractions, found
exactly. Where there are too many pairs of sums for that (tens of thousands of questions), the bounds are found from the
distribution of (sum of differences) - t (sum of sizes) for each t that is tried, and are good to about 1e-5 of the
interval's width; whether a bound lies below, at or above 0 does not depend on sizes and stays exact.

References:
    Davison and Hinkley, Bootstrap Methods and their Application (1997), sections 3.8 (clusters drawn whole; their first
    strategy) and 5.3 (percentile interval). Field and Welsh, Bootstrapping clustered data, Journal of the Royal
    Statistical Society B 69 (2007) 369-390: that drawing clusters, and not questions within them, is consistent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medbench_local.statistics.bootstrap import tail_probability
from medbench_local.statistics.lattice import box_of
from medbench_local.statistics.paired import Verdict, as_correct, verdict
from medbench_local.statistics.ratio import Lines, Pairs, pairs_of

MOST_CELLS = 2**23
"""Pairs of sums up to which all get their probability: 0.3 GB of memory, a second or two."""

_MOST_QUESTIONS = 10**7
"""Up to here the range of t that is left has few ratios of one number of questions."""

Floats = NDArray[np.float64]
Wholes = NDArray[np.int64]


class ClusterKind(NamedTuple):
    """Clusters that are alike.

    Attributes:
        questions: of each.
        difference: of each: questions that only the medical model answers correctly minus those that only the base
            model does.
        clusters: how many there are.
    """

    questions: int
    difference: int
    clusters: int


@dataclass(frozen=True)
class ClusteredDifference:
    """The interval of a difference of accuracies over clusters.

    Attributes:
        n: number of clusters.
        low: lower bound of the confidence interval of the difference.
        high: upper bound.
        kinds: what the interval is computed from, sorted.
    """

    n: int
    low: float
    high: float
    kinds: tuple[ClusterKind, ...]

    @property
    def verdict(self) -> Verdict:
        """The verdict that the interval gives."""
        return verdict(self.low, self.high)


def joined(members: Sequence[Collection[Hashable]]) -> list[int]:
    """The cluster of each question: those that share anything are one, also by way of others.

    Args:
        members: for each question what it may share (its pictures); one with none is a cluster of its own.

    Returns:
        For each question the place of the first one of its cluster.

    Examples:
        >>> joined([["a"], ["b"], ["a", "c"], [], ["c"]])
        [0, 1, 0, 3, 0]
    """
    first = list(range(len(members)))

    def root(place: int) -> int:
        while first[place] != place:
            first[place] = first[first[place]]
            place = first[place]
        return place

    seen: dict[Hashable, int] = {}
    for place, shared in enumerate(members):
        for one in shared:
            a, b = root(seen.setdefault(one, place)), root(place)
            first[max(a, b)] = min(a, b)
    return [root(place) for place in range(len(members))]


def cluster_bootstrap(
    medical: ArrayLike, base: ArrayLike, clusters: Sequence[Hashable], *, confidence: float = 0.95
) -> ClusteredDifference:
    """Paired percentile bootstrap, over clusters of questions, of the difference of two accuracies.

    Where every cluster has one question, it is `medbench_local.statistics.paired.paired_bootstrap`.

    Args:
        medical: 0 or 1 for each question, shape (n,).
        base: 0 or 1 for the same questions in the same order, shape (n,).
        clusters: the cluster of each question.
        confidence: coverage of the interval, between 0 and 1.

    Raises:
        ValueError: vectors that are not 0/1, empty or of different length, or a confidence out of its range.

    Examples:
        Ten questions that only the medical model answers correctly are a win. Where they are about one picture of
        many, two of five resamples lack it:

        >>> medical, base = [1] * 10 + [0] * 90, [0] * 100
        >>> cluster_bootstrap(medical, base, range(100)).verdict
        'win'
        >>> found = cluster_bootstrap(medical, base, [place // 10 for place in range(100)])
        >>> found.low, found.high, found.verdict
        (0.0, 0.3, 'tie')
    """
    right_medical, right_base = as_correct(medical, "medical"), as_correct(base, "base")
    if not right_medical.size == right_base.size == len(clusters):
        raise ValueError(
            f"`medical` has {right_medical.size} questions, `base` {right_base.size}, `clusters` {len(clusters)}"
        )
    sizes: Counter[Hashable] = Counter(clusters)
    differences: Counter[Hashable] = Counter()
    for cluster, one, other in zip(clusters, right_medical.tolist(), right_base.tolist(), strict=True):
        differences[cluster] += one - other
    counts = Counter((size, differences[cluster]) for cluster, size in sizes.items())
    kinds = tuple(ClusterKind(*kind, count) for kind, count in sorted(counts.items()))
    low, high = cluster_bounds(kinds, confidence)
    return ClusteredDifference(len(sizes), low, high, kinds)


def too_few_clusters(n: int, confidence: float) -> bool:
    """Whether ``n`` clusters cannot show a difference, even if all of them differed in the same way.

    The sign test, which takes nothing for granted but that clusters are independent, would have a p of 2^(1 - n). An
    interval over so few clusters is only as wide as they happen to differ.

    Examples:
        >>> [n for n in range(1, 9) if too_few_clusters(n, 0.95)]
        [1, 2, 3, 4, 5]
    """
    return 2.0 ** (1 - n) > 1 - confidence


@lru_cache(maxsize=256)
def cluster_bounds(kinds: tuple[ClusterKind, ...], confidence: float) -> tuple[float, float]:
    """Bounds of the percentile interval of d*, the ratio of the sums over as many draws as there are clusters.

    ``low`` is the smallest value t that d* can have with P(d* <= t) >= tail, ``high`` the largest with
    P(d* >= t) >= tail, where tail is (1 - confidence) / 2; both with
    `medbench_local.statistics.bootstrap.TOLERANCE` away from the middle, as for questions.

    Args:
        kinds: the clusters.
        confidence: coverage, between 0 and 1.

    Raises:
        ValueError: clusters that cannot be, none at all, or a confidence out of its range.

    Examples:
        One hundred clusters of one question each are a hundred questions:

        >>> kinds = ClusterKind(1, -1, 5), ClusterKind(1, 0, 80), ClusterKind(1, 1, 15)
        >>> cluster_bounds(kinds, 0.95)
        (0.02, 0.19)
    """
    tail = tail_probability(confidence)
    return bounds_at(kinds, (tail,))[0]


def bounds_at(kinds: Sequence[ClusterKind], tails: Sequence[float]) -> list[tuple[float, float]]:
    """Both bounds for each probability that may lie beyond them; see `cluster_bounds`.

    Raises:
        ValueError: clusters that cannot be, or none at all.
    """
    if not kinds or any(k.questions < 1 or abs(k.difference) > k.questions or k.clusters < 1 for k in kinds):
        raise ValueError(f"no such clusters can be: {list(kinds)!r:.80}")
    sums = _sums(kinds)
    return [(sums.lower(tail), -sums.mirrored().lower(tail)) for tail in tails]


def bounds_are_exact(kinds: Sequence[ClusterKind]) -> bool:
    """Whether so few pairs of sums are possible that `cluster_bounds` is exact, which also bounds what it costs."""
    questions = sum(kind.questions * kind.clusters for kind in kinds)
    return questions <= _MOST_QUESTIONS and box_of(*_draw(kinds)).cells <= MOST_CELLS


def _draw(kinds: Sequence[ClusterKind]) -> tuple[Wholes, Floats, int]:
    """Sizes and differences of the kinds, their probabilities, and the number of draws."""
    counts = np.array([kind.clusters for kind in kinds], dtype=np.float64)
    points = np.array([(kind.questions, kind.difference) for kind in kinds], dtype=np.int64)
    return points, counts / counts.sum(), sum(kind.clusters for kind in kinds)


def _sums(kinds: Sequence[ClusterKind]) -> Pairs | Lines:
    draw = _draw(kinds)
    return pairs_of(*draw) if bounds_are_exact(kinds) else Lines(*draw)
