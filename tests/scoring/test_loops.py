"""Texts that run in a circle."""

from __future__ import annotations

import pytest

from medbench_local.scoring.loops import repeats


@pytest.mark.parametrize(
    ("tokens", "loop"),
    [
        ([5] * 40, True),
        ([1, 2, 3] * 12, True),
        (list(range(60)) * 4, True),
        (list(range(60)) * 3, False),
        ([9, 9, 9, 9, 1, 2, 3, 4], False),
        (list(range(300)), False),
        ([*range(100), *[7, 8] * 16], True),
        ([*[7, 8] * 16, *range(100)], False),
        ([], False),
    ],
)
def test_loops_are_told_from_texts(tokens: list[int], loop: bool) -> None:
    assert repeats(tokens) is loop
