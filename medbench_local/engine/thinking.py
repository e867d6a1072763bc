"""Letting a model think: greedy tokens up to a marker that closes the thinking, or up to a budget."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from medbench_local.engine.base import Heard, ThinkRequest, Tokens, Trace
from medbench_local.engine.llama_context import Context, Span
from medbench_local.engine.llama_model import Model
from medbench_local.engine.logits import best_token
from medbench_local.engine.prefix import PrefixCache

_TOLD_EVERY = 16
"""Tokens of one thinking after which is told how far it is."""


class Thinking:
    """What one request has written so far; a token costs the same however long that is.

    Args:
        close: texts that end the thinking, wherever the tokens' borders lie; control tokens count as their texts.
        max_tokens: the budget, at least 1.
    """

    def __init__(self, close: Sequence[str], max_tokens: int) -> None:
        self.tokens: list[int] = []
        self.trace: Trace | None = None
        self._close = [text.encode() for text in close if text]
        self._reach = max(map(len, self._close), default=1) - 1
        self._most = max_tokens
        self._tail = b""

    def add(self, token: int, text: bytes, *, ends: bool) -> None:
        """Add the next token.

        Args:
            token: its id.
            text: what it writes, control tokens their own texts.
            ends: whether it is a token that ends generation; it is not part of the thinking then.
        """
        if ends and not any(marker in text for marker in self._close):
            self.trace = Trace(tuple(self.tokens), "ended")
            return
        self.tokens.append(token)
        seen = self._tail + text
        if any(marker in seen for marker in self._close):
            self.trace = Trace(tuple(self.tokens), "closed")
        elif len(self.tokens) == self._most:
            self.trace = Trace(tuple(self.tokens), "budget")
        self._tail = seen[-self._reach :] if self._reach else b""


class _Slot:
    """A request that is being continued.

    Attributes:
        number: of the request.
        sequence: of the context.
        position: of the token that is decoded next.
        cells: of the cache that it may come to need, beside the prefix.
    """

    def __init__(self, number: int, request: ThinkRequest, sequence: int, held: int) -> None:
        self.number = number
        self.sequence = sequence
        self.position = len(request.context)
        self.cells = len(request.context) - held + request.max_tokens
        self.thinking = Thinking(request.close, request.max_tokens)


def think_all(
    requests: Sequence[ThinkRequest],
    beginning: Tokens,
    slots: int,
    model: Model,
    context: Context,
    cache: PrefixCache,
    heard: Heard,
) -> list[Trace]:
    """Let a model think about requests, ``slots`` of them at once; one that is done makes room for the next.

    Args:
        requests: what is thought about; each fits the context by itself.
        beginning: of all of them, which is decoded once; as `PrefixCache.rest` says.
        slots: most at once, as far as they fit the context together; with one, what else is asked changes no bit.
        model: the model.
        context: its context.
        cache: of that context.
        heard: told every few tokens, and of each trace as soon as it is complete.
    """
    held = cache.hold(beginning)
    waiting = deque(enumerate(requests))
    free = list(range(slots, 0, -1))
    working: list[_Slot] = []
    found: dict[int, Trace] = {}

    def take(slot: _Slot, index: int) -> Span | None:
        """Read the next token of a slot; what it is in the next decode, or None if it is done."""
        token = best_token(context.logits(index))
        thinking = slot.thinking
        thinking.add(token, model.piece(token, special=True), ends=model.ends(token))
        written = len(thinking.tokens)
        if thinking.trace is not None:
            found[slot.number] = thinking.trace
            heard(slot.number, written, thinking.trace)
            context.cut(slot.sequence)
            free.append(slot.sequence)
            return None
        if written % _TOLD_EVERY == 0:
            heard(slot.number, written, None)
        slot.position += 1
        return Span((token,), slot.position - 1, [slot.sequence], wanted=1)

    spans: list[Span] = []
    while waiting or working:
        while waiting and free:
            number, request = waiting[0]
            slot = _Slot(number, request, free[-1], held)
            if working and held + slot.cells + sum(other.cells for other in working) > context.n_ctx:
                break
            waiting.popleft()
            free.pop()
            span = take(slot, cache.begin(request.context, held, slot.sequence))
            if span is not None:
                working.append(slot)
                spans.append(span)
        if not spans:
            continue
        context.decode(spans)
        going = [(slot, take(slot, index)) for index, slot in enumerate(working)]
        working = [slot for slot, span in going if span is not None]
        spans = [span for _, span in going if span is not None]
    return [found[number] for number in range(len(requests))]
