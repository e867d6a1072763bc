"""What a model thought before it answers: found again, or thought now and kept at once."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Generic, TypeVar, get_args

from medbench_local.engine.base import Engine, Pack, ThinkRequest, Tokens, Trace, TraceEnd
from medbench_local.progress import Advance
from medbench_local.store.scores import ScoreStore, StoredTrace, score_key

Row = TypeVar("Row", bound=Hashable)

_THINKING = 0.95
"""Share of the work on a prompt that is thinking; the rest is reading the options."""

_USUAL = 1000
"""Tokens that one thinking is expected to have, for the progress within it."""


class Thoughts(Generic[Row]):
    """The traces of one model.

    Greedy thinking does not depend on its budget until that is used up: a trace that was kept with a larger budget is
    cut, one that ended by itself within the budget is taken as it is.

    Args:
        engine: the loaded model.
        fingerprint: hash of everything that decides a trace beside the prompt and the markers.
        store: where traces are kept.
        advance: told of what was thought, in prompts.

    Attributes:
        told: what ``advance`` was told of each request that had to be thought about, below 1: reading the options is
            the rest.
    """

    def __init__(self, engine: Engine, fingerprint: bytes, store: ScoreStore, advance: Advance) -> None:
        self._engine = engine
        self._fingerprint = fingerprint
        self._store = store
        self._advance = advance
        self.told: dict[Row, float] = {}

    def about(self, wanted: Mapping[Row, ThinkRequest], prefix: Tokens) -> dict[Row, Trace]:
        """The trace of each request; what has to be thought now is kept as soon as it is complete.

        Args:
            wanted: requests by what they are called; all begin with ``prefix``.
            prefix: decoded once.

        Raises:
            EngineError: a request does not fit the context, or the worker died.
            StoreError: a trace cannot be kept.
        """
        keys = {row: self._key(request) for row, request in wanted.items()}
        known = self._store.get_traces(list(keys.values()))
        found: dict[Row, Trace] = {}
        for row, request in wanted.items():
            trace = within(known.get(keys[row]), request.max_tokens)
            if trace is not None:
                found[row] = trace
        missing = [row for row in wanted if row not in found]
        if missing:
            found.update(self._thought({row: wanted[row] for row in missing}, keys, prefix))
        return found

    def _thought(
        self, missing: Mapping[Row, ThinkRequest], keys: Mapping[Row, bytes], prefix: Tokens
    ) -> dict[Row, Trace]:
        rows = list(missing)
        told = self.told
        told.update(dict.fromkeys(rows, 0.0))

        def heard(number: int, written: int, trace: Trace | None) -> None:
            row = rows[number]
            share = min(written / min(_USUAL, missing[row].max_tokens), 1.0) * _THINKING
            if trace is not None:
                self._store.put_traces({keys[row]: StoredTrace(trace.tokens, trace.end)})
                share = _THINKING
            self._advance(max(share - told[row], 0.0))
            told[row] = max(told[row], share)

        traces = self._engine.think(Pack(prefix, tuple(missing.values())), heard)
        return dict(zip(rows, traces, strict=True))

    def _key(self, request: ThinkRequest) -> bytes:
        return score_key(
            self._fingerprint, "think", self._engine.info.thinking, request.context, *request.close
        )


def within(stored: StoredTrace | None, budget: int) -> Trace | None:
    """What a stored trace says of thinking with a budget; None if it says too little."""
    if stored is None or stored.end not in get_args(TraceEnd):
        return None
    tokens = stored.tokens
    # With a budget of its whole length the marker would have closed it; without a token left the end is not seen.
    if len(tokens) > budget or (len(tokens) == budget and stored.end != "closed"):
        return Trace(tokens[:budget], "budget")
    if stored.end == "budget":
        return None
    return Trace(tokens, "closed" if stored.end == "closed" else "ended")
