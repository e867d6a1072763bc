"""The paired verdict of two result files, whatever made them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from medbench_local.errors import UsageError
from medbench_local.reference.outcomes import Outcomes, read_results
from medbench_local.reference.pairing import Difference, PairedOutcomes, Pairing, pair_results
from medbench_local.reference.readers.record import Selection
from medbench_local.results.presented import Brief
from medbench_local.statistics.clusters import cluster_bootstrap, too_few_clusters
from medbench_local.statistics.doubt import Doubt, doubt, doubt_said
from medbench_local.statistics.paired import PairedDifference, Verdict, paired_bootstrap
from medbench_local.statistics.significance import holm, mcnemar_exact, minimum_detectable_difference
from medbench_local.text import interval, points

MOSTLY = 0.9
"""Share of a file's questions that must be in the other file for a verdict to speak of the file."""


@dataclass(frozen=True)
class OverClusters:
    """The same difference by a bootstrap over clusters of questions.

    Attributes:
        by: what they share: "cluster" or "picture", as the rows name it.
        n: how many.
        ci: interval of the difference.
        verdict: that it gives.
        too_few: whether they are too few to show a difference.
    """

    by: str
    n: int
    ci: tuple[float, float]
    verdict: Verdict
    too_few: bool


@dataclass(frozen=True)
class FileVerdict:
    """One task of two result files.

    Attributes:
        task: its id, "" where the files name none.
        n: questions that both files have.
        accuracy_medical, accuracy_base: shares of correct answers.
        difference: medical minus base; ci: its bootstrap interval.
        verdict: win, tie or loss of the medical model.
        doubt: why the verdict is not to be relied on: "too few questions" or "exact test"; None if it is.
        medical_only, base_only: questions that only one side answers correctly.
        mcnemar_p: exact, two-sided; holm_p: adjusted over the tasks of the files.
        minimum_detectable_difference: at 80 % power and the observed discordance; None if there is none.
        clusters: the bootstrap over clusters, which stands beside; None where no two questions share one.
    """

    task: str
    n: int
    accuracy_medical: float
    accuracy_base: float
    difference: float
    ci: tuple[float, float]
    verdict: Verdict
    doubt: Doubt | None
    medical_only: int
    base_only: int
    mcnemar_p: float
    holm_p: float
    minimum_detectable_difference: float | None
    clusters: OverClusters | None = None

    @property
    def unlike_clusters(self) -> bool:
        """Whether the bootstrap over clusters gives another verdict, or they are too few for a win or a loss."""
        beside = self.clusters
        if beside is None:
            return False
        return beside.verdict != self.verdict or (beside.too_few and self.verdict != "tie")

    @property
    def said(self) -> str:
        """The verdict, and why it is none: "win", "win (too few questions)", "win (p = 0.062)".

        A verdict that another one over clusters stands beside says so: "win (tie over 146 pictures)".
        """
        if self.doubt == "exact test":
            return f"{self.verdict} (p = {self.mcnemar_p:.2g})"
        if self.doubt is None and self.unlike_clusters and self.clusters is not None:
            over = _counted(self.clusters)
            beside = f"{self.clusters.verdict} over {over}"
            return f"{self.verdict} ({beside if self.clusters.verdict != self.verdict else f'{over} only'})"
        return f"{self.verdict} ({self.doubt})" if self.doubt else self.verdict

    def __str__(self) -> str:
        return (
            f"{self.task or 'all'}: {self.said}; {self.accuracy_medical:.1%} against {self.accuracy_base:.1%} of "
            f"{self.n:,} question{'s' * (self.n != 1)}, {points(self.difference)} points {interval(self.ci)}"
        )


@dataclass(frozen=True, repr=False)
class FileVerdicts(Brief):
    """All tasks of two result files, and what a careful reader should know of them.

    Attributes:
        rows: one a task.
        warnings: sentences: what did not pair, what nothing shows to be the same question, what else differs between
            the files, what counts as wrong, which verdicts rest on too few questions.
        confidence: of the intervals.
    """

    rows: tuple[FileVerdict, ...]
    warnings: tuple[str, ...]
    confidence: float = 0.95

    def __str__(self) -> str:
        return "\n".join([*map(str, self.rows), *(f"warning: {text}" for text in self.warnings)])

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "confidence": self.confidence,
            "verdicts": [_as_json(row) for row in self.rows],
            "warnings": list(self.warnings),
        }


