"""The published rates are those of the abstract, each with its source."""

from __future__ import annotations

import pytest

from medbench_local.reference.published import published_rates


def test_the_headline() -> None:
    headline = published_rates()[0]
    assert (headline.win_rate, headline.tie_rate, headline.loss_rate) == (0.121, 0.498, 0.382)
    assert (headline.paper, headline.shots, headline.certainty) == ("emnlp2024", 3, "read")


def test_rates_are_rates_and_have_a_source() -> None:
    for rate in published_rates():
        known = [rate.win_rate, rate.tie_rate, rate.loss_rate]
        if None not in known:
            assert sum(r for r in known if r is not None) == pytest.approx(1.0, abs=0.0021)
        assert rate.source
        assert any(r is not None for r in (*known, rate.win_rate_above))
