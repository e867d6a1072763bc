"""What stands beside a verdict where several questions are about one picture: the interval over pictures."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from medbench_local.results.record import LARGEST, Record, Some, VerdictOfInterval
from medbench_local.text import interval

ClusteredBy = Literal["picture"]


class ClusterKindRecord(Record):
    """Clusters that are alike.

    Attributes:
        questions: of each.
        difference: of each: questions that only the medical model answers correctly minus those that only the base
            model does.
        clusters: how many there are.
    """

    questions: Some
    difference: Annotated[int, Field(ge=-LARGEST, le=LARGEST)]
    clusters: Some


class Clusters(Record):
    """The difference of accuracies by a bootstrap over clusters of questions, of the reported answers.

    Attributes:
        by: what the questions of a cluster share. Questions that share any picture are one cluster, also by way of
            others; a question without one is a cluster of its own.
        n: number of clusters.
        ci: interval of the difference over clusters.
        verdict: that this interval gives; the verdict of the comparison is that over questions, as in the study.
        kinds: the clusters, from which the interval can be computed again.
    """

    by: ClusteredBy
    n: Some
    ci: tuple[float, float]
    verdict: VerdictOfInterval
    kinds: tuple[ClusterKindRecord, ...]

    def __str__(self) -> str:
        return f"over {self.n:,} {self.by}s: {self.verdict} {interval(self.ci)}"

    @property
    def largest(self) -> int:
        """Questions of the largest cluster."""
        return max(kind.questions for kind in self.kinds)
