"""Whether the interval over pictures of a ``results.json`` goes with its clusters, and these with the comparison."""

from __future__ import annotations

from collections.abc import Iterator

from medbench_local.results.contradiction import ROUNDING, Contradiction
from medbench_local.results.schema import Comparison
from medbench_local.statistics.clusters import ClusterKind, bounds_are_exact, bounds_at


def contradictions_of_clusters(comparison: Comparison, confidence: float) -> Iterator[Contradiction]:
    """What contradicts itself in `Comparison.clusters`, which is there; keys are those below it.

    The interval is computed again where that is exact; where it is not, nothing but its verdict is checked.

    Args:
        comparison: as read, each value of its own kind.
        confidence: of its intervals, between 0 and 1.
    """
    found = comparison.clusters
    assert found is not None
    kinds = tuple(ClusterKind(kind.questions, kind.difference, kind.clusters) for kind in found.kinds)
    impossible = False
    for index, kind in enumerate(kinds):
        if abs(kind.difference) > kind.questions:
            yield Contradiction(
                f"kinds.{index}.difference",
                f"expected at most {kind.questions} questions, found {kind.difference}",
            )
            impossible = True
    if len({kind[:2] for kind in kinds}) < len(kinds):
        yield Contradiction("kinds", "clusters of one kind stand there twice")
    if not any(kind.questions > 1 for kind in kinds):
        yield Contradiction("kinds", f"expected a {found.by} with several questions")
    medical_only, base_only = comparison.discordant.medical_only, comparison.discordant.base_only
    for key, count, expected, said in (
        ("n", sum(kind.clusters for kind in kinds), found.n, "clusters by key 'n'"),
        ("kinds", sum(kind.questions * kind.clusters for kind in kinds), comparison.n, "questions"),
        (
            "kinds",
            sum(kind.difference * kind.clusters for kind in kinds),
            medical_only - base_only,
            "as the sum of differences, by key 'discordant'",
        ),
    ):
        if count != expected:
            yield Contradiction(key, f"expected {expected} {said}, found {count} by key 'kinds'")
            impossible = True
    if sum(abs(kind.difference) * kind.clusters for kind in kinds) > medical_only + base_only:
        yield Contradiction(
            "kinds", f"expected differences of at most the {medical_only + base_only} discordant questions"
        )
    if not impossible and bounds_are_exact(kinds):
        yield from _of_interval(found.ci, kinds, confidence)


def _of_interval(
    ci: tuple[float, float], kinds: tuple[ClusterKind, ...], confidence: float
) -> Iterator[Contradiction]:
    tail = (1 - confidence) / 2
    slack = ROUNDING + 1e-14 * sum(kind.clusters for kind in kinds)  # of the transform
    exact, wide, narrow = bounds_at(kinds, (tail, tail - slack, tail + slack))
    if not (
        wide[0] - ROUNDING <= ci[0] <= narrow[0] + ROUNDING
        and narrow[1] - ROUNDING <= ci[1] <= wide[1] + ROUNDING
    ):
        yield Contradiction(
            "ci",
            f"expected [{exact[0]:.6g}, {exact[1]:.6g}], the {confidence:.0%} interval of key 'kinds', found "
            f"{list(ci)}",
        )
