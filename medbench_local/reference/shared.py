"""What the questions of two result files share, by their own rows: the clusters of the bootstrap over clusters."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from medbench_local.files.rows import Row
from medbench_local.reference.readers.record import id_text
from medbench_local.statistics.clusters import joined

Shared = tuple[tuple[str, str], ...]
"""What a question may share with others: ("cluster", its name), or ("picture", name) for each picture."""


@dataclass(frozen=True)
class Clustering:
    """How the questions of one task go together.

    Attributes:
        by: "cluster", or "picture" where no row names a cluster.
        clusters: of each question, or None where the two files say different things.
    """

    by: str
    clusters: tuple[int, ...] | None


def shared_of(row: Row) -> Shared:
    """What a row says of its cluster: ``cluster``, else ``image`` or ``images``; nothing if it does not.

    Raises:
        InputError: ``cluster`` is something else than text or a whole number.
    """
    named = row.fields.get("cluster")
    if named not in (None, ""):
        return (("cluster", id_text(row, named, "cluster")),)
    pictures = row.fields.get("images")
    if not isinstance(pictures, list):
        pictures = [pictures if pictures is not None else row.fields.get("image")]
    # What is no name (a picture itself, say) tells nothing of who shares it.
    return tuple(
        ("picture", str(name)) for name in pictures if isinstance(name, (str, int)) and str(name).strip()
    )


def clustering(medical: Sequence[Shared], base: Sequence[Shared]) -> Clustering | None:
    """The clusters of questions that both files have.

    Names need not be the same in both files (one may name pictures by hash), but what shares them must.

    Args:
        medical: of each question, by the medical model's file.
        base: by the other one, in the same order.

    Returns:
        None where no two questions are known to share something.

    Examples:
        >>> clustering([(("picture", "a"),), (("picture", "a"),), ()], [(), (), ()])
        Clustering(by='picture', clusters=(0, 0, 2))
    """
    sides = [(side, tuple(joined(side))) for side in (medical, base) if any(side)]
    if not sides or all(len(set(clusters)) == len(clusters) for _, clusters in sides):
        return None
    by = "cluster" if _named([side for side, _ in sides]) else "picture"
    return Clustering(by, sides[0][1] if len({clusters for _, clusters in sides}) == 1 else None)


def _named(sides: Collection[Sequence[Shared]]) -> bool:
    return any(kind == "cluster" for side in sides for shared in side for kind, _ in shared)
