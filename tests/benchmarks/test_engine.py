"""What the benchmark of the engine counts."""

from __future__ import annotations

from benchmarks.engine import unique_tokens
from medbench_local.engine.base import Pack, ScoreRequest


def test_unique_tokens_counts_a_prefix_once() -> None:
    first = ScoreRequest((1, 2, 3, 4), ((5,), (6, 7)))
    second = ScoreRequest((1, 2, 9), ((5,),))
    packs = [
        Pack((1, 2), (first,)),
        Pack((1, 2), (second,)),
        Pack((1, 3), (ScoreRequest((1, 3, 3), ((5,),)),)),
    ]
    assert unique_tokens(packs) == 2 + (2 + 1) + 1 + (1 + 1)
