"""A medical model against the model it was built from: from two names to verdicts."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from functools import partial

from medbench_local.catalog.quantisation import QuantConfig
from medbench_local.errors import MedbenchError, StoreError
from medbench_local.files.atomic import need_place, remove_unfinished
from medbench_local.files.lock import only_process
from medbench_local.results.cost import ComparisonCost
from medbench_local.results.folder import RUNS, Run, RunFolder, neighbouring_stores
from medbench_local.results.schema import Comparison, LadderStep, Results
from medbench_local.scoring.answers import Meter
from medbench_local.store.scores import ScoreStore
from medbench_local.study.asked_files import leave_out_as_asked
from medbench_local.study.asking import Consent
from medbench_local.study.assembly import assemble, timing_of
from medbench_local.study.begun import any_begun, in_begun_mode
from medbench_local.study.command import command_of
from medbench_local.study.detectable import detectable_beforehand
from medbench_local.study.identification import identification
from medbench_local.study.manifest import HashedCell, describe, identity_with, run_name
from medbench_local.study.memory import (
    obstacle_to_checking,
    refuse_plan,
    refuse_unchecked_climb,
)
from medbench_local.study.model_prompts import prompt_warnings, refuse_prompts
from medbench_local.study.one_precision import Work, compare_at
from medbench_local.study.options import ResolvedOptions
from medbench_local.study.plan import Outline, Plan, test_questions
from medbench_local.study.planner import Planner
from medbench_local.study.precision import choose_precision
from medbench_local.study.so_far import SoFar
from medbench_local.study.thinking_room import slots_note
from medbench_local.study.tools import Tools
from medbench_local.study.verification import LADDER_SHARE


def run_comparison(medical: str, base: str, options: ResolvedOptions, tools: Tools) -> Run:
    """Compare two models; a comparison that was finished before is read, an interrupted one resumes.

    Args:
        medical: the medical model, as `resolve_model` reads it.
        base: the model it was built from.
        options: everything else.
        tools: the engine, who listens, and who makes the reports.

    Raises:
        MedbenchError: see the errors of the parts; what was computed before is kept.
    """
    started, clock = datetime.now(timezone.utc), time.monotonic()
    with tools.preparing:
        ready = _prepared(medical, base, options, tools)
    if isinstance(ready, Run):
        return ready
    return _computed(ready, started, clock, tools)


def _prepared(medical: str, base: str, options: ResolvedOptions, tools: Tools) -> Run | _Ready:
    """Both models and the questions, or the run that is finished."""
    if options.output is not None and not RunFolder(options.output).results_file.is_file():
        need_place(options.output)
    for note in options.protocol.notes:
        tools.progress.note(note)
    planner = Planner(medical, base, options, tools.progress)
    ask = partial(_ask, Consent(tools), (medical, base), options, tools)
    if not any_begun(planner.names, options):
        planner.read_questions()  # before any model is fetched
        ask(same=planner.same_model)
    cells = planner.hashed_cells()
    choice = choose_precision(planner, cells, options, tools)
    quants = planner.quants if choice is None else (choice.quant,)
    planner = in_begun_mode(
        planner, planner.outline(quants[0]), partial(_is_begun, quants, cells), tools.progress
    )
    outline = planner.outline(quants[0])
    identity = identity_with(outline, cells, quants)
    folder = _folder(outline, identity)
    if (finished := _finished(folder, outline, identity)) is not None:
        leave_out_as_asked(folder, finished, options, tools.write_reports)
        return Run(folder, finished, computed=False)
    first = planner.plan(quants[0])
    if not _is_begun(quants, cells, outline):
        ask(same=first.same_file)
    refuse_plan(first)
    refuse_prompts(first)
    if note := slots_note(first):
        tools.progress.note(note)
    for warning in prompt_warnings(first):
        tools.progress.note(f"warning: {warning}")
    if len(quants) > 1:
        refuse_unchecked_climb(first)
    counts = {cell.task.id: len(test_questions(first, cell)) for cell in first.cells}
    tools.progress.note(detectable_beforehand(counts, confidence=first.protocol.bootstrap.confidence))
    chosen = None if choice is None else choice.record()
    command = command_of(medical, base, options, quant=None if choice is None else choice.quant.name)
    return _Ready(planner, first, quants, folder, identity, chosen, command)


def _computed(ready: _Ready, started: datetime, clock: float, tools: Tools) -> Run:
    """The run, computed or resumed."""
    planner, first, quants = ready.planner, ready.first, ready.quants
    folder, identity, chosen, command = ready.folder, ready.identity, ready.chosen, ready.command
    with only_process(folder.path):
        remove_unfinished(folder.path)
        if (finished := _finished(folder, first, identity)) is not None:
            return Run(folder, finished, computed=False)
        said = identification(first, quants, {})
        about = partial(describe, quants=quants, started=started, chosen=chosen, command=command)
        engines = tools.engines.describe() if tools.engines is not None else None
        folder.write_manifest(about(first, said=said, models={}, engines=engines))
        meter = Meter()
        so_far = SoFar(folder, quants, meter, tools, started, clock)
        neighbours, tell = neighbouring_stores(folder.path), tools.progress.note
        with ScoreStore(folder.scores_file, neighbours, tell=tell) as store:
            work = Work(folder, store, meter, tools, identity, so_far)
            try:
                outcome, steps = _climb(quants, planner, work)
            except BaseException:
                with suppress(MedbenchError):  # what went wrong first is what counts
                    store.need_place()  # reports do not go where something else stands by now
                    so_far.report()
                raise
        said = identification(outcome.plan, quants, work.models)
        results = assemble(
            outcome.plan,
            outcome.comparisons,
            said=said,
            ladder=steps,
            timing=timing_of(meter, started=started, seconds=time.monotonic() - clock),
        )
        models = {role: asdict(model) for role, model in work.models.items()}
        engines = None if tools.engines is None else tools.engines.describe()  # some may have come later
        folder.write_manifest(about(outcome.plan, said=said, models=models, engines=engines))
        tools.write_reports(folder.path, results)
        folder.write_results(results)
    return Run(folder, results, computed=True)


@dataclass(frozen=True)
class _Ready:
    """A comparison that can begin.

    Attributes:
        planner: makes plans at further precisions.
        first: the plan at the first one.
        quants: all precisions that may be tried.
        folder: of the run.
        identity: of the run.
        chosen, command: as of `describe`.
    """

    planner: Planner
    first: Plan
    quants: Sequence[QuantConfig]
    folder: RunFolder
    identity: str
    chosen: Mapping[str, str] | None
    command: str


@dataclass(frozen=True)
class _Outcome:
    """What one precision gave."""

    plan: Plan
    comparisons: tuple[Comparison, ...]


def _ask(
    consent: Consent, pair: tuple[str, str], options: ResolvedOptions, tools: Tools, *, same: bool
) -> None:
    """Ask what a careful person would want to be asked before this begins.

    Raises:
        CancelledError: it is not wanted.
        MedbenchError: of the plan.
    """
    if same:
        consent.to_the_same_model()
    if pair not in tools.agreed:
        consent.to_long_work(lambda quiet: _planned(pair, options, quiet))


def _planned(pair: tuple[str, str], options: ResolvedOptions, tools: Tools) -> ComparisonCost:
    from medbench_local.study.cost import plan_comparison  # what is finished needs no plan

    return plan_comparison(*pair, options, tools)


def _folder(outline: Outline, identity: str) -> RunFolder:
    return RunFolder(outline.options.output or RUNS / run_name(outline, identity))


def _is_begun(quants: Sequence[QuantConfig], cells: Sequence[HashedCell], outline: Outline) -> bool:
    identity = identity_with(outline, cells, quants)
    folder = _folder(outline, identity)
    return folder.manifest_file.is_file() and folder.manifest().get("identity") == identity


def _finished(folder: RunFolder, plan: Outline, identity: str) -> Results | None:
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
    if folder.manifest().get("identity") != identity:
        raise StoreError(
            f"{folder.path} holds another run (other models, data or settings).",
            advice="Choose another folder with `output=`.",
        )
    found = folder.results()
    if found is not None and any(c.check.obstacle == "does-not-fit" for c in found.comparisons):
        return None if obstacle_to_checking(plan) is None else found  # what did not fit once may fit now
    return found


def _climb(
    quants: Sequence[QuantConfig], planner: Planner, work: Work
) -> tuple[_Outcome, tuple[LadderStep, ...]]:
    """The first precision whose comparisons are all settled, else the last one of ``quants``."""
    steps: list[LadderStep] = []
    for quant in quants:
        last = len(steps) == len(quants) - 1
        with work.tools.preparing:
            plan = planner.plan(quant)
        comparisons = compare_at(plan, work, share=1.0 if last else LADDER_SHARE, precisions=len(quants))
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
        work.tools.progress.note(
            f"{quant.name}: {verified} of {len(comparisons)} comparisons settled; trying "
            f"{quants[len(steps)].name}"
        )
    return _Outcome(plan, comparisons), tuple(steps) if len(quants) > 1 else ()
