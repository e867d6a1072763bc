"""From verdicts to the study's rates, and its two ablations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from medbench_local.statistics.paired import PairedDifference, Verdict, raw_verdict


@dataclass(frozen=True)
class Rates:
    """How often the medical model wins, ties and loses.

    Attributes:
        n: number of comparisons the rates are made from.
        win_rate: share of wins, 0 to 1.
        tie_rate: share of ties, 0 to 1.
        loss_rate: share of losses, 0 to 1.
    """

    n: int
    win_rate: float
    tie_rate: float
    loss_rate: float


@dataclass(frozen=True)
class Ablation:
    """The study's 2 x 2: whose prompt was optimised, and whether uncertainty counts.

    Attributes:
        separate_bootstrap: each model with its own prompt, verdict by the interval: the study's method.
        separate_raw: each model with its own prompt, verdict by the sign of the difference.
        medical_prompt_bootstrap: both with the medical model's prompt, verdict by the interval.
        medical_prompt_raw: both with the medical model's prompt, verdict by the sign of the difference.
    """

    separate_bootstrap: Rates
    separate_raw: Rates
    medical_prompt_bootstrap: Rates
    medical_prompt_raw: Rates


def verdict_rates(verdicts: Sequence[Verdict]) -> Rates:
    """Rates over the verdicts of one pair, or of any other collection.

    Raises:
        ValueError: no verdicts, or an unknown one.
    """
    if not verdicts:
        raise ValueError("there are no verdicts to summarise")
    unknown = set(verdicts) - {"win", "tie", "loss"}
    if unknown:
        raise ValueError(f"unknown verdicts: {', '.join(sorted(unknown))}")
    n = len(verdicts)
    return Rates(n, verdicts.count("win") / n, verdicts.count("tie") / n, verdicts.count("loss") / n)


def pooled_rates(pairs: Mapping[str, Sequence[Verdict]]) -> Rates:
    """Rates over all comparisons of all pairs: a pair with more tasks weighs more.

    Args:
        pairs: the verdicts of each pair, by its name.
    """
    return verdict_rates([verdict for verdicts in pairs.values() for verdict in verdicts])


def mean_rates(pairs: Mapping[str, Sequence[Verdict]]) -> Rates:
    """Mean of the pairs' rates: every pair weighs the same, however many tasks it has.

    Args:
        pairs: the verdicts of each pair, by its name; none empty.
    """
    if not pairs:
        raise ValueError("there are no pairs to summarise")
    rates = [verdict_rates(verdicts) for verdicts in pairs.values()]
    return Rates(
        n=sum(rate.n for rate in rates),
        win_rate=sum(rate.win_rate for rate in rates) / len(rates),
        tie_rate=sum(rate.tie_rate for rate in rates) / len(rates),
        loss_rate=sum(rate.loss_rate for rate in rates) / len(rates),
    )


def ablation(separate: Sequence[PairedDifference], medical_prompt: Sequence[PairedDifference]) -> Ablation:
    """The 2 x 2 of the study's ablations, over the same comparisons.

    Args:
        separate: one difference a comparison, each model with the prompt chosen for it.
        medical_prompt: the same comparisons, the base model with the medical model's prompt.

    Raises:
        ValueError: not the same number of comparisons, or differing numbers of questions.
    """
    if [d.n for d in separate] != [d.n for d in medical_prompt]:
        raise ValueError("the two sets of comparisons are not over the same questions")
    return Ablation(
        separate_bootstrap=verdict_rates([d.verdict for d in separate]),
        separate_raw=verdict_rates([raw_verdict(d.difference) for d in separate]),
        medical_prompt_bootstrap=verdict_rates([d.verdict for d in medical_prompt]),
        medical_prompt_raw=verdict_rates([raw_verdict(d.difference) for d in medical_prompt]),
    )
