"""From verdicts to the study's rates, with bounds where verdicts are not settled."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from medbench_local.statistics.paired import Verdict


@dataclass(frozen=True)
class Rates:
    """How often the medical model wins, ties and loses.

    The rates count settled verdicts only and are lower bounds; the upper bounds count every comparison that may still
    turn out so. Where everything is settled they are equal, and the three rates add up to 1.

    Attributes:
        n: number of comparisons the rates are made from.
        win_rate: share of wins, 0 to 1; win_rate_high: its upper bound.
        tie_rate: share of ties, 0 to 1; tie_rate_high: its upper bound.
        loss_rate: share of losses, 0 to 1; loss_rate_high: its upper bound.
    """

    n: int
    win_rate: float
    tie_rate: float
    loss_rate: float
    win_rate_high: float
    tie_rate_high: float
    loss_rate_high: float

    def __str__(self) -> str:
        names = ("win", "tie", "loss")
        bounds = [(getattr(self, f"{name}_rate"), getattr(self, f"{name}_rate_high")) for name in names]
        shown = [f"{low:.1%}" if low == high else f"{low:.1%} to {high:.1%}" for low, high in bounds]
        return ", ".join(f"{name} {share}" for name, share in zip(names, shown, strict=True))


def verdict_rates(possible: Sequence[Collection[Verdict]]) -> Rates:
    """Rates over the comparisons of one pair, or of any other collection.

    Args:
        possible: for each comparison the verdicts it may have: one where it is settled.

    Raises:
        ValueError: no comparisons, or one with no verdict or an unknown one.

    Examples:
        >>> str(verdict_rates([["win"], ["tie"], ["tie"], ["tie", "loss"]]))
        'win 25.0%, tie 50.0% to 75.0%, loss 0.0% to 25.0%'
    """
    if not possible:
        raise ValueError("there are no verdicts to summarise")
    for verdicts in possible:
        unknown = set(verdicts) - {"win", "tie", "loss"}
        if unknown or not verdicts or isinstance(verdicts, str):
            raise ValueError(f"not a collection of verdicts: {verdicts!r}")
    n = len(possible)

    def bounds(verdict: Verdict) -> tuple[float, float]:
        can = [verdicts for verdicts in possible if verdict in verdicts]
        return sum(len(set(verdicts)) == 1 for verdicts in can) / n, len(can) / n

    (win, win_high), (tie, tie_high), (loss, loss_high) = bounds("win"), bounds("tie"), bounds("loss")
    return Rates(n, win, tie, loss, win_high, tie_high, loss_high)


def pooled_rates(pairs: Mapping[str, Sequence[Collection[Verdict]]]) -> Rates:
    """Rates over all comparisons of all pairs: a pair with more tasks weighs more.

    Args:
        pairs: for each pair, by its name, what `verdict_rates` takes.

    Examples:
        >>> str(pooled_rates({"a": [["win"], ["tie"], ["tie"]], "b": [["loss"]]}))
        'win 25.0%, tie 50.0%, loss 25.0%'
    """
    return verdict_rates([verdicts for group in pairs.values() for verdicts in group])


def mean_rates(pairs: Mapping[str, Sequence[Collection[Verdict]]]) -> Rates:
    """Mean of the pairs' rates: every pair weighs the same, however many tasks it has.

    Args:
        pairs: for each pair, by its name, what `verdict_rates` takes; none empty.

    Examples:
        >>> str(mean_rates({"a": [["win"], ["win"]], "b": [["loss"]]}))
        'win 50.0%, tie 0.0%, loss 50.0%'
    """
    if not pairs:
        raise ValueError("there are no pairs to summarise")
    rates = [verdict_rates(group) for group in pairs.values()]

    def mean(name: str) -> float:
        return float(sum(getattr(rate, name) for rate in rates)) / len(rates)

    return Rates(
        sum(rate.n for rate in rates),
        mean("win_rate"),
        mean("tie_rate"),
        mean("loss_rate"),
        mean("win_rate_high"),
        mean("tie_rate_high"),
        mean("loss_rate_high"),
    )
