"""The bootstrap over clusters, against the enumeration of all resamples, rational arithmetic and scipy."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap

from medbench_local.statistics import clusters as module
from medbench_local.statistics.clusters import (
    ClusteredDifference,
    ClusterKind,
    bounds_are_exact,
    cluster_bootstrap,
    cluster_bounds,
    joined,
    too_few_clusters,
)
from medbench_local.statistics.lattice import box_of, sum_probabilities
from medbench_local.statistics.paired import paired_bootstrap

Pair = tuple[int, int]
TAILS = ((0.95, Fraction("0.025")), (0.9, Fraction("0.05")), (0.5, Fraction("0.25")))


@st.composite
def clusters_of(draw: st.DrawFn, most: int = 5) -> list[Pair]:
    """Sizes and differences of a few clusters."""
    sizes = draw(st.lists(st.integers(1, 5), min_size=1, max_size=most))
    return [(size, draw(st.integers(-size, size))) for size in sizes]


def kinds_of(clusters: Sequence[Pair]) -> tuple[ClusterKind, ...]:
    return tuple(ClusterKind(*kind, count) for kind, count in sorted(Counter(clusters).items()))


def enumerated(clusters: Sequence[Pair]) -> dict[Fraction, Fraction]:
    """Probability of every ratio, by going through all k^k resamples of the clusters."""
    seen: Counter[Fraction] = Counter(
        Fraction(sum(difference for _, difference in drawn), sum(size for size, _ in drawn))
        for drawn in itertools.product(clusters, repeat=len(clusters))
    )
    return {ratio: Fraction(count, len(clusters) ** len(clusters)) for ratio, count in seen.items()}


def expanded(clusters: Sequence[Pair]) -> dict[Fraction, Fraction]:
    """The same for more clusters: powers of a polynomial in two variables, in whole numbers."""
    one = Counter(clusters)
    sums: dict[Pair, int] = {(0, 0): 1}
    for _ in clusters:
        longer: Counter[Pair] = Counter()
        for (size, difference), count in sums.items():
            for (more, change), times in one.items():
                longer[size + more, difference + change] += count * times
        sums = longer
    found: Counter[Fraction] = Counter()
    for (size, difference), count in sums.items():
        found[Fraction(difference, size)] += count
    return {ratio: Fraction(count, len(clusters) ** len(clusters)) for ratio, count in found.items()}


def exact_bounds(distribution: dict[Fraction, Fraction], tail: Fraction) -> tuple[float, float]:
    """Smallest t with P(d* <= t) >= tail and largest with P(d* >= t) >= tail, in rational arithmetic."""
    values = sorted(distribution)
    up = list(itertools.accumulate(distribution[value] for value in values))
    down = list(itertools.accumulate(distribution[value] for value in reversed(values)))
    low = next(value for value, sum_ in zip(values, up, strict=True) if sum_ >= tail)
    high = next(value for value, sum_ in zip(reversed(values), down, strict=True) if sum_ >= tail)
    return float(low), float(high)


def test_the_expansion_is_the_enumeration() -> None:
    clusters = [(1, 0), (2, -1), (3, 2), (3, 2), (5, 1)]
    assert expanded(clusters) == enumerated(clusters)


@settings(max_examples=80, deadline=None)
@given(clusters_of())
def test_bounds_are_those_of_all_resamples(clusters: list[Pair]) -> None:
    distribution = enumerated(clusters)
    for confidence, tail in TAILS:
        assert cluster_bounds(kinds_of(clusters), confidence) == exact_bounds(distribution, tail)


@pytest.mark.parametrize("seed", range(4))
def test_bounds_of_more_clusters_in_rational_arithmetic(seed: int) -> None:
    generator = np.random.default_rng(seed)
    sizes = generator.choice([1, 2, 3, 7], size=24, p=[0.5, 0.3, 0.15, 0.05])
    clusters = [(int(size), int(generator.integers(-(size + 1) // 2, size + 1))) for size in sizes]
    distribution = expanded(clusters)
    for confidence, tail in TAILS:
        assert cluster_bounds(kinds_of(clusters), confidence) == exact_bounds(distribution, tail)


def test_probabilities_are_exact_to_a_tolerance_that_ties_need() -> None:
    points, draws = np.array([[1, 0], [2, -1], [3, 2], [9, -4]]), 60
    weights = np.array([0.5, 0.25, 0.125, 0.125])
    box = box_of(points, weights, draws)
    found = sum_probabilities(points, weights, draws, box)
    exact: dict[Pair, int] = {(0, 0): 1}
    for _ in range(draws):
        longer: Counter[Pair] = Counter()
        for (size, difference), count in exact.items():
            for (more, change), times in zip(points.tolist(), (4, 2, 1, 1), strict=True):
                longer[size + more, difference + change] += count * times
        exact = longer
    expected = np.zeros(box.shape)
    outside = 0.0
    for sums, count in exact.items():
        place = tuple(value - low for value, low in zip(sums, box.low, strict=True))
        if all(0 <= value < length for value, length in zip(place, box.shape, strict=True)):
            expected[place] = count / 8**draws
        else:
            outside += count / 8**draws
    assert outside < 1e-14
    # What P(d* <= t) can be wrong by, whatever t: the worst column of every row.
    wrong = np.abs(np.cumsum(found, axis=1) - np.cumsum(expected, axis=1)).max(axis=1).sum()
    assert wrong < 1e-13
    assert box.shape[0] < 8 * draws  # of the sizes: the box leaves out what hardly happens


@pytest.mark.parametrize(
    ("n", "medical_only", "base_only"),
    [(100, 15, 5), (300, 40, 24), (50, 3, 0), (1, 1, 0), (7, 0, 0), (1273, 173, 136), (4183, 3, 11)],
)
def test_clusters_of_one_question_are_the_questions(n: int, medical_only: int, base_only: int) -> None:
    medical = [1] * medical_only + [0] * base_only + [1] * (n - medical_only - base_only)
    base = [0] * medical_only + [1] * base_only + [1] * (n - medical_only - base_only)
    over_questions = paired_bootstrap(medical, base)
    found = cluster_bootstrap(medical, base, range(n))
    assert (found.n, found.low, found.high) == (n, over_questions.low, over_questions.high)
    assert found.verdict == over_questions.verdict


def test_clusters_of_one_size_are_their_means_by_scipy() -> None:
    generator = np.random.default_rng(3)
    size, n = 4, 120
    shared = generator.normal(size=(n, 1))
    medical = (generator.normal(size=(n, size)) + shared > -0.6).astype(int)
    base = (generator.normal(size=(n, size)) > -0.2).astype(int)
    theirs = bootstrap(
        ((medical - base).mean(axis=1),),
        np.mean,
        n_resamples=40_000,
        method="percentile",
        rng=np.random.default_rng(1),
    ).confidence_interval
    found = cluster_bootstrap(medical.ravel(), base.ravel(), np.repeat(np.arange(n), size).tolist())
    step = 1 / (n * size)
    assert found.low == pytest.approx(theirs.low, abs=2.01 * step)
    assert found.high == pytest.approx(theirs.high, abs=2.01 * step)
    # Whole numbers of questions, as the number of questions of a resample is fixed here.
    assert found.low * n * size == pytest.approx(round(found.low * n * size), abs=1e-9)


def _drawn(n: int, k: int, seed: int = 1) -> tuple[list[int], list[int], list[int]]:
    """Answers to ``n`` questions about ``k`` pictures that are right or wrong together."""
    generator = np.random.default_rng(seed)
    shares = generator.gamma(1.5, size=k)
    pictures = np.concatenate([np.arange(k), generator.choice(k, n - k, p=shares / shares.sum())])
    ease = generator.normal(size=(2, k))[:, pictures]
    medical, base = (generator.normal(size=(2, n)) + ease > [[-0.5], [-0.4]]).astype(int)
    return medical.tolist(), base.tolist(), pictures.tolist()


@pytest.mark.parametrize(("n", "k"), [(272, 146), (415, 96), (3362, 858)])
def test_sampled_resamples(n: int, k: int) -> None:
    medical, base, pictures = _drawn(n, k)
    found = cluster_bootstrap(medical, base, pictures)
    both = np.zeros((k, 2))
    np.add.at(both, pictures, np.stack([np.ones(n), np.array(medical) - base], axis=1))
    generator = np.random.default_rng(2)
    draws = 20_000
    ratios = np.empty(draws)
    for start in range(0, draws, 500):
        sums = both[generator.integers(0, k, (500, k))].sum(axis=1)
        ratios[start : start + 500] = sums[:, 1] / sums[:, 0]
    slack = 4 * (0.025 * 0.975 / draws) ** 0.5
    for outside, reached in (
        (ratios < found.low, ratios <= found.low),
        (ratios > found.high, ratios >= found.high),
    ):
        assert outside.mean() < 0.025 + slack
        assert reached.mean() > 0.025 - slack


def test_a_win_over_questions_that_is_a_tie_over_pictures() -> None:
    # Twelve questions about two pictures are right together; sixty others say nothing.
    medical, base = [1] * 12 + [1, 0] * 30, [0] * 12 + [1, 0] * 30
    pictures = [place // 6 for place in range(12)] + list(range(100, 160))
    assert paired_bootstrap(medical, base).verdict == "win"
    found = cluster_bootstrap(medical, base, pictures)
    # Neither picture is in (1 - 2 / 62)^62 = 13 % of the resamples.
    assert (found.n, found.low, found.verdict) == (62, 0.0, "tie")
    assert found.high > 2 * 12 / 72


def test_a_tie_over_questions_can_be_a_win_over_pictures() -> None:
    # Every picture has one question more that only the medical model answers: the scatter within pictures cancels.
    medical, base = [1, 1, 0] * 40, [0, 0, 1] * 40
    assert paired_bootstrap(medical[:30], base[:30]).verdict == "tie"
    found = cluster_bootstrap(medical[:30], base[:30], [place // 3 for place in range(30)])
    assert (found.low, found.high, found.verdict) == (1 / 3, 1 / 3, "win")


@settings(max_examples=40, deadline=None)
@given(clusters_of(most=30))
def test_exchanging_the_models_mirrors_the_interval(clusters: list[Pair]) -> None:
    low, high = cluster_bounds(kinds_of(clusters), 0.95)
    back = cluster_bounds(kinds_of([(size, -difference) for size, difference in clusters]), 0.95)
    assert back == (-high, -low)
    assert -1 <= low <= high <= 1


@settings(max_examples=40, deadline=None)
@given(clusters_of(most=12), st.randoms(use_true_random=False))
def test_neither_order_nor_names_matter(clusters: list[Pair], random: object) -> None:
    rows = [
        (int(difference > 0 and place < difference), int(difference < 0 and place < -difference), name)
        for name, (size, difference) in enumerate(clusters)
        for place in range(size)
    ]

    def run(rows: Sequence[tuple[int, int, int]]) -> ClusteredDifference:
        return cluster_bootstrap(
            [row[0] for row in rows], [row[1] for row in rows], [f"picture {-row[2]}" for row in rows]
        )

    there = run(rows)
    assert there.kinds == kinds_of(clusters)
    random.shuffle(rows)  # type: ignore[attr-defined]
    assert run(rows) == there


def test_too_many_sums_to_go_through_all(monkeypatch: pytest.MonkeyPatch) -> None:
    cases = [cluster_bootstrap(*_drawn(n, k)) for n, k in ((415, 96), (3362, 858))]
    none = cluster_bootstrap([1] * 5 + [0] * 95, [0] * 100, [place // 5 for place in range(100)])
    assert none.low == 0.0
    monkeypatch.setattr(module, "MOST_CELLS", 0)
    cluster_bounds.cache_clear()
    for exact in (*cases, none):
        assert not bounds_are_exact(exact.kinds)
        low, high = cluster_bounds(exact.kinds, 0.95)
        width = exact.high - exact.low
        assert low == pytest.approx(exact.low, abs=1e-3 * width)
        assert high == pytest.approx(exact.high, abs=1e-3 * width)
        assert (low > 0, low < 0, high > 0, high < 0) == (
            exact.low > 0,
            exact.low < 0,
            exact.high > 0,
            exact.high < 0,
        )
    cluster_bounds.cache_clear()


@given(st.lists(st.lists(st.integers(0, 12), max_size=3), max_size=20))
def test_questions_that_share_anything_are_one_cluster(members: list[list[int]]) -> None:
    # By hand: what shares something is merged until nothing changes.
    groups = [({place}, set(shared)) for place, shared in enumerate(members)]
    merged = True
    while merged:
        merged = False
        for one, other in itertools.combinations(groups, 2):
            if one[1] & other[1]:
                groups.remove(one)
                groups.remove(other)
                groups.append((one[0] | other[0], one[1] | other[1]))
                merged = True
                break
    expected = {place: min(places) for places, _ in groups for place in places}
    assert joined(members) == [expected[place] for place in range(len(members))]


def test_too_few() -> None:
    assert [too_few_clusters(n, 0.95) for n in (1, 5, 6)] == [True, True, False]
    assert [too_few_clusters(n, 0.9) for n in (4, 5)] == [True, False]


@pytest.mark.parametrize(
    ("medical", "base", "clusters", "problem"),
    [
        ([], [], [], "at least one"),
        ([1, 0], [1, 0], ["a"], "`clusters` 1"),
        ([1, 0], [1], ["a", "b"], "2 questions"),
        ([1, 2], [1, 0], ["a", "b"], "only 0"),
    ],
)
def test_bad_vectors(medical: list[int], base: list[int], clusters: list[str], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        cluster_bootstrap(medical, base, clusters)


@pytest.mark.parametrize(
    "kinds",
    [(), (ClusterKind(0, 0, 1),), (ClusterKind(2, 3, 1),), (ClusterKind(2, -3, 1),), (ClusterKind(2, 1, 0),)],
)
def test_bad_clusters(kinds: tuple[ClusterKind, ...]) -> None:
    with pytest.raises(ValueError, match="no such clusters"):
        cluster_bounds(kinds, 0.95)
    with pytest.raises(ValueError, match="confidence"):
        cluster_bounds((ClusterKind(1, 1, 1),), 1.0)


def test_a_confidence_that_nothing_reaches_gives_what_is_possible() -> None:
    assert cluster_bounds((ClusterKind(2, -1, 1), ClusterKind(2, 1, 1)), 1 - 1e-14) == (-0.5, 0.5)
