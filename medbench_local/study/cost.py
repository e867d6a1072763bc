"""What a comparison would cost, before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from medbench_local.acquire.inventory import ModelPlan, fetched_twice, made_twice, plan_model
from medbench_local.acquire.source import ModelSource
from medbench_local.catalog.quantisation import FULL, QuantConfig, load_quant
from medbench_local.engine.base import Mode
from medbench_local.engine.memory import memory_available
from medbench_local.engine.threads import TINY
from medbench_local.results.cost import CellCost, ComparisonCost, ModelCost
from medbench_local.results.record import ROLES
from medbench_local.study.assumed import assumptions
from medbench_local.study.detectable import detectable_beforehand
from medbench_local.study.ladder import ladder, stand_in
from medbench_local.study.memory import both_fit
from medbench_local.study.model_cost import Asking, cell_cost, counter_for
from medbench_local.study.options import ResolvedOptions
from medbench_local.study.pictures import pictures_of
from medbench_local.study.plan import Cell, asked_questions, load_cells, mode_of
from medbench_local.study.planned_model import PlannedModel
from medbench_local.study.planner import Planner, given_quantised, sources_of
from medbench_local.study.precision import begun_before, foreseen, weights_of
from medbench_local.study.speed import Clock
from medbench_local.study.thinking_plan import context_at_most
from medbench_local.study.token_counter import token_counter
from medbench_local.study.tools import Tools


def plan_comparison(medical: str, base: str, options: ResolvedOptions, tools: Tools) -> ComparisonCost:
    """Count prompts and tokens, and see what is cached.

    Nothing is computed but, once, the speed of this machine, or of a model whose file is here.

    Raises:
        MedbenchError: a model, a task or an option is not known, or the hub refuses.
    """
    progress = tools.progress
    sources = sources_of(medical, base, options)
    steps = ladder(options)
    sizes = [weights_of(source, options, progress) for source in sources]
    weights = [size for size, _ in sizes]
    clock = Clock(options, tools, large=max(weights) >= TINY)
    cells = load_cells(options, sources, progress, typical=True)
    if options.quant is None and any(weights):
        choice = begun_before(Planner(medical, base, options, progress), sources, options, progress)
        if choice is None and clock.reading:
            choice = foreseen(clock.reading, max(weights), options, asked=max(asked for _, asked in sizes))
        if choice is not None:
            progress.note(str(choice))
            steps = (choice.quant,)
    checked = options.check != "none" and steps[0].name != FULL and not any(map(given_quantised, sources))
    with ExitStack() as stack:
        models = []
        for role, source, (size, asked) in zip(ROLES, sources, sizes, strict=True):
            files = _files(source, steps[0], options, tools)
            full = (
                files
                if files.precision == FULL or not files.full_here
                else _files(source, None, options, tools)
            )
            counter = token_counter(source, files.file, options, tools.start_engine)
            models.append(
                PlannedModel(role, source, files, full, stack.enter_context(counter), options, size, asked)
            )
        notes = [note for model in models for note in model.notes(cells)]
        modes = _modes(models, steps, options)
        costs: list[ModelCost] = []
        total = len(cells) * len(models)
        with progress.step("counting tokens", total=total, unit="cells") as advance:
            for model in models:
                shared = options.ablation and model.role == "base"
                asking = Asking(
                    counter=counter_for(model.counter, model.prompt_style, cells),
                    prompt_style=model.prompt_style,
                    borrowed=models[0].prompt_style if shared else None,
                    thinks=model.thinks,
                    context=context_at_most(model.source, model.files.file, options),
                    steps=steps,
                    checked=checked,
                    mode=modes[0],
                    full_mode=modes[1],
                )
                own = []
                for cell in cells:
                    own.append(cell_cost(cell, asking, options))
                    advance(1)
                costs.append(_cost(model, models[: len(costs)], own, asking, clock))
    free = memory_available()
    thinks = any(model.thinks for model in models)
    return ComparisonCost(
        costs[0],
        costs[1],
        tuple(step.name for step in steps),
        tuple(dict.fromkeys([*(w for cell in cells for w in cell.task.warnings), *notes])),
        _detectable(cells, options),
        len(pictures_of(cells, options, [model.prompt_style for model in models])),
        free,
        assumptions(cells, [model.files for model in models]),
        both_fit([cost.memory for cost in costs], free, thinks=thinks),
    )


def _files(
    source: ModelSource, quant: QuantConfig | None, options: ResolvedOptions, tools: Tools
) -> ModelPlan:
    """What is here of a model at a precision, or as it is; None for full precision."""
    as_it_is = options.quant is None and given_quantised(source) is not None
    wanted = load_quant(FULL) if quant is None or as_it_is else quant
    return plan_model(source, wanted, home=options.home, offline=options.offline, progress=tools.progress)


def _modes(
    models: Sequence[PlannedModel], steps: Sequence[QuantConfig], options: ResolvedOptions
) -> tuple[Mode, Mode]:
    """The engine's mode at the first precision, and at the one that is checked against."""
    scoring = options.scoring or options.protocol.scoring
    pictures = any(model.prompt_style.layout.shows_pictures for model in models)
    higher = stand_in(options)
    scored = [model.type_at(steps[0]) for model in models]
    full = [model.type_at(higher or load_quant(FULL)) for model in models]
    return (
        mode_of(options, scoring, steps[0], scored, pictures=pictures),
        mode_of(options, scoring, steps[0], full, pictures=pictures),
    )


def _cost(
    model: PlannedModel,
    before: Sequence[PlannedModel],
    cells: Sequence[CellCost],
    asking: Asking,
    clock: Clock,
) -> ModelCost:
    """Everything about one model; what the one before fetches and makes, too, is not counted again."""
    files = model.files
    twice = sum(fetched_twice(files, other.files) for other in before)
    made = sum(made_twice(files, other.files) for other in before)
    speeds = clock.of(model, checked=asking.checked)
    return ModelCost(
        name=files.name,
        precision=model.precision,
        download=files.download - twice,
        disk=files.room - twice - made,
        ready=files.quantised_here,
        cells=tuple(cells),
        counted=asking.counter.counted,
        memory=model.memory(asking.steps[0]),
        check_memory=model.memory_of_reference() if asking.checked else None,
        timed=speeds.timed,
        speed=speeds.reading,
        full_speed=speeds.reading_full,
        writing_speed=speeds.writing,
        full_writing_speed=speeds.writing_full,
    )


def _detectable(cells: Sequence[Cell], options: ResolvedOptions) -> tuple[str, ...]:
    counts = {cell.task.id: len(asked_questions(options.protocol, cell, options.limit)) for cell in cells}
    return (detectable_beforehand(counts, confidence=options.protocol.bootstrap.confidence),)
