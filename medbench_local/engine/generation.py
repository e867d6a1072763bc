"""Greedy continuations of many prompts at once, each stopped at its own stop string."""

from __future__ import annotations

import codecs
from collections.abc import Sequence

from medbench_local.engine.base import GenerateRequest
from medbench_local.engine.llama_context import Context, Span
from medbench_local.engine.llama_model import Model
from medbench_local.engine.logits import best_token
from medbench_local.engine.prefix import PrefixCache


class Continuation:
    """The text of one request while it grows; a token costs the same however long that is.

    Control tokens write nothing here, as in the study: what a model thinks between marks of its own is for
    `medbench_local.engine.thinking`, which reads these.

    Args:
        stop: strings at which it is cut.
        max_tokens: most tokens.
    """

    def __init__(self, stop: Sequence[str], max_tokens: int) -> None:
        self.done = max_tokens < 1
        self._stop = [text for text in stop if text]
        self._reach = max(map(len, self._stop), default=1) - 1
        self._left = max_tokens
        self._parts: list[str] = []
        self._tail = ""
        # A character may be spread over several byte tokens; what is incomplete at the end becomes U+FFFD.
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    @property
    def text(self) -> str:
        """What was written so far, up to the first stop string."""
        return "".join(self._parts)

    def add(self, piece: bytes, *, ends: bool) -> None:
        """Add the bytes of the next token.

        Args:
            piece: may be part of a character.
            ends: whether it is a token that ends generation; it writes nothing then.
        """
        self._left -= 1
        self.done = ends or self._left == 0
        written = self._decoder.decode(b"" if ends else piece, final=self.done)
        self._parts.append(written)
        # A stop string that begins before the tail would have been seen before.
        seen = self._tail + written
        cuts = [place for place in (seen.find(stop) for stop in self._stop) if place >= 0]
        if cuts:
            text = self.text
            self._parts = [text[: len(text) - len(seen) + min(cuts)]]
            self.done = True
        self._tail = seen[-self._reach :] if self._reach else ""


def generate_together(
    requests: Sequence[GenerateRequest], prefix: int, model: Model, context: Context, cache: PrefixCache
) -> list[str]:
    """Continue requests together, one token each in a decode.

    Texts are as the tokens write them: with SentencePiece vocabularies usually with a blank at the front.

    Args:
        requests: fewer than the context's sequences; all fit the context together.
        prefix: tokens that all of them begin with.
        model: the model.
        context: its context.
        cache: of that context.
    """
    contexts = [request.context for request in requests]
    held = cache.hold(contexts[0][: cache.rest(contexts, prefix)])
    texts = [Continuation(request.stop, request.max_tokens) for request in requests]
    positions = [len(request.context) for request in requests]
    spans: list[Span] = []

    def take(number: int, index: int) -> None:
        """Read the next token of a request; it goes into the next decode unless it is done."""
        if texts[number].done:  # nothing was asked for
            return
        token = best_token(context.logits(index))
        texts[number].add(model.piece(token), ends=model.ends(token))
        if not texts[number].done:
            spans.append(Span((token,), positions[number], [number + 1], wanted=1))
            positions[number] += 1

    for number, request in enumerate(requests):
        take(number, cache.begin(request.context, held, number + 1))
    while spans:
        decoded, spans = spans, []
        context.decode(decoded)
        for index, span in enumerate(decoded):
            take(span.sequences[0] - 1, index)
    for number in range(len(requests)):
        context.cut(number + 1)
    return [text.text for text in texts]
