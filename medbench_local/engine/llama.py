"""The engine itself: one model in llama.cpp, in this process."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from medbench_local.engine import devices
from medbench_local.engine.base import (
    MOST_THREADS,
    ROWS,
    SEQUENCES,
    Bos,
    Closing,
    EngineInfo,
    EngineOptions,
    GenerateRequest,
    Heard,
    Mode,
    OptionScores,
    Pack,
    ScoreRequest,
    ThinkRequest,
    Tokens,
    Trace,
    WorkDone,
    limits,
    questions_together,
    states_needed,
)
from medbench_local.engine.description import describe
from medbench_local.engine.generation import generate_together
from medbench_local.engine.llama_context import Context
from medbench_local.engine.llama_model import Model
from medbench_local.engine.memory import memory_available, slots_that_fit
from medbench_local.engine.option_scores import score_each, score_many
from medbench_local.engine.packs import groups_that_fit, new_tokens
from medbench_local.engine.prefix import PrefixCache
from medbench_local.engine.state_scores import reusable_prefix, score_by_state
from medbench_local.engine.support import exact_limit, inexact, refuse_unsupported
from medbench_local.engine.thinking import think_all
from medbench_local.engine.threads import default_threads
from medbench_local.errors import EngineError, UnsupportedArchitectureError
from medbench_local.files.gguf_header import read_gguf_header

if TYPE_CHECKING:
    from medbench_local.engine.visual import Visual

SMALLEST_BATCH = 2 * ROWS

FIRST_CONTEXT = 1024
"""Cells of the cache to begin with, in tokens; it grows with the prompts, up to `EngineOptions.n_ctx`.

