"""The paired verdict of two result files, whatever made them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from medbench_local.errors import UsageError
from medbench_local.reference.outcomes import Pairing, pair_results, read_results
from medbench_local.statistics.paired import Verdict, paired_bootstrap
from medbench_local.statistics.significance import holm, mcnemar_exact, minimum_detectable_difference


@dataclass(frozen=True)
class FileVerdict:
    """One task of two result files.

    Attributes:
        task: its id, "" where the files name none.
        n: questions that both files have.
        accuracy_medical, accuracy_base: shares of correct answers.
        difference: medical minus base; ci: its bootstrap interval.
        verdict: win, tie or loss of the medical model.
        medical_only, base_only: questions that only one side answers correctly.
        mcnemar_p: exact, two-sided; holm_p: adjusted over the tasks of the files.
        minimum_detectable_difference: at 80 % power and the observed discordance; None if there is none.
    """

    task: str
    n: int
    accuracy_medical: float
    accuracy_base: float
    difference: float
    ci: tuple[float, float]
    verdict: Verdict
    medical_only: int
    base_only: int
    mcnemar_p: float
    holm_p: float
    minimum_detectable_difference: float | None

    def __str__(self) -> str:
        low, high = self.ci
        return (
            f"{self.task or 'all'}: {self.verdict}; {self.accuracy_medical:.1%} against {self.accuracy_base:.1%} of "
            f"{self.n:,} questions, {self.difference:+.1%} [{low:+.1%}, {high:+.1%}]"
        )


@dataclass(frozen=True)
class FileVerdicts:
    """All tasks of two result files, and what did not pair.

    Attributes:
        rows: one a task.
        warnings: one sentence for each kind of row that was left out or repeated.
    """

    rows: tuple[FileVerdict, ...]
    warnings: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join([*map(str, self.rows), *(f"warning: {text}" for text in self.warnings)])

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"verdicts": [asdict(row) for row in self.rows], "warnings": list(self.warnings)}


def verdicts_of_files(medical: Path, base: Path, *, confidence: float = 0.95) -> FileVerdicts:
    """Pair two files of per-question results by task and id, and draw the verdicts.

    Args:
        medical: JSON Lines with ``id``, ``correct`` (or ``prediction`` and ``answer``) and maybe ``task``.
        base: the same of the base model.
        confidence: of the interval.

    Raises:
        InputError: a file is malformed, or they have no question in common.
        UsageError: an option is out of its range.
    """
    if not 0.5 <= confidence < 1:
        raise UsageError(f"--confidence must be from 0.5 to below 1, not {confidence}.")
    pairing = pair_results(read_results(medical), read_results(base))
    differences = [paired_bootstrap(task.medical, task.base, confidence=confidence) for task in pairing.tasks]
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
            medical_only=d.medical_only,
            base_only=d.base_only,
            mcnemar_p=p,
            holm_p=adjusted,
            minimum_detectable_difference=(
                minimum_detectable_difference(d.n, d.discordance) if d.discordance else None
            ),
        )
        for task, d, p, adjusted in zip(pairing.tasks, differences, p_values, holm(p_values), strict=True)
    )
    return FileVerdicts(rows, tuple(_warnings(pairing, medical, base)))


def _warnings(pairing: Pairing, medical: Path, base: Path) -> Iterator[str]:
    for path, unmatched, duplicates in (
        (medical, pairing.medical_unmatched, pairing.medical_duplicates),
        (base, pairing.base_unmatched, pairing.base_duplicates),
    ):
        if unmatched:
            yield f"{path}: {unmatched:,} questions are not in the other file and were left out."
        if duplicates:
            yield f"{path}: {duplicates:,} rows repeat an earlier one and were counted once."
