"""Is a quantised model equivalent to its full precision? One model, task by task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

from medbench_local.acquire.prepare import PreparedModel
from medbench_local.catalog.quantisation import QuantConfig
from medbench_local.errors import UsageError
from medbench_local.files.atomic import need_place
from medbench_local.files.lock import only_process
from medbench_local.prompts.prompt import Candidate
from medbench_local.results.check_folder import CheckFolder
from medbench_local.results.folder import RUNS, SCORES, RunFolder, neighbouring_stores
from medbench_local.results.model_check import ModelCheck, TaskCheck
from medbench_local.results.samples import sample_rows
from medbench_local.scoring.answers import Answer, Meter
from medbench_local.scoring.session import ModelSession, StartEngine
from medbench_local.store.scores import ScoreStore
from medbench_local.study.begun import in_begun_mode
from medbench_local.study.cell_answers import Restarts, answer_with
from medbench_local.study.equivalence import (
    CheckSettings,
    check_settings,
    checked_rows,
    compare_precisions,
    record,
)
from medbench_local.study.manifest import identity_of
from medbench_local.study.memory import refuse_plan
from medbench_local.study.model_prompts import refuse_prompts
from medbench_local.study.opening import builder_of, session_for
from medbench_local.study.options import ResolvedOptions
from medbench_local.study.per_model import need_one_model
from medbench_local.study.plan import CellKey, Plan, test_questions
from medbench_local.study.planner import Planner
from medbench_local.study.tools import Tools
from medbench_local.tasks.question import Question


def run_check(model: str, options: ResolvedOptions, tools: Tools) -> ModelCheck:
    """Ask a model the same questions with the same prompts at both precisions.

    The default prompts are used; what was scored in an earlier check or comparison is found again.

    Raises:
        UsageError: there is nothing to compare with.
        MedbenchError: of the parts; what was computed is kept.
    """
    need_one_model(
        chat_template=options.chat_template,
        system_prompt=options.system_prompt,
        think_open=options.think_open,
        think_close=options.think_close,
        mmproj=options.mmproj,
    )
    if options.output is not None:
        need_place(options.output)
    if options.quant == "auto":
        raise UsageError(
            'A check is of one precision; `quant="auto"` means several.',
            advice="`quant_names()` has their names.",
        )
    planner = Planner(model, model, options, tools.progress)
    quant = planner.quants[0]
    planner = in_begun_mode(planner, planner.plan(quant), partial(_is_begun, planner.quants), tools.progress)
    plan = _each_question_once(planner.plan(quant))
    prepared = plan.medical
    if prepared.full is None or not plan.checkable:
        raise UsageError(
            f"{prepared.name} at {plan.quant.name} is all there is: there is no fuller precision to check against.",
            advice="Name a checkpoint, or an f16, bf16 or f32 GGUF, and a precision with `quant=`.",
        )
    refuse_plan(plan)
    refuse_prompts(plan)
    for warning in plan.thoughtless:
        tools.progress.note(f"warning: {warning}")
    settings = check_settings(
        plan.protocol,
        plan.quant,
        scope=options.check,
        reference_precision=plan.reference_precision,
        near_tie=plan.reference_near_tie,
    )
    rows = {cell.key: checked_rows(len(test_questions(plan, cell)), settings) for cell in plan.cells}
    folder = _folder(planner.quants, plan)
    neighbours, tell = neighbouring_stores(folder), tools.progress.note
    with only_process(folder), ScoreStore(folder / SCORES, neighbours, tell=tell) as store:
        kept, identity = CheckFolder(folder), identity_of(plan, planner.quants)
        kept.note_begun(identity)
        # Engines of one kind for both: what differs is to be the precision.
        start = tools.start_engine if tools.engines is None else tools.engines.crew().start
        answers = partial(_answers, plan, prepared, rows, store, start=start, tools=tools)
        quantised, full = answers(full=False), answers(full=True)
        found = _judge(plan, settings, rows, full, quantised)
        kept.note_found(identity, found, datetime.now(timezone.utc))
    return found


def _each_question_once(plan: Plan) -> Plan:
    """The plan without what a comparison needs beside the scoring itself, where models think.

    The comparisons that are fair there ask the medical model the same twice, and once without thinking: counted
    together they would be more questions than were asked.
    """
    once = {(cell.task.id, cell.shots): replace(cell, thinkers=None) for cell in plan.cells}
    return replace(plan, cells=tuple(once.values()))


def _folder(quants: Sequence[QuantConfig], plan: Plan) -> Path:
    name = f"check-{plan.medical.name}-{plan.quant.name}-{identity_of(plan, quants)}"
    return plan.options.output or RUNS / name


def _is_begun(quants: Sequence[QuantConfig], plan: Plan) -> bool:
    folder = _folder(quants, plan)
    if not (folder / SCORES).is_file():
        return False
    kept = CheckFolder(folder)
    if plan.options.output is None or identity_of(plan, quants) in kept.begun():
        return True
    # Version 0.1.0 wrote no list into a folder that was named, and computed in the exact mode.
    listed, compared = kept.checks_file, RunFolder(folder).manifest_file
    return plan.options.mode == "exact" and not listed.is_file() and not compared.is_file()


def _answers(
    plan: Plan,
    model: PreparedModel,
    rows: dict[CellKey, tuple[int, ...]],
    store: ScoreStore,
    *,
    full: bool,
    start: StartEngine,
    tools: Tools,
) -> dict[CellKey, tuple[Answer, ...]]:
    file = plan.reference_file(model) if full else model.quantised
    seed = plan.protocol.demonstration_seed
    chosen = {cell.key: Candidate(None, seed if cell.shots else None) for cell in plan.cells}
    found: dict[CellKey, tuple[Answer, ...]] = {}

    def work(session: ModelSession) -> None:
        prompt_style = session.prompt_style()
        for cell in plan.cells:
            builder = builder_of(session, plan, cell, "medical", prompt_style)
            builder.need_room_to_think(chosen[cell.key], "test", rows[cell.key])
        name = plan.reference_precision if full else plan.quant.name
        found.update(
            answer_with(
                session,
                plan,
                "medical",
                prompt_style,
                chosen,
                rows,
                label=f"{model.name} ({name})",
                progress=tools.progress,
            )
        )

    meter, retries = Meter(), plan.options.retries
    if tools.engines is not None:
        retries = max(retries, 1)
    Restarts(retries, tools.progress, None if tools.engines is None else meter).run(
        lambda: session_for(
            plan,
            model,
            file,
            role="medical",
            start=start,
            reference=full,
            store=store,
            meter=meter,
            progress=tools.progress,
        ),
        work,
    )
    return found


def _judge(
    plan: Plan,
    settings: CheckSettings,
    rows: dict[CellKey, tuple[int, ...]],
    full: dict[CellKey, tuple[Answer, ...]],
    quantised: dict[CellKey, tuple[Answer, ...]],
) -> ModelCheck:
    asked = {cell.key: [test_questions(plan, cell)[row] for row in rows[cell.key]] for cell in plan.cells}
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
        rows=tuple(_rows(plan, asked, full, plan.reference_precision))
        + tuple(_rows(plan, asked, quantised, plan.quant.name)),
    )


def _rows(
    plan: Plan,
    asked: Mapping[CellKey, Sequence[Question]],
    answers: Mapping[CellKey, Sequence[Answer]],
    precision: str,
) -> Iterator[Mapping[str, Any]]:
    """One row a question, as in a comparison's samples."""
    for cell in plan.cells:
        yield from sample_rows(
            asked[cell.key],
            answers[cell.key],
            model=plan.medical.name,
            role="medical",
            precision=precision,
            task=cell.task.id,
            shots=cell.shots,
            scoring=plan.rule_of(cell, "medical"),
        )