A cache for the whole trained context of a model costs gigabytes that short prompts never use.
"""


class _Kind(NamedTuple):
    """Of a context.

    Attributes:
        mode: it decodes as this one does.
        f32_cache: 32 bits for keys and values instead of 16.
        slots: whether it may hold more than one prompt of the largest size.
    """

    mode: Mode
    f32_cache: bool
    slots: bool = False


class LlamaEngine(Closing):
    """Implements `Engine` with llama.cpp in this process, which llama.cpp may abort: see `start_engine`.

    Args:
        path: a GGUF file.
        options: how to load and decode.

    Raises:
        UnsupportedArchitectureError: llama.cpp does not know the model's architecture, or it cannot be scored.
        InputError: what it sees pictures with is damaged, or belongs to another model.
        EngineError: the model cannot be loaded, or an option makes no sense.
    """

    def __init__(self, path: Path, options: EngineOptions) -> None:
        _check(options)
        header = read_gguf_header(path)
        if not options.vocabulary_only:
            refuse_unsupported(header)
        self._limit = exact_limit(header)
        if self._limit is not None and self._limit.context:
            options = replace(options, n_ctx=min(options.n_ctx, self._limit.context))
        self._path, self._options = path, options
        self._free = memory_available()
        self._thought = False
        self._gpu = gpu = options.gpu_layers != 0 and not options.vocabulary_only and devices.has_gpu()
        self._model = Model(
            path,
            gpu_layers=options.gpu_layers if gpu else 0,
            repack=self._repacks,
            vocab_only=options.vocabulary_only,
        )
        self._threads = options.threads or default_threads(self._model.parameters)
        self._context: Context | None = None
        self._visual: Visual | None = None
        self._earlier, self._started = WorkDone(), time.process_time()
        try:
            if self._model.architecture_problem:
                raise UnsupportedArchitectureError(f"{path} {self._model.architecture_problem}.")
            if options.vision:
                self._visual = self._opened(Path(options.vision))
            if not options.vocabulary_only:
                # No larger than the first context of a GPU would its micro-batch be: it may decide bits there.
                first = max(FIRST_CONTEXT, limits(options.mode, gpu=gpu).micro_batch)
                self._make_context(min(options.n_ctx, first), self._to_score)
            self._info = describe(
                self._model,
                options,
                path=path,
                gpu=gpu,
                threads=self._threads,
                repacks=self._repacks,
                limit=self._limit,
                thinking=self._describe_thinking(),
                visual=self._visual,
            )
        except BaseException:
            self.close()
            raise

    def _opened(self, vision: Path) -> Visual:
        """What the model sees pictures with, once a try has shown that it does."""
        from medbench_local.engine.visual import open_visual  # text alone needs none of what this imports

        visual = open_visual(vision, self._model, self._options, self._threads)
        visual.check(self._settings(SMALLEST_BATCH, self._with_pictures))
        return visual

    @property
    def _with_pictures(self) -> _Kind:
        """Every mode decodes a model with pictures as the exact one does: one prompt at once, no flash attention."""
        return _Kind("exact", self._options.cache == "f32" and self._options.mode != "fast")

    @property
    def _to_score(self) -> _Kind:
        """The context to score in.

        In the mode "reproducible" 16 bits change no bit and take half the memory, which thinking makes large.
        """
        if self._options.vision:
            return self._with_pictures
        mode = self._options.mode
        narrow = mode == "fast" or (mode == "reproducible" and self._thought)
        return _Kind(mode, self._options.cache == "f32" and not narrow)

    @property
    def _to_generate(self) -> _Kind:
        if self._options.vision:
            return self._with_pictures
        mode = self._options.mode
        return _Kind("fast" if mode == "fast" else "exact", self._options.cache == "f32" and mode != "fast")

    @property
    def _to_think(self) -> _Kind:
        """As the mode scores, keys and values have 32 bits in "exact" only."""
        mode = self._options.mode
        if mode == "fast" and not self._options.vision:
            return _Kind("fast", f32_cache=False, slots=True)
        return _Kind("exact", self._options.cache == "f32" and mode == "exact")

    def _make_context(self, n_ctx: int, kind: _Kind) -> None:
        """A new context of at least ``n_ctx`` tokens in place of the one there was."""
        if self._context is not None:
            self._earlier += WorkDone(*self._context.counters())
            self._context.close()
            self._context = None
        settings = self._settings(n_ctx, kind)
        visual = self._visual
        self._context = Context(self._model, **settings) if visual is None else visual.context(**settings)
        self._kind = kind
        self._cache = PrefixCache(self._context)

    def _settings(self, n_ctx: int, kind: _Kind) -> dict[str, Any]:
        """What a context is made with."""
        size = max(n_ctx, SMALLEST_BATCH)
        batch = min(self._options.batch_tokens, size)
        most = limits(kind.mode, gpu=self._gpu)
        micro_batch = min(batch, most.micro_batch)
        return {
            "n_ctx": size,
            "batch": batch if kind.mode == "fast" else micro_batch,
            "micro_batch": micro_batch,
            "threads": self._threads,
            "mode": kind.mode,
            "f32_cache": kind.f32_cache,
            "gpu": self._gpu,
            "sequences": states_needed(self._options)
            if self._model.has_state
            else min(batch, most.sequences),
            "rows": min(batch, most.rows),
        }

    def _describe_thinking(self) -> str:
        options, kind = self._options, self._to_think
        alone = ", as in the exact mode" if options.mode == "reproducible" else ""
        together = f"up to {options.parallel}" if kind.slots else "1"
        return f"{together} at once{alone}, {'f32' if kind.f32_cache else 'f16'} cache"

    @property
    def _repacks(self) -> bool:
        return self._options.mode == "fast" and self._options.repack and not self._options.vision

    @property
    def info(self) -> EngineInfo:
        """See `Engine.info`."""
        return self._info

    @property
    def work(self) -> WorkDone:
        """See `Engine.work`; by llama.cpp's own counters."""
        tokens, seconds = (0, 0.0) if self._context is None else self._context.counters()
        return self._earlier + WorkDone(tokens, seconds, time.process_time() - self._started)

    def tokenize(self, texts: Sequence[str], *, special: bool, bos: Bos = "once") -> list[Tokens]:
        """See `Engine.tokenize`."""
        return [tokenize(self._model, text, special=special, bos=bos) for text in texts]

    def tokenize_parts(
        self, prompts: Sequence[Sequence[str | int | None]], *, special: bool, bos: Bos = "once"
    ) -> list[Tokens]:
        """See `Engine.tokenize_parts`."""
        if self._visual is None:
            raise EngineError(f"{self._path} reads text only.", advice="Choose a task without pictures.")
        return self._visual.tokenize(prompts, special=special, bos=bos)

    def token_of(self, piece: str) -> int | None:
        """See `Engine.token_of`."""
        return self._model.token_of(piece)

    def text_sizes(self, token_lists: Sequence[Tokens]) -> list[int]:
        """See `Engine.text_sizes`."""
        return [sum(len(self._model.piece(token)) for token in tokens) for tokens in token_lists]

    def score(self, pack: Pack) -> list[OptionScores]:
        """See `Engine.score`."""
        requests = [request for request in pack.requests if isinstance(request, ScoreRequest)]
        context = self._begin(pack, len(requests), "score", self._to_score)
        prefix = len(pack.prefix)
        with self._tidy():
            if self._model.has_state:
                prefix = reusable_prefix(requests, prefix, self._cache.least_rows)
                return [score_by_state(request, prefix, context, self._cache) for request in requests]
            if self._options.mode == "fast" and self._visual is None:
                together = questions_together(self._options, gpu=self._gpu)
                return score_many(requests, prefix, together, context, self._cache, ahead=self._gpu)
            return score_each(requests, prefix, context, self._cache)

    def generate(self, pack: Pack) -> list[str]:
        """See `Engine.generate`.

        The mode "reproducible" generates as "exact" does: tokens come one by one, and with flash attention their bits
        would depend on the threads. `EngineOptions.parallel` requests run at once, or as many as the context holds,
        and in one such group the last bits of one request may depend on the others: equal packs give equal texts.
        """
        requests = [request for request in pack.requests if isinstance(request, GenerateRequest)]
        context = self._begin(pack, len(requests), "generate", self._to_generate)
        prefix, room = len(pack.prefix), self._options.n_ctx
        texts: list[str] = []
        with self._tidy():
            for group in groups_that_fit(requests, prefix, self._options.parallel, room):
                needed = prefix + sum(new_tokens(request, prefix) for request in group)
                self._refuse_more(needed, "one prompt and its continuation")
                context = self._grown(needed)
                texts += generate_together(group, prefix, self._model, context, self._cache)
        return texts

    def think(self, pack: Pack, heard: Heard) -> list[Trace]:
        """See `Engine.think`.

        One request at a time, as the mode "exact" decodes: what is asked beside it changes no bit. In the mode "fast"
        `EngineOptions.parallel` at once, as far as memory allows, each followed by the next when it is done.
        """
        requests = [request for request in pack.requests if isinstance(request, ThinkRequest)]
        self._thought = True
        kind = self._to_think
        context = self._begin(pack, len(requests), "think about", kind)
        for request in requests:
            self._refuse_more(_room(request), "a prompt and the thinking about it")
        if not requests:
            return []
        slots = min(self._options.parallel, len(requests)) if kind.slots else 1
        beginning = pack.prefix[: self._cache.rest([one.context for one in requests], len(pack.prefix))]
        context = self._with_slots([_room(request) for request in requests], len(beginning), slots)
        with self._tidy():
            return think_all(requests, beginning, slots, self._model, context, self._cache, heard)

    def _with_slots(self, rooms: Sequence[int], shared: int, slots: int) -> Context:
        """The context with room for as many of the largest requests at once as there is memory for.

        Args:
            rooms: tokens of each request, what it may write included.
            shared: tokens that all of them have in common.
            slots: as many at most.
        """
        assert self._context is not None
        own = sorted((room - shared for room in rooms), reverse=True)
        cells = [shared + sum(own[:count]) for count in range(1, slots + 1)]
        if self._limit is not None and self._limit.context:  # beyond which positions would be stretched
            cells = [count for count in cells if count <= self._limit.context] or cells[:1]
        held = self._context.n_ctx if self._kind.slots else 0
        if cells[-1] > max(held, cells[0]):
            del cells[slots_that_fit(self._path, self._options, cells, self._free) :]
        while len(cells) > 1 and cells[-1] > held:
            try:
                self._make_context(cells[-1], self._kind)
                break
            except EngineError:  # less is there than was estimated, or on another device
                cells.pop()
        return self._grown(cells[0])

    def spell(self, token_lists: Sequence[Tokens]) -> list[str]:
        """See `Engine.spell`; bytes that are no text become U+FFFD."""
        piece, most = self._model.piece, self._model.vocabulary
        for token in (token for tokens in token_lists for token in tokens):
            if not 0 <= token < most:
                raise EngineError(f"Token {token} is not in the vocabulary of {most} tokens.")
        return [
            b"".join(piece(token, special=True) for token in tokens).decode("utf-8", "replace")
            for tokens in token_lists
        ]

    def _begin(self, pack: Pack, fitting: int, doing: str, kind: _Kind) -> Context:
        """Refuse a pack that cannot be computed, before anything is; the context to do it in, of this kind."""
        if self._options.vocabulary_only:
            raise EngineError(f"Of {self._info.model} only the vocabulary is loaded.")
        if self._context is None:
            raise EngineError(f"The engine of {self._info.model} is closed.")
        if fitting != len(pack.requests):
            raise EngineError(f"A pack to {doing} holds requests of another kind.")
        if pack.pictures and self._visual is None:
            raise EngineError(f"{self._path} reads text only.", advice="Choose a task without pictures.")
        if self._visual is not None and self._visual.learn(pack.pictures):
            self._cache.forget()
        needed = 0
        for request in pack.requests:
            if not request.context:
                raise EngineError("A prompt without any token cannot be continued.")
            if self._visual is not None:
                self._visual.refuse(request.context)
            if request.context[: len(pack.prefix)] != pack.prefix:
                raise EngineError("A prompt does not begin with its pack's prefix.")
            self._refuse_inexact(request)
            if isinstance(request, ScoreRequest):
                if not request.continuations or not all(request.continuations):
                    raise EngineError("A prompt has no continuation to score, or an empty one.")
                for token in (token for tokens in request.continuations for token in tokens):
                    if not 0 <= token < self._model.vocabulary:
                        raise EngineError(
                            f"Token {token} is not in the vocabulary of {self._model.vocabulary} tokens."
                        )
                longest = max(map(len, request.continuations)) - 1
                own = max(len(request.context) + longest, _cells(request))
                self._refuse_more(own, f"a prompt of {len(request.context)} tokens with its options")
                needed = max(needed, own)
        if self._options.mode == "fast" and self._visual is None:
            # Which questions are decoded together must not depend on how far the cache has grown.
            room = len(pack.prefix) + self._options.batch_tokens
            # Cells of the cache, of which no question has more than it would have alone.
            more = self._gpu and (self._limit is None or not self._limit.context)
            needed = max(needed, room if more else min(room, self._options.n_ctx))
        if self._kind != kind:
            # One for slots may be larger than questions that are scored together may depend on.
            self._make_context(min(self._context.n_ctx, self._options.n_ctx), kind)
        return self._grown(needed)

    def _refuse_more(self, needed: int, what: str) -> None:
        if needed > self._options.n_ctx:
            raise EngineError(
                f"{needed} tokens are needed for {what}, but the context holds {self._options.n_ctx}.",
                advice="Load the model with a larger context, or shorten the prompt.",
            )

    def _refuse_inexact(self, request: ScoreRequest | GenerateRequest | ThinkRequest) -> None:
        limit = self._limit
        if limit is None:
            return
        if isinstance(request, ScoreRequest):
            more = max(map(len, request.continuations), default=1)
        else:
            more = request.max_tokens
        length = len(request.context) + more - 1
        if length > limit.tokens:
            raise inexact("a prompt", length, limit.tokens, limit.reason)

    def _grown(self, needed: int) -> Context:
        """The context with room for ``needed`` tokens, at most `EngineOptions.n_ctx`."""
        held = 0 if self._context is None else self._context.n_ctx
        if self._context is None or needed > held:
            roomy = -(-max(needed, 3 * held // 2) // 256) * 256
            self._make_context(min(roomy, max(needed, self._options.n_ctx)), self._kind)
            assert self._context is not None
        return self._context

    @contextmanager
    def _tidy(self) -> Iterator[None]:
        """Start afresh after a failure: what the branches hold is unknown then."""
        try:
            yield
        except BaseException:
            self._cache.forget()
            raise

    def close(self) -> None:
        """See `Engine.close`."""
        if self._context is not None:
            self._context.close()
            self._context = None
        self._model.close()


def tokenize(model: Model, text: str, *, special: bool, bos: Bos) -> Tokens:
    """Token ids of a text with its BOS; see `Engine.tokenize`."""
    return model.with_bos(model.tokenize(text, special=special), bos)


def _cells(request: ScoreRequest) -> int:
    """Most cells of the cache that the request occupies; long continuations are scored piece by piece."""
    rows = sum(min(len(continuation), ROWS) - 1 for continuation in request.continuations)
    return len(request.context) + min(rows, ROWS - 1)


def _room(request: ThinkRequest) -> int:
    """Cells of the cache that a request takes at most."""
    return len(request.context) + request.max_tokens


def _check(options: EngineOptions) -> None:
    if options.batch_tokens < SMALLEST_BATCH:
        raise EngineError(f"The batch must be at least {SMALLEST_BATCH} tokens, not {options.batch_tokens}.")
    if not 1 <= options.parallel < SEQUENCES:
        raise EngineError(f"1 to {SEQUENCES - 1} questions can be decoded at once, not {options.parallel}.")
    most = limits("fast", gpu=True).sequences - 1
    if options.questions is not None and not 1 <= options.questions <= most:
        raise EngineError(f"1 to {most} questions can be decoded at once, not {options.questions}.")
    if options.n_ctx < 1:
        raise EngineError(f"The context must be at least 1 token, not {options.n_ctx}.")
    if options.threads is not None and not 1 <= options.threads <= MOST_THREADS:
        raise EngineError(f"1 to {MOST_THREADS} threads can be used, not {options.threads}.")
