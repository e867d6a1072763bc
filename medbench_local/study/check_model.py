"""Is a quantised model equivalent to its full precision? One model, task by task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from medbench_local.acquire.prepare import PreparedModel
from medbench_local.errors import UsageError
from medbench_local.files.atomic import need_place
from medbench_local.files.lock import only_process
from medbench_local.progress import Progress
from medbench_local.prompts.prompt import Candidate
from medbench_local.results.checks import EquivalenceRecord
from medbench_local.results.folder import RUNS, SCORES, neighbouring_stores
from medbench_local.scoring.answers import Answer, Meter
from medbench_local.scoring.session import ModelSession
from medbench_local.store.scores import ScoreStore
from medbench_local.study.cell_answers import CellKey, answer_with, key_of, with_retries
from medbench_local.study.manifest import identity_of
from medbench_local.study.memory import refuse_plan
from medbench_local.study.opening import session_for
from medbench_local.study.options import ResolvedOptions
from medbench_local.study.plan import Plan, test_questions
from medbench_local.study.planner import Planner
from medbench_local.study.precision_changes import (
    CheckSettings,
    check_settings,
    checked_rows,
    compare_precisions,
    record,
)

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


@dataclass(frozen=True)
class ModelCheck:
    """What a check found.

    Attributes:
        model: its name.
        precision: what was checked.
        reference_precision: against what.
        tasks: task by task.
        overall: over all checked questions together.
    """

    model: str
    precision: str
    reference_precision: str
    tasks: tuple[TaskCheck, ...]
    overall: EquivalenceRecord

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
            f"{name}: {found.outcome}; {found.difference:+.1%} [{found.ci[0]:+.1%}, {found.ci[1]:+.1%}], "
            f"{found.flips} of {found.n:,} predictions differ"
            for name, found in named
        ]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "model": self.model,
            "precision": self.precision,
            "reference_precision": self.reference_precision,
            "outcome": self.outcome,
            "overall": self.overall.model_dump(mode="json"),
            "tasks": [
                {"task": t.task, "shots": t.shots, "equivalence": t.equivalence.model_dump(mode="json")}
                for t in self.tasks
            ],
        }


def run_check(model: str, options: ResolvedOptions, progress: Progress) -> ModelCheck:
    """Ask a model the same questions with the same prompts at both precisions.

    The default prompts are used; what was scored in an earlier check or comparison is found again.

    Raises:
        UsageError: there is nothing to compare with.
        MedbenchError: of the parts; what was computed is kept.
    """
    if options.output is not None:
        need_place(options.output)
    planner = Planner(model, model, options, progress)
    plan = planner.plan(planner.quants[0])
    prepared = plan.medical
    if prepared.full is None or not plan.checkable:
        raise UsageError(
            f"{prepared.name} at {plan.quant.name} is all there is: there is no fuller precision to check against.",
            advice="Name a checkpoint, or an f16, bf16 or f32 GGUF, and a precision with `quant=`.",
        )
    refuse_plan(plan)
    settings = check_settings(
        plan.protocol,
        plan.quant,
        scope=options.check,
        reference_precision=plan.reference_precision,
        near_tie=plan.near_tie,
    )
    rows = {key_of(cell): checked_rows(len(test_questions(plan, cell)), settings) for cell in plan.cells}
    folder = (
        options.output
        or RUNS / f"check-{prepared.name}-{plan.quant.name}-{identity_of(plan, planner.quants)}"
    )
    with only_process(folder), ScoreStore(folder / SCORES, neighbouring_stores(folder)) as store:
        quantised = _answers(plan, prepared, rows, store, full=False, progress=progress)
        full = _answers(plan, prepared, rows, store, full=True, progress=progress)
    return _judge(plan, settings, rows, full, quantised)


def _answers(
    plan: Plan,
    model: PreparedModel,
    rows: dict[CellKey, tuple[int, ...]],
    store: ScoreStore,
    *,
    full: bool,
    progress: Progress,
) -> dict[CellKey, tuple[Answer, ...]]:
    file = plan.reference_file(model) if full else model.quantised
    seed = plan.protocol.demonstration_seed
    chosen = {key_of(cell): Candidate(None, seed if cell.shots else None) for cell in plan.cells}
    found: dict[CellKey, tuple[Answer, ...]] = {}

    def work(session: ModelSession) -> None:
        name = plan.reference_precision if full else plan.quant.name
        found.update(
            answer_with(
                session,
                plan,
                session.prompt_style(),
                chosen,
                rows,
                label=f"{model.name} ({name})",
                progress=progress,
            )
        )

    with_retries(
        lambda: session_for(plan, model, file, reference=full, store=store, meter=Meter()),
        work,
        retries=plan.options.retries,
        progress=progress,
    )
    return found


def _judge(
    plan: Plan,
    settings: CheckSettings,
    rows: dict[CellKey, tuple[int, ...]],
    full: dict[CellKey, tuple[Answer, ...]],
    quantised: dict[CellKey, tuple[Answer, ...]],
) -> ModelCheck:
    asked = {
        key_of(cell): [test_questions(plan, cell)[row] for row in rows[key_of(cell)]] for cell in plan.cells
    }
    tasks = tuple(
        TaskCheck(
            key[0],
            key[1],
            record(compare_precisions(asked[key], full[key], quantised[key], settings), settings),
        )
        for key in asked
    )
    overall = compare_precisions(
        [question for key in asked for question in asked[key]],
        [answer for key in asked for answer in full[key]],
        [answer for key in asked for answer in quantised[key]],
        settings,
    )
    return ModelCheck(
        model=plan.medical.name,
        precision=plan.quant.name,
        reference_precision=plan.reference_precision,
        tasks=tasks,
        overall=record(overall, settings),
    )
