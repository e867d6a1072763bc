"""What is counted in several threads is all counted, here and in the whole."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from medbench_local.engine.base import WorkDone
from medbench_local.scoring.answers import Meter


def test_threads_count_together() -> None:
    whole = Meter()
    parts = [Meter(into=whole) for _ in range(4)]

    def count(number: int) -> None:
        for _ in range(2000):
            parts[number % 4].count(tokens=3, scored=1, reused=2, seconds=0.5, engine=WorkDone(3, 0.25))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(count, range(8)))
    for part in parts:
        assert (part.tokens_decoded, part.prompts_scored, part.prompts_reused) == (12_000, 4000, 8000)
    assert (whole.tokens_decoded, whole.prompts_scored, whole.prompts_reused) == (48_000, 16_000, 32_000)
    assert (whole.seconds, whole.engine) == (8000.0, WorkDone(48_000, 4000.0))
    assert whole.speed == 12.0


def test_what_is_not_said_is_not_counted() -> None:
    whole = Meter()
    meter = Meter(into=whole)
    meter.count(scored=2)
    meter.count(reused=1)
    assert (meter.prompts_scored, meter.prompts_reused, meter.tokens_decoded, meter.seconds) == (2, 1, 0, 0.0)
    assert (meter.engine, meter.speed) == (WorkDone(), None)
    assert (whole.prompts_scored, whole.prompts_reused) == (2, 1)
