"""What a check of one model found: does its quantised form answer as its full precision does?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from typing_extensions import Self

from medbench_local.results.checks import EquivalenceRecord
from medbench_local.results.presented import Presented
from medbench_local.text import interval, points

Outcome = Literal["equivalent", "different", "inconclusive"]

STANDING: Mapping[Outcome, str] = {
    "equivalent": "may stand in for",
    "different": "may not stand in for",
    "inconclusive": "was asked too few questions to tell whether it may stand in for",
}
"""An outcome in words, between the two precisions."""


@dataclass(frozen=True)
class TaskCheck:
    """One task of a check."""

    task: str
    shots: int
    equivalence: EquivalenceRecord


@dataclass(frozen=True, repr=False)
class ModelCheck(Presented):
    """What a check found.

    Attributes:
        model: its name.
        precision: what was checked.
        reference_precision: against what.
        tasks: task by task.
        overall: over all checked questions together.
        rows: what was answered; see `samples`.
    """

    model: str
    precision: str
    reference_precision: str
    tasks: tuple[TaskCheck, ...]
    overall: EquivalenceRecord
    rows: tuple[Mapping[str, Any], ...] = field(default=(), repr=False, compare=False)

    def samples(self) -> list[dict[str, Any]]:
        """One row a question at each of both precisions, as in the samples of a comparison."""
        return [dict(row) for row in self.rows]

    @property
    def to_settle(self) -> tuple[tuple[str, int | None], ...]:
        """What was asked too little where the outcome is inconclusive: how many questions would settle it, about.

        Of all questions together ("all"), or of the tasks whose accuracy moved by more than the margin; None where no
        reasonable number would, as the difference is about the margin itself.
        """
        if self.outcome != "inconclusive":
            return ()
        if self.overall.outcome == "inconclusive":
            return (("all", self.overall.questions_needed),)
        return tuple(
            (f"{one.task}, {one.shots}-shot", one.equivalence.questions_needed)
            for one in self.tasks
            if abs(one.equivalence.difference) > one.equivalence.margin
        )

    @property
    def outcome(self) -> Outcome:
        """Whether the quantised model may stand in for the full one.

        It may ("equivalent") if it is equivalent over all questions together and on no task different or moved by more
        than the margin: gains on one task must not hide losses on another. "different" if that is shown for all
        questions together or for a task; else too few questions were asked to tell ("inconclusive").
        """
        if "different" in (self.overall.outcome, *(task.equivalence.outcome for task in self.tasks)):
            return "different"
        still = all(abs(t.equivalence.difference) <= t.equivalence.margin for t in self.tasks)
        return "equivalent" if self.overall.outcome == "equivalent" and still else "inconclusive"

    def __str__(self) -> str:
        lines = [f"{self.model}: {self.precision} {STANDING[self.outcome]} {self.reference_precision}"]
        named = [(f"{t.task}, {t.shots}-shot", t.equivalence) for t in self.tasks] + [("all", self.overall)]
        lines += [
            f"{name}: {found.outcome}; {points(found.difference)} points {interval(found.ci)}, "
            f"{found.flips} of {found.n:,} predictions differ"
            for name, found in named
        ]
        return "\n".join(lines)

    def _in_short(self) -> str:
        return (
            f"{self.model}: {self.precision} {STANDING[self.outcome]} {self.reference_precision}, "
            f"{self.overall.flips} of {self.overall.n:,} predictions differ"
        )

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """What `to_dict` gave.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        return cls(
            model=str(data["model"]),
            precision=str(data["precision"]),
            reference_precision=str(data["reference_precision"]),
            tasks=tuple(
                TaskCheck(
                    str(one["task"]), int(one["shots"]), EquivalenceRecord.model_validate(one["equivalence"])
                )
                for one in data["tasks"]
            ),
            overall=EquivalenceRecord.model_validate(data["overall"]),
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "model": self.model,
            "precision": self.precision,
            "reference_precision": self.reference_precision,
            "outcome": self.outcome,
            "to_settle": [{"task": task, "questions": questions} for task, questions in self.to_settle],
            "overall": self.overall.model_dump(mode="json"),
            "tasks": [
                {"task": t.task, "shots": t.shots, "equivalence": t.equivalence.model_dump(mode="json")}
                for t in self.tasks
            ],
        }
