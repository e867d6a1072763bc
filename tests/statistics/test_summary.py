"""Rates and ablations against counts made by hand and the study's published shares."""

from __future__ import annotations

import pytest

from medbench_local.statistics.paired import PairedDifference, Verdict
from medbench_local.statistics.summary import ablation, mean_rates, pooled_rates, verdict_rates


def verdicts(wins: int, ties: int, losses: int) -> list[Verdict]:
    won: list[Verdict] = ["win"] * wins
    tied: list[Verdict] = ["tie"] * ties
    lost: list[Verdict] = ["loss"] * losses
    return won + tied + lost


def difference(medical_only: int, base_only: int, low: float, high: float, n: int = 100) -> PairedDifference:
    return PairedDifference(
        n, 0.5, 0.5, (medical_only - base_only) / n, low, high, medical_only=medical_only, base_only=base_only
    )


def test_rates_of_a_pair() -> None:
    # Published: a pair that loses 10 of 13 tasks has a loss rate of 76.9 %.
    rates = verdict_rates(verdicts(1, 2, 10))
    assert (rates.n, round(100 * rates.loss_rate, 1)) == (13, 76.9)
    assert rates.win_rate + rates.tie_rate + rates.loss_rate == pytest.approx(1.0)


def test_pooled_counting_as_published() -> None:
    # 26.7 / 16.7 / 56.7 over ten pairs of three tasks is 8 / 5 / 17 of 30.
    pairs = {f"pair {i}": verdicts(1, 0, 2) for i in range(5)} | {
        f"pair {i}": verdicts(0, 1, 2) for i in (5, 6)
    }
    pairs |= {"pair 7": verdicts(1, 1, 1), "pair 8": verdicts(1, 1, 1), "pair 9": verdicts(1, 1, 1)}
    rates = pooled_rates(pairs)
    assert rates.n == 30
    assert [round(100 * r, 1) for r in (rates.win_rate, rates.tie_rate, rates.loss_rate)] == [
        26.7,
        16.7,
        56.7,
    ]


def test_pooled_and_mean_differ_where_pairs_differ_in_size() -> None:
    pairs = {"large": verdicts(8, 0, 0), "small": verdicts(0, 0, 2)}
    assert pooled_rates(pairs).win_rate == 0.8
    assert mean_rates(pairs).win_rate == 0.5
    assert mean_rates(pairs).n == 10


def test_ablation_is_two_by_two() -> None:
    separate = [difference(9, 5, -0.02, 0.1), difference(5, 5, -0.05, 0.05), difference(0, 9, -0.15, -0.03)]
    same_prompt = [difference(19, 2, 0.08, 0.3), difference(6, 5, -0.05, 0.07), difference(7, 6, -0.06, 0.08)]
    got = ablation(separate, same_prompt)
    assert (got.separate_bootstrap.win_rate, got.separate_bootstrap.tie_rate) == (0.0, 2 / 3)
    assert (got.separate_raw.win_rate, got.separate_raw.tie_rate) == (1 / 3, 1 / 3)
    assert (got.medical_prompt_bootstrap.win_rate, got.medical_prompt_bootstrap.tie_rate) == (1 / 3, 2 / 3)
    assert got.medical_prompt_raw.win_rate == 1.0


def test_nothing_to_summarise() -> None:
    with pytest.raises(ValueError, match="no verdicts"):
        verdict_rates([])
    with pytest.raises(ValueError, match="no pairs"):
        mean_rates({})
    with pytest.raises(ValueError, match="no verdicts"):
        mean_rates({"empty": []})
    with pytest.raises(ValueError, match="unknown"):
        verdict_rates(["draw"])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="same questions"):
        ablation([difference(1, 0, 0, 0)], [])
