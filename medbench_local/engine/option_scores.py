"""Joint log-probabilities of continuations, all continuations of a request branching off in one decode."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medbench_local.engine.base import ROWS, OptionScores, ScoreRequest, Tokens
from medbench_local.engine.llama_context import SEQUENCES, Context, Row
from medbench_local.engine.logits import not_finite
from medbench_local.engine.packs import new_tokens, shared_beginning
from medbench_local.engine.prefix import PrefixCache


def log_probabilities(logits: NDArray[np.float32], tokens: Sequence[int]) -> list[float]:
    """Natural log-softmax of one row of logits, in float64, at ``tokens``.

    Raises:
        EngineError: the model computed something that is not a number.
    """
    row = logits.astype(np.float64)
    largest = row.max()
    normaliser = largest + np.log(np.exp(row - largest).sum()) if math.isfinite(largest) else math.nan
    found = [float(row[token] - normaliser) for token in tokens]
    if not all(map(math.isfinite, found)):
        raise not_finite()
    return found


@dataclass(frozen=True)
class _Part:
    """Continuations, or pieces of long ones, that are decoded together.

    Attributes:
        context: all tokens before them.
        trunk: first tokens of all of the request's continuations, which are decoded once and stand before the
            pieces.
        pieces: (index of the request's continuation, its tokens), none empty.
    """

    context: Tokens
    trunk: Tokens
    pieces: tuple[tuple[int, Tokens], ...]

    @property
    def rows(self) -> int:
        """Rows of logits that it needs."""
        return 1 + len(self.trunk) + sum(len(tokens) - 1 for _, tokens in self.pieces)


def _parts(request: ScoreRequest) -> Iterator[_Part]:
    """Cut a request so that each part needs few enough rows and sequences; usually into one."""
    shared = shared_beginning(request.continuations)
    most = ROWS - shared
    context, trunk = request.context, request.continuations[0][:shared]
    pieces: list[tuple[int, Tokens]] = []
    rows = 1 + shared
    for index, continuation in enumerate(request.continuations):
        first = continuation[shared : shared + most]
        if pieces and (rows + len(first) - 1 > ROWS or len(pieces) == SEQUENCES - 1):
            yield _Part(context, trunk, tuple(pieces))
            context, trunk, pieces, rows = context + trunk, (), [], 1
        pieces.append((index, first))
        rows += len(first) - 1
    yield _Part(context, trunk, tuple(pieces))
    for index, continuation in enumerate(request.continuations):
        for start in range(shared + most, len(continuation), most):
            piece = continuation[start : start + most]
            yield _Part(request.context + continuation[:start], (), ((index, piece),))


class _Branches:
    """The rows of one part and where its logits will be."""

    def __init__(self, part: _Part, held: int, first_sequence: int) -> None:
        self.part = part
        longer = [tokens for _, tokens in part.pieces if len(tokens) > 1]
        self.sequences = list(range(first_sequence, first_sequence + max(1, len(longer))))
        tail = part.context[held:] + part.trunk
        self.tail = len(tail)
        unread = self.tail - 1 - len(part.trunk)
        self.rows = [Row(token, held + i, self.sequences, wanted=i >= unread) for i, token in enumerate(tail)]
        for sequence, tokens in zip(self.sequences, longer, strict=False):
            for i, token in enumerate(tokens[:-1]):
                self.rows.append(Row(token, held + self.tail + i, [sequence], wanted=True))

    def read(self, context: Context, offset: int) -> list[tuple[int | None, float]]:
        """(index of the continuation, joint log-probability of its piece) after the decode; None: of the trunk.

        Args:
            context: which has just decoded.
            offset: index of this part's first row in that decode (negative if some came before).
        """
        end = offset + self.tail
        trunk = self.part.trunk
        shared = [
            log_probabilities(context.logits(end - 1 - len(trunk) + i), [token])[0]
            for i, token in enumerate(trunk)
        ]
        sums: list[tuple[int | None, float]] = [(None, math.fsum(shared))] if trunk else []
        firsts = [tokens[0] for _, tokens in self.part.pieces]
        begun = log_probabilities(context.logits(end - 1), firsts)
        for (index, tokens), first in zip(self.part.pieces, begun, strict=True):
            later = [
                log_probabilities(context.logits(end + i), [token])[0] for i, token in enumerate(tokens[1:])
            ]
            end += len(tokens) - 1
            sums.append((index, math.fsum([first, *later])))
        return sums


def _collect(request: ScoreRequest, sums: Sequence[tuple[int | None, float]]) -> OptionScores:
    joint = [
        math.fsum(value for i, value in sums if i in (None, index))
        for index in range(len(request.continuations))
    ]
    return OptionScores(tuple(joint), math.fsum(map(math.exp, joint)))


def score_one(request: ScoreRequest, prefix: int, context: Context, cache: PrefixCache) -> OptionScores:
    """Score one request by itself; the result does not depend on what was decoded before.

    Args:
        request: fits the context.
        prefix: tokens of its context that following requests are likely to begin with, too.
        context: the context.
        cache: of that context.
    """
    sums: list[tuple[int | None, float]] = []
    parts = list(_parts(request))
    for part in parts:
        # With several parts, the later ones branch off as late as they can.
        reusable = prefix if len(parts) == 1 else len(part.context)
        held = cache.hold(part.context[: cache.rest([part.context], reusable)])
        branches = _Branches(part, held, 1)
        before = cache.ahead(part.context, held, len(branches.rows))
        context.branch(0, branches.sequences)
        cache.extend(part.context[held : held + before], held, branches.sequences)
        context.decode(branches.rows[before:])
        sums += branches.read(context, -before)
        for sequence in branches.sequences:
            context.cut(sequence)
    return _collect(request, sums)


def score_each(
    requests: Sequence[ScoreRequest], prefix: int, context: Context, cache: PrefixCache
) -> list[OptionScores]:
    """Score requests one by one, the longest first.

    A short prompt branches off before the end of the prefix, because no decode may be small. Prompts that get shorter
    only cut what is held; in another order much of the prefix would be decoded again and again. No bit depends on it.

    Args:
        requests: each fits the context and begins with the same ``prefix`` tokens.
        prefix: number of shared tokens.
        context: the context.
        cache: of that context.

    Returns:
        One for each request, in their order.
    """
    scores: dict[int, OptionScores] = {}
    for index in sorted(range(len(requests)), key=lambda index: -len(requests[index].context)):
        scores[index] = score_one(requests[index], prefix, context, cache)
    return [scores[index] for index in range(len(requests))]


def score_many(
    requests: Sequence[ScoreRequest], prefix: int, parallel: int, context: Context, cache: PrefixCache
) -> list[OptionScores]:
    """Score requests with several in one decode: faster on some devices, other last bits.

    Args:
        requests: each fits the context and begins with the same ``prefix`` tokens.
        prefix: number of shared tokens.
        parallel: most requests in one decode.
        context: the context.
        cache: of that context.
    """
    scores: list[OptionScores] = []
    group: list[ScoreRequest] = []
    for request in [*requests, None]:
        if request is not None and _fits([*group, request], prefix, parallel, context):
            group.append(request)
            continue
        if len(group) > 1:
            scores += _score_group(group, prefix, context, cache)
        else:
            scores += [score_one(alone, prefix, context, cache) for alone in group]
        group = [] if request is None else [request]
    return scores


def _fits(group: Sequence[ScoreRequest], prefix: int, parallel: int, context: Context) -> bool:
    parts = [list(_parts(request)) for request in group]
    tokens = sum(new_tokens(request, prefix) for request in group)
    return len(group) == 1 or (
        all(len(found) == 1 for found in parts)
        and len(group) <= parallel
        and sum(len(found[0].pieces) for found in parts) < SEQUENCES
        and sum(found[0].rows for found in parts) <= ROWS
        and tokens <= context.batch
        and prefix + tokens <= context.n_ctx
    )


def _score_group(
    group: Sequence[ScoreRequest], prefix: int, context: Context, cache: PrefixCache
) -> list[OptionScores]:
    shortest = min(len(request.context) for request in group)
    held = cache.hold(group[0].context[: min(prefix, shortest - 1)])
    all_branches: list[_Branches] = []
    sequence = 1
    for request in group:
        (part,) = _parts(request)
        all_branches.append(_Branches(part, held, sequence))
        sequence += len(all_branches[-1].sequences)
    context.branch(0, range(1, sequence))
    context.decode([row for branches in all_branches for row in branches.rows])
    scores, offset = [], 0
    for request, branches in zip(group, all_branches, strict=True):
        scores.append(_collect(request, branches.read(context, offset)))
        offset += len(branches.rows)
    for used in range(1, sequence):
        context.cut(used)
    return scores
