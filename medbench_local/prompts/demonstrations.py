"""Which solved questions are shown, and which validation questions prompts are chosen on: fixed by seeds.

Both draws are those of Jeong et al. (EMNLP 2024), so that the same rows are used.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from medbench_local.errors import UsageError

DEFAULT_SEED = 42
"""The demonstration set used where none is searched for, and the seed of the validation subset."""

VALIDATION_LIMIT = 500
"""Most validation questions the study chose prompts on."""


@lru_cache(maxsize=1024)  # a permutation of the whole pool, asked for at every visit of a candidate
def demonstration_rows(seed: int, pool_size: int, shots: int = 3) -> tuple[int, ...]:
    """Rows of the demonstration pool that are shown, in the order in which they are shown.

    The first ``shots`` entries of numpy's ``default_rng(seed).permutation(pool_size)``.

    Raises:
        UsageError: the pool has fewer than ``shots`` questions, or a value is negative.
    """
    if shots < 0 or seed < 0:
        raise UsageError(f"Shots and demonstration seeds are 0 or more, not {min(shots, seed)}.")
    if shots > pool_size:
        raise UsageError(
            f"{shots} demonstrations were asked for, but only {pool_size} questions may be shown.",
            advice=f"Ask for at most {pool_size} shots.",
        )
    if shots == 0:
        return ()
    return tuple(int(row) for row in np.random.default_rng(seed).permutation(pool_size)[:shots])


def validation_rows(n: int, limit: int = VALIDATION_LIMIT) -> tuple[int, ...]:
    """Rows of the validation split that prompts are chosen on, in their order of scoring.

    All ``n`` rows in order if there are at most ``limit``; else ``limit`` rows drawn without replacement by
    numpy's legacy generator with seed 42, the same ones for every model and candidate.
    """
    if n <= limit:
        return tuple(range(n))
    drawn = np.random.RandomState(DEFAULT_SEED).choice(n, limit, replace=False)
    return tuple(int(row) for row in drawn)
