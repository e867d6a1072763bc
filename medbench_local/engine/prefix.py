"""The decoded prefix that requests branch off, and cutting long token lists into decodes.

Processor kernels differ with the number of rows computed together: one row, a few, many. Where every
decode has at least `LEAST_ROWS` rows, each token's result is the same whatever else is in it, so that
reusing a prefix changes no bit. A whole prompt that is shorter is decoded alone, whatever is cached, so that its
result is always that of one and the same decode. `tests/engine/test_reproducibility.py` holds it to that. Pictures cut
a prompt into runs, each of which is treated so: see `medbench_local.engine.runs`.
"""

from __future__ import annotations

from collections.abc import Sequence

from medbench_local.engine.base import LEAST_ROWS, Tokens
from medbench_local.engine.llama_context import Context, Span
from medbench_local.engine.runs import common_rest


def chunks(length: int, limit: int) -> list[int]:
    """Cut ``length`` into the fewest nearly equal parts of at most ``limit``, so that none is tiny."""
    if length <= 0:
        return []
    parts = -(-length // limit)
    return [length * (i + 1) // parts - length * i // parts for i in range(parts)]


class PrefixCache:
    """What sequence 0 of a context holds.

    Args:
        context: sequence 0 belongs to this object; other sequences must be empty when it is called.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self.least_rows = LEAST_ROWS[context.mode]
        self._runs = context.runs
        self._held: Tokens = ()

    def rest(self, prompts: Sequence[Tokens], wanted: int) -> int:
        """How many of the first ``wanted`` tokens, which are those of all prompts, `hold` may hold for them."""
        return common_rest(self._runs, prompts, wanted, self.least_rows)

    def hold(self, prefix: Tokens) -> int:
        """Make sequence 0 hold ``prefix``, which ends where it may (`rest`), decoding as little as possible.

        Returns:
            The number of tokens held: all of ``prefix``, or 0 if it is too short to be decoded by itself.
        """
        if len(prefix) < self.least_rows:
            prefix = ()
        start = self._runs.shared(self._held, prefix, self.least_rows)
        if start < len(self._held):
            if self._context.has_state:
                self.forget()
                start = 0
            else:
                self._context.cut(0, start)
        self._held = ()  # of an unknown state should the decode fail
        self.extend(prefix[start:], start, [0])
        self._held = prefix
        return len(prefix)

    def extend(self, tokens: Sequence[int], position: int, sequences: Sequence[int]) -> None:
        """Decode ``tokens`` from ``position`` on into ``sequences``, reading nothing."""
        for run in self._runs.split(tokens):
            for size in chunks(len(run), self._context.micro_batch):
                self._context.decode([Span(run[:size], position, sequences)])
                run, position = run[size:], position + size

    def ahead(self, tokens: Tokens, held: int, rows: int) -> int:
        """How many rows of a prompt are decoded before those that are read and as many with them as there is room for.

        Args:
            tokens: of the whole prompt.
            held: how many of them sequence 0 holds.
            rows: that are decoded behind those, the continuations' included.
        """
        others = max(0, self._runs.last(tokens) - held)
        more = rows - others - self._context.micro_batch
        # No decode is tiny, neither the one before nor the last.
        return others + (max(more, self.least_rows) if more > 0 else 0)

    def begin(self, tokens: Tokens, held: int, sequence: int) -> int:
        """Decode a prompt into a sequence, to be continued from its last token.

        Args:
            tokens: of the whole prompt.
            held: how many of them sequence 0 holds.
            sequence: that holds the prompt afterwards.

        Returns:
            The row of the last decode whose logits say what follows.
        """
        self._context.branch(0, [sequence])
        tail = tokens[held:]
        before = self.ahead(tokens, held, len(tail))
        self.extend(tail[:before], held, [sequence])
        self._context.decode([Span(tail[before:], held + before, [sequence], wanted=1)])
        return len(tail) - before - 1

    def forget(self) -> None:
        """Empty the whole context, branches included."""
        self._context.clear()
        self._held = ()
