"""Logits that are no numbers: nothing may be ranked by them."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from medbench_local.errors import EngineError


def not_finite() -> EngineError:
    """What a NaN or an infinity among the logits means, and what to do about it."""
    return EngineError(
        "The model computed a logit that is not a number (NaN or infinity).",
        advice="The file is damaged or its precision too low: convert it again, or use bf16 or f32.",
    )


def best_token(logits: NDArray[np.float32]) -> int:
    """The token that one row of logits prefers, of equal ones the first.

    Raises:
        EngineError: its logit is not a number.
    """
    token = int(np.argmax(logits))
    if not math.isfinite(logits[token]):
        raise not_finite()
    return token