def _as_json(row: FileVerdict) -> dict[str, Any]:
    """The row's fields; without ``clusters`` where there are none."""
    data = asdict(row)
    if row.clusters is None:
        del data["clusters"]
    return data


def _counted(found: OverClusters) -> str:
    return f"{found.n:,} {found.by}{'s' * (found.n != 1)}"


def verdicts_of_files(
    medical: Path,
    base: Path,
    *,
    confidence: float = 0.95,
    metric: str | None = None,
    filter: str | None = None,
    task: str | None = None,
) -> FileVerdicts:
    """Pair two files of per-question results by task and id, and draw the verdicts.

    Args:
        medical: rows with ``id``, ``correct`` (or ``prediction`` and ``answer``) and maybe ``task`` and what questions
            share (``cluster``, or ``image`` or ``images``) as JSON Lines, a JSON list or CSV; a log of
            lm-evaluation-harness or inspect_ai; or a folder of JSON Lines, such as a run's.
        base: the same of the base model, in any of these formats.
        confidence: of the bootstrap's interval.
        metric: which metric or scorer of a log says what is correct; needed where there are several.
        filter: which filter of an lm-evaluation-harness log is read; needed where there are several.
        task: task id of rows that do not say theirs.

    Raises:
        InputError: a file is malformed, it is not clear what its predictions mean, a metric or filter has to be
            chosen, or the files have no question in common or other questions under the same id.
        UsageError: ``confidence`` is out of its range, or there is no log from which to take ``metric`` or ``filter``.
    """
    if not 0.5 <= confidence < 1:
        raise UsageError(f"`confidence=` must be from 0.5 to below 1, not {confidence}.")
    selection = Selection(metric=metric, filter=filter, task=task)
    outcomes = read_results(medical, selection, role="medical"), read_results(base, selection, role="base")
    if (metric or filter) is not None and not any(each.logs for each in outcomes):
        raise UsageError(
            "`metric=` and `filter=` choose from logs of lm-evaluation-harness and inspect_ai; neither file is one.",
            advice="Leave them out.",
        )
    pairing = pair_results(*outcomes)
    differences = [_difference(task, confidence) for task in pairing.tasks]
    p_values = [mcnemar_exact(d.medical_only, d.base_only) for d in differences]
    rows = tuple(
        FileVerdict(
            task=task.task,
            n=d.n,
            accuracy_medical=d.accuracy_medical,
            accuracy_base=d.accuracy_base,
            difference=d.difference,
            ci=(d.low, d.high),
            verdict=d.verdict,
            doubt=doubt(d.verdict, d.n, p, confidence=confidence),
            medical_only=d.medical_only,
            base_only=d.base_only,
            mcnemar_p=p,
            holm_p=adjusted,
            minimum_detectable_difference=(
                minimum_detectable_difference(d.n, d.discordance, alpha=1 - confidence)
                if d.discordance
                else None
            ),
            clusters=_over_clusters(task, confidence),
        )
        for task, d, p, adjusted in zip(pairing.tasks, differences, p_values, holm(p_values), strict=True)
    )
    warnings = (*_of_files(*outcomes), *_of_pairs(pairing, outcomes), *_of_verdicts(rows, confidence))
    return FileVerdicts(rows, warnings, confidence)


def _over_clusters(task: PairedOutcomes, confidence: float) -> OverClusters | None:
    found = task.clustering
    if found is None or found.clusters is None:
        return None
    over = cluster_bootstrap(task.medical, task.base, found.clusters, confidence=confidence)
    return OverClusters(
        found.by, over.n, (over.low, over.high), over.verdict, too_few_clusters(over.n, confidence)
    )


def _difference(task: PairedOutcomes, confidence: float) -> PairedDifference:
    return paired_bootstrap(task.medical, task.base, confidence=confidence)


