from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medbench_local.engine.base import LEAST_ROWS, GenerateRequest, ScoreRequest, Tokens
from medbench_local.engine.llama import SMALLEST_BATCH
from medbench_local.engine.packs import (
    MOST_SHARED,
    common_prefix,
    groups_that_fit,
    new_tokens,
    plan_packs,
    shared_beginning,
    shared_length,
)
from medbench_local.engine.prefix import chunks

tokens = st.lists(st.integers(0, 3), max_size=8).map(tuple)
continuations = st.lists(
    st.lists(st.integers(0, 9), min_size=1, max_size=4).map(tuple), min_size=1, max_size=4
)


@given(st.lists(tokens, max_size=6))
def test_common_prefix_is_the_longest(lists: list[Tokens]) -> None:
    found = common_prefix(lists)
    assert all(one[: len(found)] == found for one in lists)
    if lists:
        following = {one[len(found) : len(found) + 1] for one in lists}
        assert len(following) > 1 or following == {()}


@given(tokens, tokens)
def test_shared_length_counts_equal_tokens(first: Tokens, second: Tokens) -> None:
    expected = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(first, second)))  # noqa: B905
    assert shared_length(first, second) == expected


@given(tokens, st.lists(tokens.map(lambda tail: (*tail, 0)), min_size=1, max_size=5))
def test_what_continuations_share_leaves_each_a_token_of_its_own(shared: Tokens, tails: list[Tokens]) -> None:
    lists = [(*shared, *tail) for tail in tails]
    found = shared_beginning(lists)
    assert found >= len(shared) * (len(lists) > 1)
    assert {one[:found] for one in lists} == {lists[0][:found]}
    assert len(lists) == 1 or all(len(one) > found for one in lists)
    assert found == 0 or min(map(len, lists)) == found + 1 or len({one[found] for one in lists}) > 1


def test_a_shared_beginning_is_counted_once() -> None:
    request = ScoreRequest((1, 2, 3), ((5, 6, 7), (5, 6, 8, 9)))
    assert new_tokens(request, 2) == 1 + 2 + 0 + 1
    long = (7,) * 200
    assert shared_beginning([(*long, 1), (*long, 2)]) == MOST_SHARED


@given(tokens, st.lists(st.tuples(tokens, continuations), max_size=12), st.integers(1, 40))
def test_packs_keep_every_request_in_order_and_stay_small(
    prefix: Tokens, parts: list[tuple[Tokens, list[Tokens]]], most: int
) -> None:
    requests = [ScoreRequest((*prefix, *tail, 1), tuple(options)) for tail, options in parts]
    packs = plan_packs(requests, prefix, most)
    assert [request for pack in packs for request in pack.requests] == requests
    for number, pack in enumerate(packs):
        assert pack.prefix == prefix
        costs = [new_tokens(request, len(prefix)) for request in pack.requests]
        assert len(costs) == 1 or sum(costs) <= most
        if number + 1 < len(packs):
            following = new_tokens(packs[number + 1].requests[0], len(prefix))
            assert sum(costs) + following > most


@given(tokens, st.lists(tokens, min_size=1, max_size=8), st.integers(1, 20))
def test_a_later_start_plans_the_same_packs(prefix: Tokens, tails: list[Tokens], most: int) -> None:
    requests = [ScoreRequest((*prefix, *tail, 1), ((1,), (2,))) for tail in tails]
    packs = plan_packs(requests, prefix, most)
    done = len(packs) // 2
    rest = requests[sum(len(pack.requests) for pack in packs[:done]) :]
    assert plan_packs(rest, prefix, most) == packs[done:]


def test_a_request_without_the_prefix_is_refused() -> None:
    with pytest.raises(ValueError, match="request 1"):
        plan_packs([ScoreRequest((1, 2), ((1,),)), ScoreRequest((2, 2), ((1,),))], (1,))


@given(st.integers(0, 3000), st.integers(SMALLEST_BATCH, 600), st.sampled_from(sorted(LEAST_ROWS.values())))
def test_chunks_are_never_tiny(length: int, limit: int, least: int) -> None:
    sizes = chunks(length, limit)
    assert sum(sizes) == length
    assert all(size <= limit for size in sizes)
    if length >= least:
        assert min(sizes) >= least


@given(st.lists(st.integers(1, 90), min_size=1, max_size=30), st.integers(1, 8), st.integers(20, 300))
def test_groups_fit_the_context_and_are_as_large_as_they_can(
    lengths: list[int], parallel: int, n_ctx: int
) -> None:
    prefix = 1
    requests = [GenerateRequest(tuple(range(length)), (), 10) for length in lengths]
    groups = groups_that_fit(requests, prefix, parallel, n_ctx)
    assert [request for group in groups for request in group] == requests

    def cells(group: list[GenerateRequest]) -> int:
        return prefix + sum(len(request.context) - prefix + request.max_tokens for request in group)

    for group in groups:
        assert 1 <= len(group) <= parallel
        assert len(group) == 1 or cells(group) <= n_ctx
    for group, following in itertools.pairwise(groups):
        assert len(group) == parallel or cells([*group, following[0]]) > n_ctx
