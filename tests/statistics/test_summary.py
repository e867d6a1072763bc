"""Rates against counts made by hand and the study's published shares."""

from __future__ import annotations

import pytest

from medbench_local.statistics.paired import Verdict
from medbench_local.statistics.summary import mean_rates, pooled_rates, verdict_rates


def verdicts(wins: int, ties: int, losses: int) -> list[tuple[Verdict, ...]]:
    won: list[tuple[Verdict, ...]] = [("win",)] * wins
    tied: list[tuple[Verdict, ...]] = [("tie",)] * ties
    lost: list[tuple[Verdict, ...]] = [("loss",)] * losses
    return won + tied + lost


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


def test_what_is_not_settled_makes_bounds() -> None:
    possible: list[tuple[Verdict, ...]] = [("win",), ("tie",), ("tie", "win"), ("loss", "tie", "win")]
    rates = verdict_rates(possible)
    assert (rates.win_rate, rates.win_rate_high) == (0.25, 0.75)
    assert (rates.tie_rate, rates.tie_rate_high) == (0.25, 0.75)
    assert (rates.loss_rate, rates.loss_rate_high) == (0.0, 0.25)
    settled = verdict_rates(verdicts(1, 1, 0))
    assert (
        (settled.win_rate, settled.tie_rate) == (settled.win_rate_high, settled.tie_rate_high) == (0.5, 0.5)
    )
    both = {"settled": verdicts(2, 0, 0), "open": possible[3:]}
    assert (mean_rates(both).win_rate, mean_rates(both).win_rate_high) == (0.5, 1.0)


def test_nothing_to_summarise() -> None:
    with pytest.raises(ValueError, match="no verdicts"):
        verdict_rates([])
    with pytest.raises(ValueError, match="no pairs"):
        mean_rates({})
    with pytest.raises(ValueError, match="no verdicts"):
        mean_rates({"empty": []})
    for bad in (["draw"], "win", []):
        with pytest.raises(ValueError, match="not a collection"):
            verdict_rates([bad])  # type: ignore[list-item]
