"""Pictures that a model looks at from within (Flamingo): blocks between its layers rewrite what flows through them.

llama.cpp shows each intermediate result to a function that may read and write it (``cb_eval``). Between two layers lies
one row for each token of the micro-batch, in the order of the decode; the gated blocks compute on these rows. A row
looks at the picture of the last tag up to its token.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from medbench_local.engine.base import LEAST_ROWS, EngineOptions
from medbench_local.engine.bindings import llama_cpp
from medbench_local.engine.devices import declare, libraries
from medbench_local.engine.kept import Kept
from medbench_local.engine.llama_context import Context, Span
from medbench_local.engine.llama_model import Model
from medbench_local.engine.picture_prompts import tokenizer_of
from medbench_local.engine.stop import STOP
from medbench_local.engine.visual import Visual, numpy_numerics
from medbench_local.errors import CancelledError, EngineError, InputError
from medbench_local.vision.arithmetic import Floats
from medbench_local.vision.gated_block import TILE, GatedBlocks, Media
from medbench_local.vision.parts import VisionFile
from medbench_local.vision.resampler import Resampler

Rewrite = Callable[[int, Floats], Floats]
"""From the layer that a block stands before, and what goes into it [rows, width], to what goes into it instead."""

_NOTHING = -1
"""What a row looks at before the first picture."""

_TESTED = 24
"""Tokens of the self-test."""


class Residual(Visual):
    """What a model sees pictures with that has gated blocks; see `Visual`.

    Args:
        model: the loaded model.
        file: its blocks and its resampler.
        options: say which features go into the resampler.
        threads: that compute.
    """

    picture_tokens = 1

    def __init__(self, model: Model, file: VisionFile, options: EngineOptions, threads: int) -> None:
        tokenize = tokenizer_of(model, file.parts, file.path)
        shape = file.parts.rows, file.sizes["tower"]
        super().__init__(model, file.path, file.parts.width, shape, tokenize)
        self._file, self._parts = file, file.parts
        if max(file.parts.blocks) >= model.layers:  # of the last layer, only rows that are read are computed
            raise InputError(
                file.path,
                "header",
                f"a block before layer {max(file.parts.blocks)} of a model with {model.layers}",
                advice="It belongs to another model; convert the model again.",
            )
        tag = model.token_of(file.parts.tag)
        assert tag is not None
        self.tag = tag
        self._ln_post = options.vision_ln_post
        self._resampler = Resampler.open(file.path)
        self._blocks = GatedBlocks.open(file.path, threads=threads)
        self._repeats = self._blocks.repeats()
        self._kept: Kept[Media] = Kept(
            self.kept, lambda one: sum(array.nbytes for array in (*one.keys, *one.values))
        )

    @property
    def blocks(self) -> tuple[int, ...]:
        """The layers that blocks stand before."""
        return self._parts.blocks

    def context(self, **settings: Any) -> Context:
        """See `Visual.context`."""
        return _ResidualContext(self._model, self, **settings)

    def decides(self) -> dict[str, str]:
        """See `Visual.decides`."""
        return {**numpy_numerics(), "vision_ln_post": self._ln_post}

    def check(self, settings: Mapping[str, Any]) -> None:
        """See `Visual.check`: rows that are written back as they were must change no bit, others must."""
        tokens = [self._model.bos or 0, *range(_TESTED - 1)]
        with_rows: dict[str, Rewrite | None] = {
            "without": None,
            "same": lambda _, x: x,
            "other": lambda _, x: np.ones_like(x),
        }
        found = {}
        for name, rewrite in with_rows.items():
            hook = None if rewrite is None else Hook(self.blocks)
            context = Context(self._model, watch=hook and hook.callback, **settings)
            try:
                if hook is not None and rewrite is not None:
                    hook.begin(_TESTED, self._model.width, rewrite)
                context.decode([Span(tokens, 0, [0], wanted=1)])
                if hook is not None:
                    hook.end()
                found[name] = context.logits(_TESTED - 1).tobytes()
            finally:
                context.close()
        if found["same"] != found["without"] or found["other"] == found["without"]:
            raise EngineError(
                "This build of llama.cpp, or this device, does not let gated blocks look at pictures as they must.",
                advice="Compute on the processor: `gpu_layers=0`.",
            )

    def look(self, firsts: Sequence[int], position: int) -> Rewrite:
        """How rows are rewritten.

        Args:
            firsts: for each row the id of what it looks at, or -1.
            position: of the first row in its sequence.
        """
        order = [first for first in dict.fromkeys(firsts) if first != _NOTHING]
        units = [tuple(map(self._media, self.features_of(first))) for first in order]
        numbers = {first: number for number, first in enumerate(order)}
        seen = np.array([numbers.get(first, -1) for first in firsts])
        # Where a row's bits depend on its place in a tile, each has the same one in every decode that may be cut.
        ahead = 0 if self._repeats or len(firsts) < LEAST_ROWS["exact"] else position % TILE
        seen = np.concatenate((np.full(ahead, -1), seen))

        def rewrite(block: int, x: Floats) -> Floats:
            padded = np.concatenate((np.zeros((ahead, x.shape[1]), np.float32), x)) if ahead else x
            return self._blocks.apply(block, padded, units, seen)[ahead:]

        return rewrite

    def _media(self, path: str) -> Media:
        return self._kept.get(
            path, lambda: self._blocks.media(self._resampler.latents(self.read(path), self._ln_post))
        )


class Hook:
    """The function that llama.cpp calls for each intermediate result; it must live as long as the context.

    Args:
        blocks: the layers before which rows are rewritten.
    """

    def __init__(self, blocks: Iterable[int]) -> None:
        self._blocks = {f"l_out-{block - 1}".encode(): block for block in blocks}
        self._library = _tensor_functions()
        self._rewrite: Rewrite | None = None
        self._shape = (0, 0)
        self._done = 0
        self._error: BaseException | None = None
        self.callback = llama_cpp.ggml_backend_sched_eval_callback(self._called)

    def begin(self, count: int, width: int, rewrite: Rewrite) -> None:
        """Rewrite rows of the next decode.

        Args:
            count: of them.
            width: numbers of each.
            rewrite: how.
        """
        self._shape, self._rewrite = (count, width), rewrite
        self._done, self._error = 0, None

    def end(self) -> None:
        """Stop rewriting.

        Raises:
            BaseException: what went wrong in the function, which llama.cpp would not tell.
            EngineError: it was not called for every block.
        """
        self._rewrite = None
        error, self._error = self._error, None
        if error is not None:
            raise error
        if self._done != len(self._blocks):
            raise EngineError(
                f"llama.cpp showed {self._done} of the {len(self._blocks)} layers before which gated blocks stand."
            )

    def _called(self, tensor: int, ask: bool, _data: object) -> bool:
        """Whether the result is wanted (``ask``), or else whether the decode goes on."""
        block = self._blocks.get(self._library.ggml_get_name(tensor))
        if ask:
            return block is not None and self._rewrite is not None
        try:
            # What is not asked for may be shown nevertheless, as the last of what is computed together.
            if block is not None and self._rewrite is not None:
                self._rewrite_tensor(tensor, block, self._rewrite)
        except BaseException as error:
            self._error = error
            return False
        return True

    def _rewrite_tensor(self, tensor: int, block: int, rewrite: Rewrite) -> None:
        if STOP.wanted:
            raise CancelledError("The decode was stopped on request.")
        rows = np.empty(self._shape, np.float32)
        if self._library.ggml_nbytes(tensor) != rows.nbytes:
            raise EngineError(f"llama.cpp shows other rows before layer {block} than were decoded.")
        self._library.ggml_backend_tensor_get(tensor, rows.ctypes.data, 0, rows.nbytes)
        rows = np.ascontiguousarray(rewrite(block, rows), np.float32)
        self._library.ggml_backend_tensor_set(tensor, rows.ctypes.data, 0, rows.nbytes)
        self._done += 1


class _ResidualContext(Context):
    """A context whose rows look at pictures; it knows at which tags of each sequence which ones are."""

    def __init__(self, model: Model, pictures: Residual, **settings: Any) -> None:
        self._pictures = pictures
        self._hook = Hook(pictures.blocks)
        self._tags: dict[int, list[tuple[int, int]]] = {}
        super().__init__(model, watch=self._hook.callback, **settings)

    def decode(self, spans: Sequence[Span]) -> None:
        """See `Context.decode`; all in one micro-batch."""
        count = sum(len(span.tokens) for span in spans)
        if count > self.micro_batch:
            raise EngineError(f"{count} rows cannot look at pictures at once, only up to {self.micro_batch}.")
        plain: list[Span] = []
        firsts: list[int] = []
        tag, vocabulary = self._pictures.tag, self._model.vocabulary
        for span in spans:
            for position, token in enumerate(span.tokens, span.position):
                if token == tag or token >= vocabulary:
                    shown = (position, _NOTHING if token == tag else token)
                    for sequence in span.sequences:
                        self._tags.setdefault(sequence, []).append(shown)
                tags = self._tags.get(span.sequences[0])
                firsts.append(tags[-1][1] if tags else _NOTHING)
            plain.append(span._replace(tokens=[tag if one >= vocabulary else one for one in span.tokens]))
        self._hook.begin(count, self._model.width, self._pictures.look(firsts, spans[0].position))
        super().decode(plain)
        try:
            self._hook.end()
        except BaseException:
            self.clear()
            raise

    def branch(self, source: int, targets: Iterable[int]) -> None:
        """See `Context.branch`."""
        targets = list(targets)
        super().branch(source, targets)
        for target in targets:
            self._tags[target] = list(self._tags.get(source, ()))

    def cut(self, sequence: int, length: int = 0) -> None:
        """See `Context.cut`."""
        super().cut(sequence, length)
        self._tags[sequence] = [tag for tag in self._tags.get(sequence, ()) if tag[0] < length]

    def clear(self) -> None:
        """See `Context.clear`."""
        super().clear()
        self._tags.clear()


def _tensor_functions() -> Any:
    """ggml's library with the signatures of what reads and writes tensors."""
    _, base = libraries()
    pointer, size = ctypes.c_void_p, ctypes.c_size_t
    declare(base, "ggml_get_name", ctypes.c_char_p, pointer)
    declare(base, "ggml_nbytes", size, pointer)
    declare(base, "ggml_backend_tensor_get", None, pointer, pointer, size, size)
    declare(base, "ggml_backend_tensor_set", None, pointer, pointer, size, size)
    return base
