"""Planning what is decoded together.

Pure functions of token lists, so that a resumed run plans the same packs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from medbench_local.engine.base import (
    TOKENS_PER_PACK,
    GenerateRequest,
    Pack,
    ScoreRequest,
    ThinkRequest,
    Tokens,
)

Request = TypeVar("Request", ScoreRequest, GenerateRequest)


def shared_length(first: Sequence[int], second: Sequence[int]) -> int:
    """How many tokens two lists have in common at their beginning."""
    equal, limit = 0, min(len(first), len(second))
    while equal < limit:  # halving compares slices, which is many times as fast as token by token
        middle = (equal + limit + 1) // 2
        if tuple(first[equal:middle]) == tuple(second[equal:middle]):
            equal = middle
        else:
            limit = middle - 1
    return equal


def common_prefix(token_lists: Sequence[Tokens]) -> Tokens:
    """The longest token list that every one of ``token_lists`` begins with; empty for no lists."""
    if not token_lists:
        return ()
    # The smallest and the largest list in lexicographic order differ where any two lists do.
    lowest, highest = min(token_lists), max(token_lists)
    return tuple(lowest[: shared_length(lowest, highest)])


MOST_SHARED = 64
"""Most first tokens of continuations that are decoded once for all of them: each takes one row of logits."""


def shared_beginning(continuations: Sequence[Tokens]) -> int:
    """How many first tokens several continuations share and the engine decodes once for all of them.

    Each continuation keeps at least one token of its own; a single one shares nothing.
    """
    most = min(min(map(len, continuations)) - 1, MOST_SHARED) if len(continuations) > 1 else 0
    return min(most, len(common_prefix(continuations))) if most else 0


def new_tokens(request: ScoreRequest | GenerateRequest | ThinkRequest, prefix_length: int = 0) -> int:
    """Tokens that ``request`` adds behind a decoded prefix: its tail and its continuations.

    The last token of a continuation is only predicted, never decoded; first tokens that all continuations
    share are decoded once. Of a generated text the most that may come is counted.
    """
    tail = len(request.context) - min(prefix_length, len(request.context))
    if isinstance(request, GenerateRequest | ThinkRequest):
        return tail + request.max_tokens
    shared = shared_beginning(request.continuations)
    return tail + shared + sum(len(tokens) - 1 - shared for tokens in request.continuations)


def plan_packs(
    requests: Sequence[Request], prefix: Tokens, tokens_per_pack: int = TOKENS_PER_PACK
) -> list[Pack]:
    """Cut requests, in their order, into packs of about equal work.

    Args:
        requests: all of one kind; every context begins with ``prefix``.
        prefix: tokens decoded once for all packs; may be empty.
        tokens_per_pack: a pack ends before it would exceed this many new tokens (but holds at least one
            request).

    Returns:
        Packs whose requests, joined, are ``requests``.

    Raises:
        ValueError: a context does not begin with the prefix.
    """
    packs: list[Pack] = []
    current: list[Request] = []
    filled = 0
    for number, request in enumerate(requests):
        if request.context[: len(prefix)] != prefix:
            raise ValueError(f"request {number} does not begin with the prefix")
        cost = new_tokens(request, len(prefix))
        if current and filled + cost > tokens_per_pack:
            packs.append(Pack(prefix, tuple(current)))
            current, filled = [], 0
        current.append(request)
        filled += cost
    if current:
        packs.append(Pack(prefix, tuple(current)))
    return packs


def groups_that_fit(
    requests: Sequence[GenerateRequest], prefix_length: int, parallel: int, n_ctx: int
) -> list[list[GenerateRequest]]:
    """Cut requests, in their order, into groups that are continued together.

    A group ends before it would exceed ``parallel`` requests or, prefix included, ``n_ctx`` tokens (but holds
    at least one request): prompts that fill a short context by themselves are continued one after the other.
    """
    groups: list[list[GenerateRequest]] = []
    filled = 0
    for request in requests:
        cost = new_tokens(request, prefix_length)
        if not groups or len(groups[-1]) == parallel or prefix_length + filled + cost > n_ctx:
            groups.append([])
            filled = 0
        groups[-1].append(request)
        filled += cost
    return groups
