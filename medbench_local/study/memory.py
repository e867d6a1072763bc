"""Refuse what does not fit into memory before it is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from medbench_local.acquire.prepare import PreparedModel
from medbench_local.engine.base import EngineOptions
from medbench_local.engine.memory import gigabytes, memory_available, memory_needed
from medbench_local.errors import EngineError
from medbench_local.study.checking import check_settings, checked_rows
from medbench_local.study.plan import Plan, test_questions

CANNOT_CHECK = (
    "The check of the quantised verdict needs it. Choose one: --check-precision q8_0 (a stand-in, named as such in "
    "the report); --force (memory-mapped and slow: about {hours:.0f} h for {prompts:,} prompts from a disk that reads "
    "1 GB a second); --no-check (the report says so) and later `medbench-local validate` against reference results."
)
"""What to do where full precision does not fit."""

EXPECTED_CONTEXT = 2048
"""Tokens for which the cache is counted: prompts with three demonstrations are seldom longer."""


def refuse_what_does_not_fit(
    files: Sequence[tuple[str, Path]], options: EngineOptions, *, force: bool, advice: str = ""
) -> None:
    """Compare what each model needs, one loaded at a time, with what is free.

    Args:
        files: names for people, and the GGUF files.
        options: context size and cache decide how much is needed beside the weights.
        force: do not refuse.
        advice: what to do about it; a general one if empty.

    Raises:
        EngineError: a model needs more than is free; with the numbers.
    """
    if force:
        return
    free = memory_available()
    expected = replace(options, n_ctx=min(options.n_ctx, EXPECTED_CONTEXT))
    for name, path in files:
        need = memory_needed(path, expected)
        if need.total > free:
            raise EngineError(
                f"{name} needs about {need} of memory; {gigabytes(free)} are free.",
                advice=advice
                or "Close other programs, choose a smaller precision with --quant, or insist with --force.",
            )


def refuse_plan(plan: Plan) -> None:
    """Refuse a plan with a model that does not fit before anything is computed, not when it is to be checked at last.

    Raises:
        EngineError: as `refuse_what_does_not_fit`; for full precision with the ways out.
    """
    options = plan.options
    for model in (plan.medical, plan.base):
        scored = (f"{model.name} ({plan.quant.name})", model.quantised.path)
        refuse_what_does_not_fit([scored], options.engine, force=options.force)
        if plan.checked:
            full = (f"{model.name} ({plan.reference_precision})", plan.reference_file(model).path)
            refuse_what_does_not_fit(
                [full], options.engine, force=options.force, advice=_instead(plan, model)
            )


def _instead(plan: Plan, model: PreparedModel) -> str:
    """What to do where full precision does not fit; each prompt would read all weights from the disk once."""
    settings = check_settings(
        plan.protocol, plan.quant, scope=plan.options.check, reference_precision=plan.reference_precision
    )
    prompts = sum(len(checked_rows(len(test_questions(plan, cell)), settings)) for cell in plan.cells)
    hours = max(1.0, prompts * plan.reference_file(model).size / 1e9 / 3600)
    return CANNOT_CHECK.format(hours=hours, prompts=prompts)
