"""Refuse what does not fit into memory before it is loaded."""

from __future__ import annotations

from pathlib import Path

from medbench_local.engine.memory import refuse_what_does_not_fit
from medbench_local.errors import EngineError, UsageError
from medbench_local.results.schema import CheckObstacle
from medbench_local.study.plan import Plan

INSTEAD = (
    "Close other programs; or name a stand-in that fits with --check-precision q8_0 (the report says so); or --force "
    "(memory-mapped and slow: every prompt reads all weights from the disk once)."
)
"""What to do where full precision does not fit."""


def refuse_plan(plan: Plan) -> None:
    """Refuse a plan with a model that does not fit before anything is computed.

    Full precision is asked for with ``check="full"`` only; elsewhere a verdict that cannot be checked says so.

    Raises:
        EngineError: as `refuse_what_does_not_fit`.
    """
    options = plan.options
    scored = [(f"{model.name} ({plan.quant.name})", model.quantised.path) for model in plan.models.values()]
    refuse_what_does_not_fit(scored, options.engine, force=options.force)
    if options.check == "full" and plan.checkable:
        refuse_what_does_not_fit(_references(plan), options.engine, force=options.force, advice=INSTEAD)


def obstacle_to_checking(plan: Plan) -> CheckObstacle | None:
    """Why verdicts cannot be checked although that is asked for; None if they can, or if there is nothing to check."""
    if plan.options.check == "none" or plan.at_full_precision:
        return None
    if not plan.checkable:
        return "no-fuller-file"
    return "does-not-fit" if why_it_does_not_fit(plan) else None


def refuse_unchecked_climb(plan: Plan) -> None:
    """Refuse to climb precisions until verdicts are verified where none can be.

    Raises:
        UsageError: there is no fuller precision, or it does not fit.
    """
    obstacle = obstacle_to_checking(plan)
    if obstacle is not None:
        raise UsageError(
            why_it_does_not_fit(plan)
            or "There is no fuller precision that verdicts could be checked against.",
            advice="Name one precision with --quant.",
        )


def why_it_does_not_fit(plan: Plan) -> str:
    """What the models need at the precision that is checked against, and what is free; "" if they fit."""
    try:
        refuse_what_does_not_fit(
            _references(plan), plan.options.engine, force=plan.options.force, advice=INSTEAD
        )
    except EngineError as error:
        return f"No verdict will be checked: {error.message} {error.advice}"
    return ""


def _references(plan: Plan) -> list[tuple[str, Path]]:
    return [
        (f"{model.name} ({plan.reference_precision})", plan.reference_file(model).path)
        for model in plan.models.values()
    ]
