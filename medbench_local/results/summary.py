"""Rates over the comparisons of a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from medbench_local.results.schema import Comparison, Rates, Summary
from medbench_local.statistics.summary import verdict_rates


def counted(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Those that rates are over: of a task where models think, the one in which both do, or else the medical one."""
    both = {(c.task, c.shots) for c in comparisons if c.thinkers == "both"}
    return [
        c
        for c in comparisons
        if c.thinkers in (None, "both") or (c.thinkers == "medical" and (c.task, c.shots) not in both)
    ]


def summary(comparisons: Sequence[Comparison]) -> Summary:
    """Rates over the comparisons that count and over those of each number of shots."""
    comparisons = counted(comparisons)
    by_shots = tuple(
        Rates(shots=shots, **_rates([c for c in comparisons if c.shots == shots]))
        for shots in sorted({c.shots for c in comparisons})
    )
    return Summary(by_shots=by_shots, **_rates(comparisons))


def _rates(comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """The fields of `RatesOfSome`."""
    names = ("win_rate", "tie_rate", "loss_rate", "win_rate_high", "tie_rate_high", "loss_rate_high")
    if not comparisons:
        return {"comparisons": 0, "not_verified_rate": 0.0} | dict.fromkeys(names, 0.0)
    rates = verdict_rates([c.possible for c in comparisons])
    not_verified = sum(not c.verified for c in comparisons) / len(comparisons)
    return {
        "comparisons": len(comparisons),
        "not_verified_rate": not_verified,
        **{name: getattr(rates, name) for name in names},
    }
