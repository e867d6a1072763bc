"""Refuse what does not fit into memory before it is loaded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from medbench_local.acquire.prepare import PreparedModel
from medbench_local.engine.base import EngineOptions
from medbench_local.engine.memory import (
    EXPECTED_CONTEXT,
    gigabytes,
    memory_available,
    memory_needed,
    refuse_what_does_not_fit,
)
from medbench_local.errors import DoesNotFitError, UsageError
from medbench_local.results.checks import CheckObstacle
from medbench_local.results.record import ROLES
from medbench_local.scoring.rules import RULES
from medbench_local.study.loaded_models import Room, Seat
from medbench_local.study.pictures import encoding_memory
from medbench_local.study.plan import Outline, Plan
from medbench_local.study.thinking_room import thinking_room

INSTEAD = (
    'Close other programs; or name a stand-in that fits with `check_precision="q8_0"` (the report says so); or '
    "`force=True` (memory-mapped and slow: every prompt reads all weights from the disk once)."
)
"""What to do where full precision does not fit."""


THINK_LESS = (
    "Choose a smaller precision with `quant=`; or name a protocol with a smaller `thinking: {budget: …}` (both models "
    "think as long); or fewer demonstrations with `shots=`; or close other programs; or override with `force=True`."
)
"""What to do where there is no room to think."""

IN_16_BITS = (
    ' Or ask for `mode="reproducible"`: keys and values of what is thought then take half the memory.'
)

NOTHING_FULLER = (
    "A model was given quantised: there is nothing fuller that verdicts could be checked against."
)


def refuse_plan(plan: Outline) -> None:
    """Refuse a plan with a model that does not fit, or whose pictures cannot be encoded, before anything is computed.

    Full precision is asked for with ``check="full"`` only; elsewhere a verdict that cannot be checked says so.

    Raises:
        DoesNotFitError: as `refuse_what_does_not_fit`.
        UsageError: every question is to be checked and there is nothing fuller to check against.
    """
    options = plan.options
    if options.check == "full" and not (plan.checkable or plan.at_full_precision):
        raise UsageError(NOTHING_FULLER, advice="Name the model's checkpoint, or a GGUF in f16, bf16 or f32.")
    engine = plan.engine()
    for role in ROLES:
        model, thinking = plan.models[role], thinking_room(plan, role)
        wide = engine.mode == "exact" and engine.cache == "f32"
        refuse_what_does_not_fit(
            [(f"{model.name} ({plan.quant.name})", model.quantised.path)],
            _seeing(plan, model, engine),
            force=options.force,
            generates=plan.generates,
            thinking=thinking,
            advice=THINK_LESS + IN_16_BITS * wide if thinking else "",
            free=options.memory,
        )
    if options.check == "full" and plan.checkable:
        _refuse_references(plan)
    if isinstance(plan, Plan) and not options.force:
        for role in ROLES:
            _refuse_tower(plan, plan.models[role])


def obstacle_to_checking(plan: Outline) -> CheckObstacle | None:
    """Why verdicts cannot be checked; None if they can, if there is nothing to check, or if nobody asks for it."""
    if plan.at_full_precision:
        return None
    if not plan.checkable:
        return "no-fuller-file"
    return "does-not-fit" if plan.options.check != "none" and why_it_does_not_fit(plan) else None


def refuse_unchecked_climb(plan: Outline) -> None:
    """Refuse to climb precisions until verdicts are verified where none can be.

    Raises:
        UsageError: there is no fuller precision, or it does not fit.
    """
    obstacle = obstacle_to_checking(plan)
    if obstacle is not None:
        raise UsageError(
            NOTHING_FULLER if obstacle == "no-fuller-file" else why_it_does_not_fit(plan),
            advice="Name one precision with `quant=`.",
        )


def why_it_does_not_fit(plan: Outline) -> str:
    """What the models need at the precision that is checked against, and what is free; "" if they fit."""
    try:
        _refuse_references(plan)
    except DoesNotFitError as error:
        return f"No verdict will be checked: {error.message} {error.advice}"
    return ""


KEPT_SHARE = 0.75
"""Share of the free memory that models may take together: one that waits must not push anything out."""


def room_beside(free: int, *, thinks: bool) -> int:
    """Bytes that loaded models may take together; 0 if one is loaded at a time.

    Args:
        free: that can be had before any is loaded.
        thinks: whether models think, who take what is free for their thoughts.
    """
    return 0 if thinks else int(KEPT_SHARE * free)


def both_fit(needs: Iterable[int | None], free: int, *, thinks: bool) -> bool:
    """Whether models that take so many bytes each, None for unknown, stay loaded at once.

    Arguments as of `room_beside`.
    """
    known = list(needs)
    return None not in known and sum(need or 0 for need in known) <= room_beside(free, thinks=thinks)


def room_for(plan: Plan) -> Room:
    """Which of a plan's models, at both precisions, may be loaded at once. To be asked before any of them is loaded."""
    needs = {}
    for role in ROLES:
        model = plan.models[role]
        for reference in (False, True):
            file = plan.reference_file(model) if reference else model.quantised
            engine = replace(plan.engine(reference=reference), n_ctx=EXPECTED_CONTEXT)
            options = _seeing(plan, model, engine)
            needs[Seat(role, reference)] = memory_needed(file.path, options, generates=plan.generates).total
    return Room(needs, room_beside(memory_available(), thinks=RULES[plan.scoring].thinks))


def _seeing(plan: Outline, model: PreparedModel, engine: EngineOptions) -> EngineOptions:
    """How a model is decoded, with what it sees pictures with where a question may have some."""
    if model.vision is None or (isinstance(plan, Plan) and not plan.shows_pictures):
        return engine
    return replace(engine, vision=str(model.vision.vision))


def _refuse_tower(plan: Plan, model: PreparedModel) -> None:
    """Refuse to encode pictures, which is done before a model is loaded, where there is no room for the tower."""
    need, free = encoding_memory(plan, model), memory_available()
    if need > free:
        raise DoesNotFitError(
            f"What looks at pictures for {model.name} needs about {gigabytes(need)} of memory; {gigabytes(free)} are "
            "free.",
            advice="Close other programs, or override with `force=True`.",
        )


def _refuse_references(plan: Outline) -> None:
    engine = plan.engine(reference=True)
    for role in ROLES:
        model, thinking = plan.models[role], thinking_room(plan, role)
        refuse_what_does_not_fit(
            [(f"{model.name} ({plan.reference_precision})", plan.reference_file(model).path)],
            _seeing(plan, model, engine),
            force=plan.options.force,
            generates=plan.generates,
            thinking=thinking,
            advice=INSTEAD + IN_16_BITS * (thinking > 0 and engine.mode == "exact"),
            free=plan.options.memory,
        )
