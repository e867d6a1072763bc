"""Where a context ends and its options begin."""

from __future__ import annotations

import pytest

from medbench_local.engine.base import ScoreRequest
from medbench_local.errors import EngineError
from medbench_local.scoring.continuations import continued, continued_after


def test_the_context_is_what_all_options_share() -> None:
    request = continued([(1, 5, 8, 3), (1, 5, 8, 4, 4), (1, 5, 9)])
    assert request == ScoreRequest((1, 5), ((8, 3), (8, 4, 4), (9,)))


def test_no_continuation_is_empty() -> None:
    assert continued([(1, 5), (1, 5, 6)]) == ScoreRequest((1,), ((5,), (5, 6)))
    assert continued([(1, 5), (1, 5)]) == ScoreRequest((1,), ((5,), (5,)))


@pytest.mark.parametrize("texts", [[], [(1,), (1, 2)], [(1, 2), (3, 4)]])
def test_nothing_to_condition_on(texts: list[tuple[int, ...]]) -> None:
    with pytest.raises(EngineError):
        continued(texts)


def test_a_shared_first_word_is_scored_after_the_prompt() -> None:
    request = continued_after((1, 5), [(1, 5, 8, 3), (1, 5, 8, 4, 4), (1, 5, 8, 9)])
    assert request == ScoreRequest((1, 5), ((8, 3), (8, 4, 4), (8, 9)))


def test_a_token_that_one_option_melts_into_is_scored_with_all() -> None:
    request = continued_after((1, 5, 6), [(1, 5, 6, 3), (1, 5, 66), (1, 5, 6, 9)])
    assert request == ScoreRequest((1, 5), ((6, 3), (66,), (6, 9)))


@pytest.mark.parametrize("texts", [[], [(1,), (1, 2)], [(3, 2), (3, 4)]])
def test_nothing_after_the_prompt_to_condition_on(texts: list[tuple[int, ...]]) -> None:
    with pytest.raises(EngineError):
        continued_after((1, 5), texts)
