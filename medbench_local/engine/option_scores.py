"""Joint log-probabilities of continuations, all continuations of a request branching off in one decode."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from medbench_local.engine.base import ROWS, SEQUENCES, OptionScores, ScoreRequest, Tokens
from medbench_local.engine.llama_context import Context, Span
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


Logits = Callable[[int], NDArray[np.float32]]
"""The logits of a row of a decode."""


class _Branches:
    """The tokens of one part and where its logits will be."""

    def __init__(self, part: _Part, held: int, first_sequence: int) -> None:
        self.part = part
        longer = [tokens for _, tokens in part.pieces if len(tokens) > 1]
        self.sequences = list(range(first_sequence, first_sequence + max(1, len(longer))))
        tail = part.context[held:] + part.trunk
        self.tail = len(tail)
        self.spans = [Span(tail, held, self.sequences, wanted=1 + len(part.trunk))]
        for sequence, tokens in zip(self.sequences, longer, strict=False):
            self.spans.append(Span(tokens[:-1], held + self.tail, [sequence], wanted=len(tokens) - 1))
        self.size = sum(len(span.tokens) for span in self.spans)

    def behind(self, before: int) -> list[Span]:
        """What is decoded when the first ``before`` tokens of the tail are; fewer than may not be read."""
        first = self.spans[0]
        later = first._replace(tokens=first.tokens[before:], position=first.position + before)
        return [later, *self.spans[1:]]

    def wanted(self, offset: int) -> list[int]:
        """The rows that `read` reads."""
        first = offset + self.tail - 1 - len(self.part.trunk)
        return list(range(first, offset + self.size))

    def read(self, logits: Logits, offset: int) -> list[tuple[int | None, float]]:
        """(index of the continuation, joint log-probability of its piece) after the decode; None: of the trunk.

        Args:
            logits: of the decode.
            offset: index of this part's first token in that decode (negative if some came before).
        """
        end = offset + self.tail
        trunk = self.part.trunk
        shared = [
            log_probabilities(logits(end - 1 - len(trunk) + i), [token])[0] for i, token in enumerate(trunk)
        ]
        sums: list[tuple[int | None, float]] = [(None, math.fsum(shared))] if trunk else []
        firsts = [tokens[0] for _, tokens in self.part.pieces]
        begun = log_probabilities(logits(end - 1), firsts)
        for (index, tokens), first in zip(self.part.pieces, begun, strict=True):
            later = [log_probabilities(logits(end + i), [token])[0] for i, token in enumerate(tokens[1:])]
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
        before = cache.ahead(part.context, held, branches.size)
        context.branch(0, branches.sequences)
        cache.extend(part.context[held : held + before], held, branches.sequences)
        context.decode(branches.behind(before))
        sums += branches.read(context.logits, -before)
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
    requests: Sequence[ScoreRequest],
    prefix: int,
    most: int,
    context: Context,
    cache: PrefixCache,
    *,
    ahead: bool = False,
) -> list[OptionScores]:
    """Score requests with several in one decode: faster on some devices, other last bits.

    Args:
        requests: each fits the context and begins with the same ``prefix`` tokens.
        prefix: number of shared tokens.
        most: most requests in one decode.
        context: the context.
        cache: of that context.
        ahead: read the logits of a decode in another thread while the next one is computed; for devices that leave the
            processor idle meanwhile. The results are the same: what is read is copied first.
    """
    scores: list[OptionScores] = []
    reading: Future[list[OptionScores]] | None = None
    with ThreadPoolExecutor(1) as reader:
        for group in _groups(requests, prefix, most, context):
            if len(group) == 1:
                read = _of_one(score_one(group[0], prefix, context, cache))
            else:
                read = _decode_group(group, prefix, context, cache, keep=ahead)
            if reading is not None:  # one decode is read at a time, so that what is copied stays small
                scores += reading.result()
                reading = None
            if ahead:
                reading = reader.submit(read)
            else:
                scores += read()
        if reading is not None:
            scores += reading.result()
    return scores


def _of_one(score: OptionScores) -> Callable[[], list[OptionScores]]:
    return lambda: [score]


def _groups(
    requests: Sequence[ScoreRequest], prefix: int, most: int, context: Context
) -> Iterator[list[ScoreRequest]]:
    """Cut requests, in their order, into groups that fit one decode; what does not fit with others is alone."""
    group: list[ScoreRequest] = []
    filled = _Room()
    for request in requests:
        needed = _room_of(request, prefix)
        together = filled + needed
        if group and not (together.fits(context, prefix) and len(group) < most):
            yield group
            group, together = [], needed
        group.append(request)
        filled = together
    if group:
        yield group


@dataclass(frozen=True)
class _Room:
    """What requests need of a decode.

    Attributes:
        tokens, sequences, rows: of all of them.
        whole: whether each is one part.
    """

    tokens: int = 0
    sequences: int = 0
    rows: int = 0
    whole: bool = True

    def __add__(self, other: _Room) -> _Room:
        return _Room(
            self.tokens + other.tokens,
            self.sequences + other.sequences,
            self.rows + other.rows,
            self.whole and other.whole,
        )

    def fits(self, context: Context, prefix: int) -> bool:
        """Whether it is one decode behind a prefix of so many tokens."""
        return (
            self.whole
            and self.sequences < context.sequences
            and self.rows <= context.rows
            and self.tokens <= context.batch
            and prefix + self.tokens <= context.n_ctx
        )


def _room_of(request: ScoreRequest, prefix: int) -> _Room:
    first, *others = _parts(request)
    return _Room(new_tokens(request, prefix), len(first.pieces), first.rows, not others)


def _decode_group(
    group: Sequence[ScoreRequest], prefix: int, context: Context, cache: PrefixCache, *, keep: bool
) -> Callable[[], list[OptionScores]]:
    """Decode requests together.

    Args:
        group: the requests.
        prefix: number of tokens that they share.
        context: the context.
        cache: of that context.
        keep: copy what is read, so that it may be read when the context has gone on.

    Returns:
        What reads the scores.
    """
    shortest = min(len(request.context) for request in group)
    held = cache.hold(group[0].context[: min(prefix, shortest - 1)])
    branches: list[_Branches] = []
    sequence = 1
    for request in group:
        (part,) = _parts(request)
        branches.append(_Branches(part, held, sequence))
        sequence += len(branches[-1].sequences)
    context.branch(0, range(1, sequence))
    context.decode([span for one in branches for span in one.spans])
    offsets = [0, *accumulate(one.size for one in branches)]
    for used in range(1, sequence):
        context.cut(used)
    logits: Logits = context.logits
    if keep:
        wanted = (row for one, offset in zip(branches, offsets, strict=False) for row in one.wanted(offset))
        logits = {row: context.logits(row).copy() for row in wanted}.__getitem__
    return lambda: [
        _collect(request, one.read(logits, offset))
        for request, one, offset in zip(group, branches, offsets, strict=False)
    ]
