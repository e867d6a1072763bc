"""Logits that are no numbers: nothing may be ranked by them."""

from __future__ import annotations

from medbench_local.errors import EngineError


def not_finite() -> EngineError:
    """What a NaN or an infinity among the logits means, and what to do about it."""
    return EngineError(
        "The model computed a logit that is not a number (NaN or infinity).",
        advice="The file is damaged or its precision too low: convert it again, or use bf16 or f32.",
    )