def _of_files(*outcomes: Outcomes) -> Iterator[str]:
    """How each file was read."""
    for each in outcomes:
        for note in each.notes:
            yield f"{each.path}: {note}."
        if each.duplicates:
            rows = "1 row repeats" if each.duplicates == 1 else f"{each.duplicates:,} rows repeat"
            yield f"{each.path}: {rows} an earlier one and counted once."


def _of_pairs(pairing: Pairing, outcomes: tuple[Outcomes, Outcomes]) -> Iterator[str]:
    """What of two files is not the same question or not asked alike."""
    medical, base = outcomes
    if pairing.copies:
        yield f"{medical.path} and {base.path} hold the same results: is one of them the wrong file?"
    elif pairing.swapped:
        yield (
            f"{medical.path} is given as the medical model's and {base.path} as the base model's, but their rows say "
            "something else: are the files swapped?"
        )
    elif pairing.one_model is not None:
        yield f"The rows of both files say that they are from one model, {pairing.one_model}."
    if pairing.compared < pairing.questions:
        rest = pairing.questions - pairing.compared
        which = "rows" if rest == pairing.questions else f"{rest:,} of {pairing.questions:,} pairs of rows"
        yield (
            f"Nothing but the id shows that {which} are the same question: give 'answer' or 'text_sha256' in both "
            "files, written alike, and they are compared."
        )
    for each, unmatched in zip(outcomes, (pairing.medical_unmatched, pairing.base_unmatched), strict=True):
        if unmatched:
            yield _left_out(each, unmatched, pairing)
    for task in pairing.tasks:
        if task.clustering is not None and task.clustering.clusters is None:
            yield (
                f"{task.task or 'all questions'}: by one file other questions share a {task.clustering.by} than by the "
                f"other; no interval over {task.clustering.by}s was computed."
            )
    for difference in pairing.differences:
        yield _differs(difference, pairing.questions)


def _left_out(outcomes: Outcomes, unmatched: int, pairing: Pairing) -> str:
    """The questions of a file that the other one lacks; and that the verdict is about a part, where they are many."""
    questions = "question is" if unmatched == 1 else "questions are"
    said = f"{outcomes.path}: {unmatched:,} {questions} not in the other file and left out"
    sizes = Counter(task for task, _ in outcomes.results)
    parts = [("", pairing.questions, len(outcomes.results))]
    if len(sizes) > 1:
        parts += [
            (f" of {task.task or '(no task)'}", len(task.ids), sizes[task.task]) for task in pairing.tasks
        ]
    few = [
        f"{both:,} of {of:,} questions{name} ({both / of:.1%})"
        for name, both, of in parts
        if both < MOSTLY * of
    ]
    return f"{said}; the verdict is about {' and '.join(few)} only." if few else f"{said}."


def _differs(difference: Difference, questions: int) -> str:
    where = f"on {difference.questions:,} of {questions:,} questions"
    if difference.name == "prompt":
        return f"The prompts differ {where}: the verdict is about each model with its own prompts."
    return (
        f"'{difference.name}' differs {where} ({difference.medical} in the medical model's file, {difference.base} in "
        "the base model's): the verdict may be about that."
    )


def _of_verdicts(rows: tuple[FileVerdict, ...], confidence: float) -> Iterator[str]:
    for row in rows:
        said = doubt_said(
            row.task or "all questions",
            row.verdict,
            row.n,
            row.medical_only,
            row.base_only,
            confidence=confidence,
        )
        if said is not None:
            yield said
        if row.unlike_clusters and row.clusters is not None:
            yield _unlike(row, row.clusters)


def _unlike(row: FileVerdict, beside: OverClusters) -> str:
    name, over = row.task or "all questions", _counted(beside)
    if beside.verdict == row.verdict:
        return f"{name}: the questions are about {over}, which are too few to show a difference."
    return (
        f"{name}: {row.verdict} over questions, but {beside.verdict} over {over} {interval(beside.ci)}: questions "
        f"that share a {beside.by} are not independent."
    )
