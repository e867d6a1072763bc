"""What a plan says of the length of a search under a limit: what is not exceeded is not, whatever is asked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from benchmarks.score_tables import SCENARIOS, score_table
from medbench_local.catalog.protocol import SelectionSettings
from medbench_local.selection import limited, racing
from medbench_local.selection.costs import Costs, equal_costs
from medbench_local.selection.grid import Levels
from medbench_local.selection.next_step import Step
from medbench_local.selection.result import Outcomes, Questions
from medbench_local.study.search_length import search_length

FACTORS = (None, 0.001, 0.1, 1000.0)
"""Of the least gain: never, almost never, and soon."""


@pytest.mark.parametrize(("formats", "demonstrations"), [(1, 1), (2, 1), (1, 5), (5, 4), (7, 6)])
@pytest.mark.parametrize("prefix", [0.0, 4.0])
def test_no_search_is_longer_than_its_plan(formats: int, demonstrations: int, prefix: float) -> None:
    rng = np.random.default_rng(formats)
    number, questions = formats * demonstrations, 60
    table = score_table(
        SCENARIOS["typical"], rng, formats=formats, demonstrations=demonstrations, questions=questions
    )
    costs = Costs(np.full(number, prefix * 300), 300 * rng.lognormal(0, 0.4, questions))
    whole = number * questions
    for limit in {1, number + 1, number + 3, whole // 10, whole // 3, whole - 1}:
        for factor in FACTORS:
            settings = SelectionSettings(method="racing", max_prompts=limit, min_gain=factor)
            length = search_length(table.candidates, questions, settings, costs)
            calls: list[int] = []

            def evaluate(candidate: int, picked: Questions, calls: list[int] = calls) -> Outcomes:
                calls.append(candidate)
                return table.evaluate(candidate, picked)

            found = racing(
                evaluate, table.candidates, questions, max_prompts=limit, min_gain=factor, costs=costs
            )
            assert found.prompts_scored <= length.prompts.most
            assert len(calls) == sum(rung.candidates for rung in found.rungs) <= length.visits.most
            assert 0 < length.prompts.expected <= length.prompts.most
            assert 0 < length.visits.expected <= length.visits.most


@pytest.mark.parametrize("seed", range(6))
def test_nor_if_it_asked_whomever(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mostly everybody, else some in any order, so that each step asks as few prompts as it can of as many."""
    rng = np.random.default_rng(seed)

    def any_step(levels: Levels, open_: Sequence[int], *_: object) -> Step:
        number = len(open_) if rng.random() < 0.9 else int(rng.integers(len(open_))) + 1
        return Step(tuple(rng.permutation(open_)[:number].tolist()), 1.0)

    monkeypatch.setattr(limited, "next_step", any_step)
    table = score_table(SCENARIOS["typical"], rng, formats=8, demonstrations=1, questions=500)
    costs = equal_costs(8, 500)
    for limit in range(420, 480, 3):
        found = racing(table.evaluate, table.candidates, 500, max_prompts=limit, error_rate=1e-9, costs=costs)
        settings = SelectionSettings(method="racing", max_prompts=limit)
        most = search_length(table.candidates, 500, settings, costs).visits.most
        assert sum(rung.candidates for rung in found.rungs) <= most
