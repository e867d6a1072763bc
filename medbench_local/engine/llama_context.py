"""What llama.cpp computes in: the cache of a loaded model, and decodes into it.

llama.cpp answers misuse with abort(), so every size is checked here before it is handed over.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from medbench_local.engine.base import ROWS, SEQUENCES, Mode
from medbench_local.engine.bindings import LOG, llama_cpp, set_fields
from medbench_local.engine.llama_model import Model
from medbench_local.engine.runs import Runs
from medbench_local.engine.stop import STOP
from medbench_local.errors import CancelledError, EngineError

_F32, _F16 = 0, 1
_ABORTED = 2
"""What llama.cpp returns when it was asked to stop."""


def _flash_attention(mode: Mode) -> int:
    """What llama.cpp calls a mode's choice of attention."""
    types: dict[Mode, int] = {
        "exact": llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED,
        "reproducible": llama_cpp.LLAMA_FLASH_ATTN_TYPE_ENABLED,
        "fast": llama_cpp.LLAMA_FLASH_ATTN_TYPE_AUTO,
    }
    return types[mode]


class Span(NamedTuple):
    """Tokens that follow each other in a decode.

    Attributes:
        tokens: their ids, at least one.
        position: the place of the first one in its sequences.
        sequences: the sequences that they belong to; several only if they are equal so far.
        wanted: of how many of the last tokens the logits are read.
    """

    tokens: Sequence[int]
    position: int
    sequences: Sequence[int]
    wanted: int = 0


