"""Numbers of a checkpoint's settings that a GGUF file can hold, which gives them 32 bits."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

LARGEST, LEAST = 3.4028234663852886e38, 1.1754943508222875e-38
"""The largest number of 32 bits, and the least that is not rounded to fewer digits."""


def _not_too_small(value: float) -> float:
    if 0 < abs(value) < LEAST:
        raise ValueError(f"too small for a number of 32 bits, which is at least {LEAST:.2g}")
    return value


Size = Annotated[int, Field(gt=0, lt=1 << 31)]
Number = Annotated[float, Field(ge=-LARGEST, le=LARGEST, allow_inf_nan=False), AfterValidator(_not_too_small)]
Positive = Annotated[float, Field(gt=0, le=LARGEST, allow_inf_nan=False), AfterValidator(_not_too_small)]
