"""From the comparisons of a run to its results.json."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from medbench_local.results.identification import Identification
from medbench_local.results.schema import Comparison, LadderStep, PairOf, Results, Timing
from medbench_local.results.summary import summary
from medbench_local.scoring.answers import Meter
from medbench_local.study.identification import model_record
from medbench_local.study.model_prompts import prompt_warnings
from medbench_local.study.plan import Plan
from medbench_local.study.verdicts import doubts


def assemble(
    plan: Plan,
    comparisons: Sequence[Comparison],
    *,
    said: Identification,
    ladder: Sequence[LadderStep],
    timing: Timing,
) -> Results:
    """Everything that a run found.

    Args:
        plan: at the precision that is reported.
        comparisons: in the order in which they are reported.
        said: what the run says of itself.
        ladder: precisions that were tried, if there were several.
        timing: where the time went.
    """
    confidence = plan.protocol.bootstrap.confidence
    return Results(
        **dict(said),
        models=PairOf(medical=model_record(plan.medical), base=model_record(plan.base)),
        precision=plan.precision,
        mode=plan.mode,
        check_mode=None
        if plan.at_full_precision or plan.reference_mode == plan.mode
        else plan.reference_mode,
        protocol=plan.protocol.name,
        confidence=confidence,
        comparisons=tuple(comparisons),
        summary=summary(comparisons),
        warnings=(*plan.warnings, *prompt_warnings(plan), *doubts(comparisons, confidence=confidence)),
        ladder=tuple(ladder),
        timing=timing,
    )


def timing_of(meter: Meter, *, started: datetime, seconds: float) -> Timing:
    """What was counted, and how long it took.

    Args:
        meter: counted the work.
        started: when the run was started or resumed.
        seconds: since then.
    """
    return Timing(
        started=started.isoformat(timespec="seconds"),
        seconds=round(seconds, 3),
        tokens_decoded=meter.tokens_decoded,
        prompts_scored=meter.prompts_scored,
        prompts_reused=meter.prompts_reused,
        tokens_per_second=None if meter.speed is None else round(meter.speed, 1),
    )