class Context:
    """A cache of keys and values and the room to compute in.

    Args:
        model: the loaded model.
        n_ctx: cells of the cache, in tokens, shared by all sequences.
        batch: most tokens of one decode.
        micro_batch: most tokens computed together.
        threads: processor threads.
        mode: "exact" is without flash attention, "reproducible" with it, "fast" with it where the device has it.
        f32_cache: 32 bits for keys and values instead of 16.
        gpu: whether any device but the processor may be used.
        sequences: most sequences at a time. A model with a running state has room for a state of each.
        rows: most tokens of one decode whose logits are read.
        runs: how prompts are cut into decodes; by default only where they are long.
        watch: a C function that llama.cpp calls with what it computes (``cb_eval``), or None.

    Raises:
        EngineError: there is not enough memory, or llama.cpp refuses the settings.
    """

    def __init__(
        self,
        model: Model,
        *,
        n_ctx: int,
        batch: int,
        micro_batch: int,
        threads: int,
        mode: Mode,
        f32_cache: bool,
        gpu: bool,
        sequences: int = SEQUENCES,
        rows: int = ROWS,
        runs: Runs | None = None,
        watch: Any = None,
    ) -> None:
        params = llama_cpp.llama_context_default_params()
        set_fields(
            params,
            n_ctx=n_ctx,
            n_batch=batch,
            n_ubatch=micro_batch,
            n_seq_max=sequences,
            n_outputs_max=rows,
            n_threads=threads,
            n_threads_batch=threads,
            flash_attn_type=_flash_attention(mode),
            type_k=_F32 if f32_cache else _F16,
            type_v=_F32 if f32_cache else _F16,
            kv_unified=True,
            swa_full=True,
            offload_kqv=gpu,
            no_perf=False,
            abort_callback=STOP.callback,
            abort_callback_data=STOP.data,
            op_offload=gpu and mode == "fast",
        )
        if watch is not None:
            set_fields(params, cb_eval=watch)
        LOG.clear()
        self._model = model
        self._watch = watch  # which must live as long as it may be called
        self.runs = runs or Runs(model.vocabulary)
        self.mode = mode
        self.f32_cache = f32_cache
        self.has_state = model.has_state
        self.sequences = sequences
        self.rows = rows
        self.handle: Any = llama_cpp.llama_init_from_model(model.handle, params)
        if not self.handle:
            raise EngineError(
                f"llama.cpp cannot make a context of {n_ctx} tokens: {LOG.problem() or 'no reason given'}.",
                advice="Use a smaller context or a smaller precision.",
            )
        self._memory: Any = llama_cpp.llama_get_memory(self.handle)
        self.n_ctx = int(llama_cpp.llama_n_ctx(self.handle))
        self.batch = int(llama_cpp.llama_n_batch(self.handle))
        self.micro_batch = int(llama_cpp.llama_n_ubatch(self.handle))
        self._make_batch()

    def _make_batch(self) -> None:
        """Arrays that llama.cpp reads a decode from; pointers into them are set once."""
        self._tokens = np.zeros(self.batch, np.int32)
        self._positions = np.zeros(self.batch, np.int32)
        self._counts = np.zeros(self.batch, np.int32)
        self._wanted = np.zeros(self.batch, np.int8)
        self._sequences = np.zeros((self.batch, self.sequences), np.int32)
        width = self._sequences.strides[0]
        start = self._sequences.ctypes.data
        self._pointers = np.arange(self.batch, dtype=np.uintp) * width + start
        self._batch = self._batch_of(token=self._tokens)

    def _batch_of(self, **arrays: NDArray[Any]) -> Any:
        """A batch of the shared arrays and of others by their fields' names."""
        shared: dict[str, NDArray[Any]] = {
            "pos": self._positions,
            "n_seq_id": self._counts,
            "seq_id": self._pointers,
            "logits": self._wanted,
        }
        batch = llama_cpp.llama_batch()
        kinds = dict(batch._fields_)
        for name, array in {**shared, **arrays}.items():
            set_fields(batch, **{name: ctypes.cast(array.ctypes.data, kinds[name])})
        return batch

    def close(self) -> None:
        """Free the context; safe to call twice."""
        if self.handle:
            llama_cpp.llama_free(self.handle)
            self.handle = None

    def decode(self, spans: Sequence[Span]) -> None:
        """Compute the tokens of ``spans`` and add them to their sequences.

        Raises:
            CancelledError: it was asked to stop; the cache is empty then.
            EngineError: llama.cpp could not; likewise.
        """
        count = self._arrange(spans)
        tokens = self._tokens[:count]
        for part, span in self._places(spans):
            tokens[part] = span.tokens
        for token in (int(tokens.min()), int(tokens.max())):
            if not 0 <= token < self._model.vocabulary:
                raise EngineError(
                    f"Token {token} is not in the vocabulary of {self._model.vocabulary} tokens."
                )
        self._compute(self._batch, count)

    @staticmethod
    def _places(spans: Sequence[Span]) -> Iterator[tuple[slice, Span]]:
        """Where the tokens of each span are in the decode."""
        start = 0
        for span in spans:
            end = start + len(span.tokens)
            yield slice(start, end), span
            start = end

    def _arrange(self, spans: Sequence[Span]) -> int:
        """Fill the shared arrays, but for the tokens, for a decode.

        Returns:
            The number of tokens.
        """
        count = sum(len(span.tokens) for span in spans)
        if not 1 <= count <= self.batch:
            raise EngineError(f"{count} tokens cannot be decoded at once; the batch holds 1 to {self.batch}.")
        if sum(span.wanted for span in spans) > self.rows:
            raise EngineError(f"More than {self.rows} rows of logits were asked of one decode.")
        self._wanted[:count] = 0
        for part, span in self._places(spans):
            self._positions[part] = np.arange(span.position, span.position + len(span.tokens))
            self._counts[part] = len(span.sequences)
            self._sequences[part, : len(span.sequences)] = span.sequences
            if span.wanted:
                self._wanted[part][-span.wanted :] = 1
        return count

    def _compute(self, batch: Any, count: int) -> None:
        """Decode the ``count`` first rows of a batch that is filled."""
        set_fields(batch, n_tokens=count)
        LOG.clear()
        # Devices other than the processor do not look at the request to stop within a decode.
        code = _ABORTED if STOP.wanted else llama_cpp.llama_decode(self.handle, batch)
        if code:
            self.clear()
            if code == _ABORTED:
                raise CancelledError("The decode was stopped on request.")
            reason = "the context is full" if code == 1 else LOG.problem() or f"code {code}"
            raise EngineError(f"llama.cpp could not decode {count} tokens: {reason}.")

    def counters(self) -> tuple[int, float]:
        """Tokens decoded so far, and the seconds that this took by llama.cpp's own clock."""
        found = llama_cpp.llama_perf_context(self.handle)
        # llama.cpp counts one where there was none.
        kinds = [(found.n_p_eval, found.t_p_eval_ms), (found.n_eval, found.t_eval_ms)]
        return sum(n for n, ms in kinds if ms > 0), sum(ms for _, ms in kinds) / 1000

    def logits(self, index: int) -> NDArray[np.float32]:
        """Logits of row ``index`` of the last decode: a view, shape (vocabulary,), gone with the next one."""
        found = llama_cpp.llama_get_logits_ith(self.handle, index)
        if not found:
            raise EngineError(f"llama.cpp kept no logits for row {index}.")
        return np.ctypeslib.as_array(found, shape=(self._model.vocabulary,))

    def branch(self, source: int, targets: Iterable[int]) -> None:
        """Make sequences ``targets`` equal to ``source`` without copying anything."""
        for target in targets:
            llama_cpp.llama_memory_seq_cp(self._memory, source, target, -1, -1)

    def cut(self, sequence: int, length: int = 0) -> None:
        """Keep the first ``length`` tokens of a sequence.

        Raises:
            EngineError: this kind of model cannot.
        """
        if not llama_cpp.llama_memory_seq_rm(self._memory, sequence, length, -1):
            raise EngineError("llama.cpp cannot remove part of a sequence of this model.")

    def clear(self) -> None:
        """Empty the cache."""
        llama_cpp.llama_memory_clear(self._memory, True)
