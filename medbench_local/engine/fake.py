"""An engine without a model: scores from a hash, for the tests of other rooms."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Sequence
from functools import lru_cache

from medbench_local.engine.base import (
    Bos,
    Closing,
    EngineInfo,
    GenerateRequest,
    Heard,
    OptionScores,
    Pack,
    ScoreRequest,
    ThinkRequest,
    Tokens,
    Trace,
    WorkDone,
)
from medbench_local.errors import EngineError, WorkerDied

BOS, EOS = 1, 2
VOCABULARY = 3 + 2**30
PLACE = "<image>"
"""What is written where nothing is shown; in a text it is refused, as control-token text is."""
_CONTROL = {"<s>": BOS, "</s>": EOS}
_PIECES = re.compile(r"\w+|\s+|[^\w\s]")
_CONTROL_TEXT = re.compile("(" + "|".join(map(re.escape, _CONTROL)) + ")")


def _hash(*parts: object) -> int:
    return int.from_bytes(hashlib.sha256(repr(parts).encode("utf-8", "surrogatepass")).digest()[:4], "big")


_TEXTS: dict[int, str] = {}
"""The text of every token made so far."""


@lru_cache(maxsize=100_000)
def _token(piece: str) -> int:
    token = 3 + _hash(piece) // 4  # as small as tokens of llama.cpp are
    _TEXTS[token] = piece
    return token


class FakeEngine(Closing):
    """Implements `Engine` deterministically: the same request has the same scores in every process.

    A token is a word, a run of blanks, or one other character; its id is a hash of its text.

    Args:
        model: name; engines of different names score differently.
        n_ctx_train: reported context length; a longer request is refused, as by the real engine.
        logprob: replaces the hash: (context, continuation) to a log-probability of at most 0.
        reply: replaces the hash in generation: context to text.
        thought: replaces what it thinks: context to text, with a marker that closes it or without.
        die_after: number of packs after which the worker "dies", or None.
        numerics: reported as such.
        picture_tokens: ids that a picture takes; 0 for a model that reads text only.
    """

    def __init__(
        self,
        model: str = "fake",
        *,
        n_ctx_train: int = 4096,
        logprob: Callable[[Tokens, Tokens], float] | None = None,
        reply: Callable[[Tokens], str] | None = None,
        thought: Callable[[Tokens], str] | None = None,
        die_after: int | None = None,
        numerics: dict[str, str] | None = None,
        picture_tokens: int = 0,
    ) -> None:
        self.packs = 0
        self.prompts = 0
        self.closed = False
        self._die_after = die_after
        self._logprob = logprob or self._hashed_logprob
        self._reply = reply or self._hashed_reply
        self._thought = thought or self._hashed_thought
        self._info = EngineInfo(
            model=model,
            description="fake 0B F16",
            n_ctx_train=n_ctx_train,
            bos_text="<s>",
            eos_text="</s>",
            device="fake",
            numerics=dict(numerics or {"engine": "fake"}),
            vocabulary=VOCABULARY,
            picture_tokens=picture_tokens,
        )

    @property
    def info(self) -> EngineInfo:
        """See `Engine.info`."""
        return self._info

    @property
    def work(self) -> WorkDone:
        """See `Engine.work`."""
        return WorkDone()

    def tokenize(self, texts: Sequence[str], *, special: bool, bos: Bos = "once") -> list[Tokens]:
        """See `Engine.tokenize`."""
        found = []
        for text in texts:
            tokens = [token for part in self._parts(text, special) for token in part]
            stands = bool(tokens) and tokens[0] == BOS
            found.append(tuple(tokens) if stands and bos == "once" else (BOS, *tokens))
        return found

    def tokenize_parts(
        self, prompts: Sequence[Sequence[str | int | None]], *, special: bool, bos: Bos = "once"
    ) -> list[Tokens]:
        """See `Engine.tokenize_parts`."""
        if not self._info.picture_tokens:
            raise EngineError("The fake engine reads text only.")
        return [self._tokens_of_parts(parts, special, bos) for parts in prompts]

    def _tokens_of_parts(self, parts: Sequence[str | int | None], special: bool, bos: Bos) -> Tokens:
        tokens: list[int] = []
        for part in parts:
            if isinstance(part, str):
                if any(text in part for text in ((PLACE,) if special else (PLACE, *_CONTROL))):
                    raise EngineError(f"Control-token text in {part!r:.80} must not become a token.")
                tokens += [token for piece in self._parts(part, special) for token in piece]
            else:
                nothing = [_token(PLACE)] * self._info.picture_tokens
                tokens += nothing if part is None else range(part, part + self._info.picture_tokens)
        return tuple(tokens) if bos == "once" and tokens[:1] == [BOS] else (BOS, *tokens)

    @staticmethod
    def _parts(text: str, special: bool) -> list[list[int]]:
        pieces = _CONTROL_TEXT.split(text) if special else [text]
        return [
            [_CONTROL[piece]]
            if special and piece in _CONTROL
            else [_token(part) for part in _PIECES.findall(piece)]
            for piece in pieces
        ]

    def token_of(self, piece: str) -> int | None:
        """See `Engine.token_of`."""
        if piece in _CONTROL:
            return _CONTROL[piece]
        return _token(piece) if _PIECES.fullmatch(piece) else None

    def text_sizes(self, token_lists: Sequence[Tokens]) -> list[int]:
        """See `Engine.text_sizes`."""
        texts = ("".join(_TEXTS.get(token, "") for token in tokens) for tokens in token_lists)
        return [len(text.encode("utf-8", "surrogatepass")) for text in texts]

    def spell(self, token_lists: Sequence[Tokens]) -> list[str]:
        """See `Engine.spell`."""
        control = {token: text for text, token in _CONTROL.items()}
        return ["".join(control.get(t) or _TEXTS.get(t, "") for t in tokens) for tokens in token_lists]

    def score(self, pack: Pack) -> list[OptionScores]:
        """See `Engine.score`."""
        self._begin(pack)
        scores = []
        for request in pack.requests:
            if not isinstance(request, ScoreRequest):
                raise EngineError("A pack for scoring holds score requests only.")
            logprobs = tuple(self._logprob(request.context, option) for option in request.continuations)
            scores.append(OptionScores(logprobs, math.fsum(map(math.exp, logprobs))))
        return scores

    def generate(self, pack: Pack) -> list[str]:
        """See `Engine.generate`."""
        self._begin(pack)
        texts = []
        for request in pack.requests:
            if not isinstance(request, GenerateRequest):
                raise EngineError("A pack for generation holds generate requests only.")
            text = self._reply(request.context)
            cuts = [text.find(stop) for stop in request.stop if stop and stop in text]
            texts.append(text[: min(cuts)] if cuts else text)
        return texts

    def think(self, pack: Pack, heard: Heard) -> list[Trace]:
        """See `Engine.think`."""
        self._begin(pack)
        traces = []
        for number, request in enumerate(pack.requests):
            if not isinstance(request, ThinkRequest):
                raise EngineError("A pack to think about holds think requests only.")
            trace = self._trace(request)
            heard(number, len(trace.tokens), trace)
            traces.append(trace)
        return traces

    def _trace(self, request: ThinkRequest) -> Trace:
        text = self._thought(request.context)
        ends = [text.find(marker) + len(marker) for marker in request.close if marker in text]
        tokens = tuple(_token(part) for part in _PIECES.findall(text[: min(ends)] if ends else text))
        if len(tokens) > request.max_tokens:
            return Trace(tokens[: request.max_tokens], "budget")
        return Trace(tokens, "closed" if ends else "ended")

    def _begin(self, pack: Pack) -> None:
        if self.closed:
            raise EngineError("The engine is closed.")
        if self._die_after is not None and self.packs >= self._die_after:
            raise WorkerDied(
                f"The worker of {self._info.model} was killed (it is a fake).", advice="Try again."
            )
        for request in pack.requests:
            if request.context[: len(pack.prefix)] != pack.prefix:
                raise EngineError("A prompt does not begin with its pack's prefix.")
            if len(request.context) > self._info.n_ctx_train:
                raise EngineError(
                    f"A prompt of {len(request.context)} tokens does not fit the context of "
                    f"{self._info.n_ctx_train}."
                )
            size = self._info.picture_tokens
            shown = {
                token - (token - VOCABULARY) % size
                for token in request.context
                if token >= VOCABULARY and size
            }
            if max(request.context) >= VOCABULARY and not shown <= {one.first for one in pack.pictures}:
                raise EngineError("Nothing was said of a picture in a prompt.")
        self.packs += 1
        self.prompts += len(pack.requests)

    def _hashed_logprob(self, context: Tokens, continuation: Tokens) -> float:
        # -3 to -9 a token, so that the mass of 20 options stays below 1.
        return -3 * len(continuation) - 6 * _hash(self._info.model, context, continuation) / 2**32

    def _hashed_reply(self, context: Tokens) -> str:
        return " (" + "ABCD"[_hash(self._info.model, context) % 4] + ")\n\nQuestion"

    def _hashed_thought(self, context: Tokens) -> str:
        words = _hash(self._info.model, context, "thought") % 7
        return "hm " * words + "it is " + "ABCD"[_hash(self._info.model, context) % 4] + "</think>"

    def close(self) -> None:
        """See `Engine.close`."""
        self.closed = True
