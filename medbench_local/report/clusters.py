"""What reports say where several questions are about one picture: the interval over pictures beside the verdict."""

from __future__ import annotations

from collections.abc import Iterator

from medbench_local.report import words
from medbench_local.report.section import Column, Section
from medbench_local.results.clusters import Clusters
from medbench_local.results.schema import Comparison, Results
from medbench_local.statistics.clusters import too_few_clusters


def sections(results: Results) -> list[Section]:
    """One table for each thing that questions share; nothing where they share none."""
    beside = [(c, c.clusters) for c in results.comparisons if c.clusters is not None]
    return [
        _section(results, by, [(c, found) for c, found in beside if found.by == by])
        for by in dict.fromkeys(found.by for _, found in beside)
    ]


def _section(results: Results, by: str, beside: list[tuple[Comparison, Clusters]]) -> Section:
    columns = (
        Column("comparison", name_of_row=True),
        Column("questions", numeric=True),
        Column(f"{by}s", numeric=True),
        Column("largest", numeric=True),
        Column(f"interval over {by}s", numeric=True),
        Column(f"over {by}s", state=True),
        Column("over questions", state=True),
        Column("precision"),
    )
    rows = tuple(
        (
            words.cell(c),
            f"{c.n:,}",
            f"{found.n:,}",
            f"{found.largest:,}",
            words.interval(found.ci),
            f"{found.verdict}, doubtful" if too_few_clusters(found.n, results.confidence) else found.verdict,
            c.verdict,
            words.plain(c.precision),
        )
        for c, found in beside
    )
    note = (
        f"Questions about one {by} are right or wrong together, which the interval over questions does not know. Here "
        f"{by}s are drawn with all their questions ({results.confidence * 100:g} %, percentage points); questions that "
        f"share any {by} count as one. Verdicts, p-values and rates elsewhere are over questions, as in the study. "
        f"Doubtful: too few {by}s to show a difference."
    )
    if any(c.precision != "full" for c, _ in beside):
        note += (
            f" The interval over {by}s is of the answers at the precision named; that a verdict over questions is "
            "verified does not verify it."
        )
    return Section(f"Over {by}s", note, columns, rows)


def differences(results: Results) -> list[str]:
    """A sentence for each verdict that another one stands beside."""
    return [*_differences(results)]


def _differences(results: Results) -> Iterator[str]:
    for c in results.comparisons:
        found = c.clusters
        if found is None or not words.unlike_clusters(c, results.confidence):
            continue
        over = words.counted(found.n, found.by)
        if found.verdict == c.verdict:
            yield (
                f"{words.cell(c)}: the {c.verdict} rests on questions about {over}, which are too few to show a "
                "difference"
            )
            continue
        beside = (
            f"{words.cell(c)}: {c.verdict} over {words.counted(c.n, 'question')}, {found.verdict} over {over} "
            f"{words.interval(found.ci)}"
        )
        if found.verdict == "tie":
            yield f"{beside}: questions about one {found.by} go together, and what they show of these models is less"
        else:
            yield beside
