"""A medical model against the model it was built from: from two names to verdicts."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from medbench_local.acquire.prepare import GgufFile, PreparedModel
from medbench_local.catalog.quantisation import QuantConfig
from medbench_local.errors import StoreError
from medbench_local.files.atomic import need_place
from medbench_local.files.lock import only_process
from medbench_local.progress import Progress
from medbench_local.results.checks import CheckObstacle
from medbench_local.results.folder import RUNS, RunFolder, neighbouring_stores
from medbench_local.results.samples import sample_rows
from medbench_local.results.schema import Comparison, LadderStep, ModelRecord, PairOf, Results, Timing
from medbench_local.results.summary import summary
from medbench_local.scoring.answers import Answer, Meter
from medbench_local.scoring.session import ModelSession
from medbench_local.store.scores import ScoreStore
from medbench_local.study.cell_answers import (
    CellAnswers,
    CellKey,
    answer_all,
    answer_with,
    key_of,
    with_retries,
)
from medbench_local.study.cell_check import ROLES, CellCheck, Role
from medbench_local.study.manifest import describe, identity_of, origin, run_name
from medbench_local.study.memory import (
    obstacle_to_checking,
    refuse_plan,
    refuse_unchecked_climb,
    why_it_does_not_fit,
)
from medbench_local.study.opening import session_for
from medbench_local.study.options import ResolvedOptions
from medbench_local.study.plan import Cell, Plan, test_questions
from medbench_local.study.planner import Planner
from medbench_local.study.precision_changes import check_settings
from medbench_local.study.precision_check import LADDER_SHARE, check_verdicts, finding, unchecked
from medbench_local.study.verdicts import AtFullPrecision, Side, adjusted, comparison, doubts

WriteReports = Callable[[Path, Results], None]
"""Makes the reports of a run in its folder, which this room knows nothing of."""


@dataclass(frozen=True)
class Run:
    """A finished comparison.

    Attributes:
        folder: where everything about it lies.
        results: what it found.
        computed: False if it had been finished before and was only read.
    """

    folder: RunFolder
    results: Results
    computed: bool

    def __str__(self) -> str:
        return f"{self.results}\nfiles: {self.folder.path}"


def run_comparison(
    medical: str, base: str, options: ResolvedOptions, progress: Progress, write_reports: WriteReports
) -> Run:
    """Compare two models; a comparison that was finished before is read, an interrupted one resumes.

    Args:
        medical: the medical model, as `resolve_model` reads it.
        base: the model it was built from.
        options: everything else.
        progress: listens.
        write_reports: makes the reports in the run's folder.

    Raises:
        MedbenchError: see the errors of the parts; what was computed before is kept.
    """
    started, clock = datetime.now(timezone.utc), time.monotonic()
    if options.output is not None and not RunFolder(options.output).results_file.is_file():
        need_place(options.output)
    for note in options.protocol.notes:
        progress.note(note)
    planner = Planner(medical, base, options, progress)
    quants = planner.quants
    first = planner.plan(quants[0])
    refuse_plan(first)
    if len(quants) > 1:
        refuse_unchecked_climb(first)
    folder = RunFolder(options.output or RUNS / run_name(first, quants))
    if (finished := _finished(folder, first, quants)) is not None:
        return Run(folder, finished, computed=False)
    with only_process(folder.path):
        if (finished := _finished(folder, first, quants)) is not None:
            return Run(folder, finished, computed=False)
        folder.write_manifest(describe(first, quants, started))
        meter = Meter()
        with ScoreStore(folder.scores_file, neighbouring_stores(folder.path)) as store:
            work = _Work(folder, store, meter, progress, identity_of(first, quants))
            outcome, steps = _climb(quants, planner, work)
        results = _results(outcome, steps, started, time.monotonic() - clock, meter)
        folder.write_manifest(describe(outcome.plan, quants, started, work.models))
        write_reports(folder.path, results)
        folder.write_results(results)
    return Run(folder, results, computed=True)


@dataclass
class _Work:
    """Where the work of a run goes, and what it noticed on the way."""

    folder: RunFolder
    store: ScoreStore
    meter: Meter
    progress: Progress
    identity: str
    models: dict[str, dict[str, object]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Outcome:
    """What one precision gave."""

    plan: Plan
    comparisons: tuple[Comparison, ...]


def _finished(folder: RunFolder, plan: Plan, quants: Sequence[QuantConfig]) -> Results | None:
    """The results that are there already.

    Raises:
        StoreError: the folder holds another run.
    """
    if not folder.manifest_file.is_file():
        if folder.results_file.is_file():
            raise StoreError(
                f"{folder.path} holds results without a manifest.json that says what they are of.",
                advice="Choose another folder with `output=`, or move results.json away.",
            )
        return None
    if folder.manifest().get("identity") != identity_of(plan, quants):
        raise StoreError(
            f"{folder.path} holds another run (other models, data or settings).",
            advice="Choose another folder with `output=`.",
        )
    found = folder.results()
    if found is not None and any(c.check.obstacle == "does-not-fit" for c in found.comparisons):
        return None if obstacle_to_checking(plan) is None else found  # what did not fit once may fit now
    return found


def _climb(
    quants: Sequence[QuantConfig], planner: Planner, work: _Work
) -> tuple[_Outcome, tuple[LadderStep, ...]]:
    """The first precision whose comparisons are all settled, else the last one of ``quants``."""
    steps: list[LadderStep] = []
    for quant in quants:
        last = len(steps) == len(quants) - 1
        plan = planner.plan(quant)
        outcome = _compare_at(plan, work, share=1.0 if last else LADDER_SHARE, precisions=len(quants))
        comparisons = outcome.comparisons
        verified = sum(c.check.settled for c in comparisons)
        steps.append(
            LadderStep(
                precision=quant.name,
                verified=verified,
                comparisons=len(comparisons),
                checked=None if plan.at_full_precision else sum(c.check.checked for c in comparisons),
                questions=None if plan.at_full_precision else sum(c.n for c in comparisons),
            )
        )
        if verified == len(comparisons) or last:
            break
        work.progress.note(
            f"{quant.name}: {verified} of {len(comparisons)} comparisons settled; trying "
            f"{quants[len(steps)].name}"
        )
    return outcome, tuple(steps) if len(quants) > 1 else ()


def _compare_at(plan: Plan, work: _Work, *, share: float, precisions: int) -> _Outcome:
    """All comparisons at one precision, checked against full precision.

    Args:
        plan: at that precision.
        work: where it goes.
        share: of the questions that are checked at most.
        precisions: how many may be tried one after the other.
    """
    work.folder.clear_samples()  # of a precision that was tried before
    obstacle = obstacle_to_checking(plan)
    if obstacle == "does-not-fit":
        work.progress.note(why_it_does_not_fit(plan))
    sides: dict[Role, dict[CellKey, CellAnswers]] = {}
    shared: dict[CellKey, tuple[Answer, ...]] = {}

    def answer_medical(session: ModelSession) -> None:
        _remember(work, "medical", session, plan)
        label = f"{plan.medical.name} ({plan.quant.name})"
        sides["medical"] = answer_all(session, plan, label=label, progress=work.progress)

    def answer_base(session: ModelSession) -> None:
        _remember(work, "base", session, plan)
        label = f"{plan.base.name} ({plan.quant.name})"
        sides["base"] = answer_all(session, plan, label=label, progress=work.progress)
        if plan.options.ablation:
            chosen = {key: found.candidate for key, found in sides["medical"].items()}
            shared.update(
                answer_with(
                    session,
                    plan,
                    session.prompt_style(plan.medical),
                    chosen,
                    {key_of(cell): range(len(test_questions(plan, cell))) for cell in plan.cells},
                    label=f"{plan.base.name} with the prompts of {plan.medical.name}",
                    progress=work.progress,
                )
            )

    _with_model(plan, plan.medical, plan.medical.quantised, answer_medical, work)
    _with_model(plan, plan.base, plan.base.quantised, answer_base, work)
    findings = _findings(plan, sides, obstacle, share, precisions, work)
    comparisons = []
    for cell in plan.cells:
        key = key_of(cell)
        medical, base = sides["medical"][key], sides["base"][key]
        comparisons.append(
            comparison(
                task=cell.task.id,
                shots=cell.shots,
                scoring=plan.scoring,
                precision=plan.precision,
                questions=test_questions(plan, cell),
                medical=Side(medical.choice, medical.answers),
                base=Side(base.choice, base.answers),
                shared_prompt=shared.get(key),
                settings=plan.protocol.bootstrap,
                near_tie=plan.near_tie,
                found=findings[key],
            )
        )
    return _Outcome(plan, adjusted(comparisons))


def _findings(
    plan: Plan,
    sides: Mapping[Role, Mapping[CellKey, CellAnswers]],
    obstacle: CheckObstacle | None,
    share: float,
    precisions: int,
    work: _Work,
) -> dict[CellKey, AtFullPrecision]:
    """What is known of every comparison at full precision; writes the samples of both precisions."""
    checks: Mapping[CellKey, CellCheck] = {}
    if plan.options.check != "none" and plan.checkable and obstacle is None:
        checks = check_verdicts(
            plan,
            sides,
            key=work.identity,
            precisions=precisions,
            share=share,
            with_model=lambda role, visit: _with_model(
                plan,
                plan.models[role],
                plan.reference_file(plan.models[role]),
                visit,
                work,
                reference=True,
            ),
            progress=work.progress,
        )
    settings = check_settings(
        plan.protocol,
        plan.quant,
        scope=plan.options.check,
        reference_precision=plan.reference_precision,
        near_tie=plan.near_tie,
    )
    findings = {}
    for cell in plan.cells:
        key = key_of(cell)
        check = checks.get(key)
        found = unchecked(plan, cell, obstacle) if check is None else finding(plan, check, settings)
        findings[key] = found
        for role in ROLES:
            _write_samples(plan, cell, role, sides[role][key].answers, check, found, work)
    return findings


def _with_model(
    plan: Plan,
    model: PreparedModel,
    file: GgufFile,
    work_with: Callable[[ModelSession], None],
    work: _Work,
    *,
    reference: bool = False,
) -> None:
    with_retries(
        lambda: session_for(plan, model, file, reference=reference, store=work.store, meter=work.meter),
        work_with,
        retries=plan.options.retries,
        progress=work.progress,
    )


def _remember(work: _Work, role: str, session: ModelSession, plan: Plan) -> None:
    """What the manifest says of a loaded model."""
    info = session.info
    work.models[role] = {
        "description": info.description,
        "device": info.device,
        "numerics": info.numerics,
        "context": session.rules.context,
        "first_prompt": session.first_prompt(
            plan.cells[0].task, plan.cells[0].shots, plan.protocol.demonstration_seed
        ),
    }


def _write_samples(
    plan: Plan,
    cell: Cell,
    role: Role,
    scored: Sequence[Answer],
    check: CellCheck | None,
    found: AtFullPrecision,
    work: _Work,
) -> None:
    """The answers that are reported in ``samples``, those at the other precision in a folder of its name below it."""
    name = f"{role}.{cell.task.id}.{cell.shots}-shot"
    questions = test_questions(plan, cell)
    model = plan.models[role]

    def write(path: str, rows: Sequence[int], answers: Sequence[Answer], precision: str) -> None:
        work.folder.write_samples(
            path,
            sample_rows(
                [questions[row] for row in rows],
                answers,
                model=model.name,
                role=role,
                precision=precision,
                task=cell.task.id,
                shots=cell.shots,
                scoring=plan.scoring,
            ),
        )

    every = range(len(questions))
    if check is None or plan.scored_at_reference(role):
        write(name, every, scored, model.precision)
        return
    fuller = plan.reference_precision
    reported = found.medical if role == "medical" else found.base
    if reported is not None:
        write(name, every, reported, fuller)
        write(f"{model.precision}/{name}", every, scored, model.precision)
        return
    rows = sorted(check.checked)
    write(name, every, scored, model.precision)
    write(f"{fuller}/{name}", rows, [check.full[role][row] for row in rows], fuller)


def _results(
    outcome: _Outcome, steps: tuple[LadderStep, ...], started: datetime, seconds: float, meter: Meter
) -> Results:
    plan = outcome.plan
    return Results(
        models=PairOf(medical=_model_record(plan.medical), base=_model_record(plan.base)),
        precision=plan.precision,
        mode=plan.options.engine.mode,
        protocol=plan.protocol.name,
        confidence=plan.protocol.bootstrap.confidence,
        comparisons=outcome.comparisons,
        summary=summary(outcome.comparisons),
        warnings=(
            *plan.warnings,
            *doubts(outcome.comparisons, confidence=plan.protocol.bootstrap.confidence),
        ),
        ladder=steps,
        timing=Timing(
            started=started.isoformat(timespec="seconds"),
            seconds=round(seconds, 3),
            tokens_decoded=meter.tokens_decoded,
            prompts_scored=meter.prompts_scored,
            prompts_reused=meter.prompts_reused,
            tokens_per_second=round(meter.tokens_decoded / meter.seconds, 1) if meter.seconds else None,
        ),
    )


def _model_record(model: PreparedModel) -> ModelRecord:
    file = model.quantised
    return ModelRecord(
        name=model.name,
        source=origin(model),
        sha256=file.sha256,
        file_type=file.file_type,
        size=file.size,
    )
