"""All comparisons at one precision: the steps of a schedule, one after the other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from math import inf
from pathlib import Path
from types import TracebackType

from medbench_local.results.folder import RunFolder, neighbouring_stores
from medbench_local.results.record import ROLES, Role
from medbench_local.results.samples import samples_name
from medbench_local.results.schema import Comparison
from medbench_local.scoring.answers import Answer, Meter
from medbench_local.scoring.session import ModelSession, StartEngine
from medbench_local.store.scores import ScoreStore
from medbench_local.study.asked_files import write_asked
from medbench_local.study.cell_answers import CellAnswers, ModelAnswers, Restarts, answer_with
from medbench_local.study.cell_verification import CellVerification
from medbench_local.study.crew_models import CrewModels
from medbench_local.study.equivalence import check_settings
from medbench_local.study.identification import LoadedModel, loaded
from medbench_local.study.in_parallel import take_all
from medbench_local.study.loaded_models import LoadedModels, Seat
from medbench_local.study.loading import effort_of, file_of, loading_of, seconds_of
from medbench_local.study.memory import obstacle_to_checking, room_for, why_it_does_not_fit
from medbench_local.study.opening import session_for
from medbench_local.study.pictures import encoded_pictures
from medbench_local.study.plan import CellKey, Plan, test_questions
from medbench_local.study.sample_files import write_samples
from medbench_local.study.schedule import Step, runs_of, schedule
from medbench_local.study.so_far import SoFar
from medbench_local.study.tools import Tools
from medbench_local.study.verdicts import Side, adjusted, comparison
from medbench_local.study.verification import finding, unchecked, verify_verdicts
from medbench_local.tasks.picture import Picture


@dataclass
class Work:
    """Where the work of a run goes, and what it noticed on the way."""

    folder: RunFolder
    store: ScoreStore
    meter: Meter
    tools: Tools
    identity: str
    so_far: SoFar
    models: dict[str, LoadedModel] = field(default_factory=dict)


def compare_at(plan: Plan, work: Work, *, share: float, precisions: int) -> tuple[Comparison, ...]:
    """All comparisons at one precision, checked against full precision.

    Args:
        plan: at that precision.
        work: where it goes.
        share: of the questions that are checked at most.
        precisions: how many may be tried one after the other.

    Returns:
        The comparisons in the order of the plan, their p-values adjusted over all of them.
    """
    done = work.so_far.resumed(plan)
    # Before any language model is loaded: what looks at pictures is never in memory beside one.
    features = {role: encoded_pictures(plan, plan.models[role], work.tools.progress) for role in ROLES}
    session, engines = partial(_session, plan, work, features), work.tools.engines
    if engines is None:
        start, meter = work.tools.start_engine, work.meter
        with (
            LoadedModels(lambda seat: session(seat, start, meter), room_for(plan)) as models,
            _Steps(plan, work, models, share=share, precisions=precisions) as steps,
        ):
            for step in steps.in_order(models, done):
                steps.take(step)
    else:
        turns, store = work.tools.turns, work.folder.scores_file
        files = [file_of(plan, Seat(role, reference)) for role in ROLES for reference in (False, True)]
        turns.begin(store, [file.sha256 for file in files])

        def meet() -> None:
            work.store.meet(turns.without_strangers(store, neighbouring_stores(work.folder.path)))

        crew = CrewModels(
            session,
            engines.crew(),
            engines,
            turns=turns,
            model_of=lambda seat: file_of(plan, seat).sha256,
            meet=meet,
        )
        with _Steps(plan, work, crew, share=share, precisions=precisions) as steps:
            groups = steps.groups()
            take_all(
                steps,
                groups,
                steps.looked_over(groups),
                stop=engines.stop,
                progress=work.tools.progress,
            )
    found = tuple(steps.comparisons[cell.key] for cell in plan.cells)
    write_asked(work.folder, plan, steps.sides)
    return adjusted(found)


def _session(
    plan: Plan,
    work: Work,
    features: Mapping[Role, Mapping[Picture, Path]],
    seat: Seat,
    start: StartEngine,
    meter: Meter,
) -> ModelSession:
    return session_for(
        plan,
        plan.models[seat.role],
        file_of(plan, seat),
        role=seat.role,
        start=start,
        reference=seat.reference,
        store=work.store,
        meter=meter,
        progress=work.tools.progress,
        features=features[seat.role],
    )


class _Steps:
    """What the steps of a schedule do, and what they have found.

    Args:
        plan, work, share, precisions: as of `compare_at`.
        models: loads them.

    Attributes:
        sides: what each model did in the cells that it has answered.
        comparisons: those that both models have finished, as far as they are checked.
    """

    def __init__(
        self,
        plan: Plan,
        work: Work,
        models: LoadedModels | CrewModels,
        *,
        share: float,
        precisions: int,
    ) -> None:
        self._plan, self._work, self._models = plan, work, models
        self._share, self._precisions = share, precisions
        self._one = threading.RLock()
        progress, retries = work.tools.progress, plan.options.retries
        self._obstacle = obstacle_to_checking(plan)
        if self._obstacle == "does-not-fit":
            progress.note(why_it_does_not_fit(plan))
        self._checked = plan.options.check != "none" and plan.checkable and self._obstacle is None
        self._settings = check_settings(
            plan.protocol,
            plan.quant,
            scope=plan.options.check,
            reference_precision=plan.reference_precision,
            near_tie=plan.reference_near_tie,
        )
        self._cells = {cell.key: cell for cell in plan.cells}
        self._answers: dict[Role, ModelAnswers] = {
            role: ModelAnswers(
                plan, role, label=f"{plan.models[role].name} ({plan.quant.name})", progress=progress
            )
            for role in ROLES
        }
        self._restarts = {role: Restarts(retries, progress) for role in ROLES}
        self._noted: set[Role] = set()
        self._shared: dict[CellKey, tuple[Answer, ...]] = {}
        self.sides: Mapping[Role, Mapping[CellKey, CellAnswers]] = {
            role: self._answers[role].found for role in ROLES
        }
        self.comparisons: dict[CellKey, Comparison] = {}

    def __enter__(self) -> _Steps:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for answers in self._answers.values():
            answers.close(error)

    # On a cluster

    def groups(self) -> list[tuple[CellKey, ...]]:
        """Cells of one task, which share their answers."""
        return runs_of(tuple(self._cells), lambda key: key[:2])

    def looked_over(
        self, groups: Sequence[tuple[CellKey, ...]]
    ) -> dict[tuple[Role, tuple[CellKey, ...]], float]:
        """How many tokens each model has to read for each group, about; what cannot be asked is refused."""
        for role in ROLES:
            self._visit(role, self._answers[role].look_over, ())
        return {
            (role, group): sum(self._answers[role].tokens(key) for key in group)
            for role in ROLES
            for group in groups
        }

    def answer(self, role: Role, cells: Sequence[CellKey]) -> None:
        """A model chooses its prompts and takes the test."""
        self.take(Step("answer", tuple(cells), role))

    def finish(self, cells: Sequence[CellKey]) -> None:
        """What is left once both models have answered."""
        if self._plan.options.ablation:
            self.take(Step("share", tuple(cells), "base"))
        self.take(Step("judge", tuple(cells)))
        if self._checked:
            self.take(Step("check", tuple(cells)))

    # One after the other

    def in_order(self, models: LoadedModels, done: Container[CellKey]) -> tuple[Step, ...]:
        """The steps; the first model is loaded, which shows what it computes on, and so whether both stay loaded.

        Args:
            models: that are loaded.
            done: cells of comparisons that were finished before an interruption.
        """
        self._visit("medical", lambda _: None, ())
        loading = loading_of(self._plan, models, checked=self._checked)
        return schedule(
            tuple(self._cells),
            seconds_of(self._plan, done, gpu=models.on_gpu),
            loading,
            shared=self._plan.options.ablation,
            checked=self._checked,
        )

    def take(self, step: Step) -> None:
        """Do what a step says."""
        if step.action == "answer":
            assert step.role is not None
            answers = self._answers[step.role]
            self._visit(step.role, lambda session: answers.visit(session, step.cells), step.cells)
        elif step.action == "share":
            self._visit("base", partial(self._share_prompts, cells=step.cells), step.cells)
        elif step.action == "judge":
            self._judge(step.cells, {}, provisional=self._checked)
        else:
            self._judge(step.cells, self._verify(step.cells), provisional=False)

    def _visit(self, role: Role, work_with: Callable[[ModelSession], None], cells: Sequence[CellKey]) -> None:
        def noted(session: ModelSession) -> None:
            if role not in self._noted:
                self._work.models[role] = loaded(session, self._plan)
                self._noted.add(role)
            work_with(session)

        self._with_session(Seat(role), self._restarts[role], noted, cells)

    def _with_session(
        self,
        seat: Seat,
        restarts: Restarts,
        work_with: Callable[[ModelSession], None],
        cells: Sequence[CellKey],
    ) -> None:
        """Run some work on ``cells`` with a model; when its worker dies, again as far as that is allowed."""
        models = self._models
        if isinstance(models, LoadedModels):
            restarts.run(lambda: models.visit(seat), work_with)
            return
        meter = Meter(into=self._work.meter)
        # What comes before all answers goes first: until then nobody knows which cells are the longest.
        answers = self._answers[seat.role]
        tokens = sum(answers.tokens(key) for key in cells) if cells else inf
        effort = effort_of(self._plan, seat, tokens)
        # What one engine cannot do may be the engine's fault, so that another one tries.
        elsewhere = Restarts(max(self._plan.options.retries, 1), self._work.tools.progress, meter)
        elsewhere.run(lambda: models.visit(seat, meter, effort, cells), work_with)

    def _share_prompts(self, session: ModelSession, cells: Sequence[CellKey]) -> None:
        """The base model is asked with the prompts that were chosen for the medical model."""
        plan = self._some(cells)
        medical, base = plan.medical, plan.base
        shared = answer_with(
            session,
            plan,
            "base",
            session.prompt_style((medical, plan.options.prompting("medical"))),
            {key: self.sides["medical"][key].candidate for key in cells},
            {cell.key: range(len(test_questions(plan, cell))) for cell in plan.cells},
            label=f"{base.name} with the prompts of {medical.name}",
            progress=self._work.tools.progress,
        )
        self._shared.update(shared)

    def _verify(self, cells: Sequence[CellKey]) -> Mapping[CellKey, CellVerification]:
        progress, retries = self._work.tools.progress, self._plan.options.retries

        def with_model(role: Role, visit: Callable[[ModelSession], None]) -> None:
            self._with_session(Seat(role, reference=True), Restarts(retries, progress), visit, cells)

        return verify_verdicts(
            self._some(cells),
            self.sides,
            key=self._work.identity,
            precisions=self._precisions,
            share=self._share,
            with_model=with_model,
            progress=progress,
        )

    def _judge(
        self, cells: Sequence[CellKey], checks: Mapping[CellKey, CellVerification], *, provisional: bool
    ) -> None:
        """Draw the verdicts of some cells, write their samples, and tell what is known now."""
        with self._one:
            for key in cells:
                found = self._drawn(key, checks.get(key))
                self.comparisons[key] = found.as_provisional(provisional)
            self._work.so_far.tell(
                [self.comparisons[key] for key in cells],
                checked=bool(checks),
                confidence=self._plan.protocol.bootstrap.confidence,
            )
            self._work.so_far.keep(self._plan, self.comparisons, self.sides, self._work.models)

    def _drawn(self, key: CellKey, check: CellVerification | None) -> Comparison:
        plan, cell = self._plan, self._cells[key]
        found = (
            unchecked(plan, cell, self._obstacle) if check is None else finding(plan, check, self._settings)
        )
        for role in ROLES:
            self._work.folder.clear_samples(samples_name(role, cell.task.id, cell.shots, cell.thinkers))
            write_samples(self._work.folder, plan, cell, role, self.sides[role][key].answers, check, found)
        medical, base = self.sides["medical"][key], self.sides["base"][key]
        return comparison(
            task=cell.task.id,
            shots=cell.shots,
            scoring=plan.rule_of(cell, "medical"),
            thinkers=cell.thinkers,
            precision=plan.precision,
            questions=test_questions(plan, cell),
            medical=Side(medical.choice, medical.answers),
            base=Side(base.choice, base.answers),
            shared_prompt=self._shared.get(key),
            settings=plan.protocol.bootstrap,
            near_tie=plan.near_tie,
            reference_near_tie=plan.reference_near_tie,
            found=found,
        )

    def _some(self, cells: Sequence[CellKey]) -> Plan:
        """The plan of some cells, in its order."""
        return replace(self._plan, cells=tuple(cell for cell in self._plan.cells if cell.key in cells))
