"""Refuse what does not fit into memory before it is loaded."""

from __future__ import annotations

from medbench_local.engine.memory import refuse_what_does_not_fit
from medbench_local.errors import DoesNotFitError, UsageError
from medbench_local.results.checks import CheckObstacle
from medbench_local.study.plan import Outline

INSTEAD = (
    'Close other programs; or name a stand-in that fits with `check_precision="q8_0"` (the report says so); or '
    "`force=True` (memory-mapped and slow: every prompt reads all weights from the disk once)."
)
"""What to do where full precision does not fit."""


NOTHING_FULLER = (
    "A model was given quantised: there is nothing fuller that verdicts could be checked against."
)


def refuse_plan(plan: Outline) -> None:
    """Refuse a plan with a model that does not fit before anything is computed.

    Full precision is asked for with ``check="full"`` only; elsewhere a verdict that cannot be checked says so.

    Raises:
        DoesNotFitError: as `refuse_what_does_not_fit`.
        UsageError: every question is to be checked and there is nothing fuller to check against.
    """
    options = plan.options
    if options.check == "full" and not (plan.checkable or plan.at_full_precision):
        raise UsageError(NOTHING_FULLER, advice="Name the model's checkpoint, or a GGUF in f16, bf16 or f32.")
    scored = [(f"{model.name} ({plan.quant.name})", model.quantised.path) for model in plan.models.values()]
    refuse_what_does_not_fit(scored, plan.engine(), force=options.force, generates=plan.generates)
    if options.check == "full" and plan.checkable:
        _refuse_references(plan)


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


def _refuse_references(plan: Outline) -> None:
    files = [
        (f"{model.name} ({plan.reference_precision})", plan.reference_file(model).path)
        for model in plan.models.values()
    ]
    refuse_what_does_not_fit(
        files,
        plan.engine(reference=True),
        force=plan.options.force,
        generates=plan.generates,
        advice=INSTEAD,
    )
