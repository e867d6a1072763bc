"""An engine that takes the time of a real one and computes nothing, in an actor of Ray's: for `benchmarks.cluster`."""

from __future__ import annotations

import os
import re
import socket
import time
import zlib
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from medbench_local._version import __version__
from medbench_local.cluster.actor import EngineActor
from medbench_local.engine.base import (
    Bos,
    EngineInfo,
    EngineOptions,
    OptionScores,
    Pack,
    ScoreRequest,
    Tokens,
    WorkDone,
)
from medbench_local.engine.fake import BOS, FakeEngine
from medbench_local.engine.packs import new_tokens, shared_length

RATE, PACK, LOADING = "SIMULATED_TOKENS_A_SECOND", "SIMULATED_PACK", "SIMULATED_LOADING"
"""Environment variables, which actors have from the process that starts Ray: tokens a second, tokens of a pack, seconds
to load a model."""

_PIECES = re.compile(r"\s?\w+|\s+|[^\w\s]")


@cache
def _token(piece: str) -> int:
    return 3 + zlib.crc32(piece.encode("utf-8", "surrogatepass")) // 4


class SimulatedEngine(FakeEngine):
    """A token is a word with the blank before it; to decode one takes its time, and a prefix is kept for the next pack.

    Args:
        model: scores differ by it.
        rate: tokens a second.
        pack_tokens: that a pack should have.
    """

    def __init__(self, model: str, rate: float, pack_tokens: int) -> None:
        super().__init__(model)
        self._rate = rate
        self._kept: Tokens = ()
        self._done = WorkDone()
        self._info = replace(self._info, pack_tokens=pack_tokens)

    @property
    def work(self) -> WorkDone:
        """What was decoded, and how long that took by its rate."""
        return self._done

    def tokenize(self, texts: Sequence[str], *, special: bool, bos: Bos = "once") -> list[Tokens]:  # noqa: ARG002
        """One id for each word."""
        return [(BOS, *map(_token, _PIECES.findall(text))) for text in texts]

    def token_of(self, piece: str) -> int | None:
        """The id of a word."""
        return _token(piece) if _PIECES.fullmatch(piece) else None

    def score(self, pack: Pack) -> list[OptionScores]:
        """A number from the prompt's last tokens for each option, once the time is over."""
        began = time.monotonic()
        prefix = len(pack.prefix) - shared_length(self._kept, pack.prefix)
        tokens = prefix + sum(new_tokens(request, len(pack.prefix)) for request in pack.requests)
        self._kept = pack.prefix
        scores = []
        for request in pack.requests:
            assert isinstance(request, ScoreRequest)
            key = zlib.crc32(repr((self._info.model, request.context[-40:])).encode())
            logprobs = [-4 - (key ^ option[-1]) % 1000 / 500 for option in request.continuations]
            scores.append(OptionScores(tuple(logprobs), 0.1))
        self._done += WorkDone(tokens, tokens / self._rate)
        time.sleep(max(0.0, began + tokens / self._rate - time.monotonic()))
        return scores


class SimulatedActor(EngineActor):
    """In place of `EngineActor`: everything but the model's arithmetic, and what a machine says of itself."""

    def describe(self) -> dict[str, Any]:
        """See `EngineActor.describe`."""
        import ray

        return {
            "version": __version__,
            "bindings": "simulated",
            "host": socket.gethostname(),
            "node": ray.get_runtime_context().get_node_id(),
            "pid": os.getpid(),
            "processor": "simulated",
            "gpus": "",
            "kind": "simulated",
            "memory": 2**44,
            "threads": self._threads,
        }

    def _load(self, path: Path, sha256: str, options: EngineOptions, force: bool) -> EngineInfo:  # noqa: ARG002
        if self._engine is None or self._loaded != (sha256, options):
            time.sleep(float(os.environ[LOADING]))
            self._engine = SimulatedEngine(sha256[:16], float(os.environ[RATE]), int(os.environ[PACK]))
            self._loaded = (sha256, options)
        return self._engine.info
