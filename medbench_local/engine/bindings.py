"""llama.cpp through ctypes: the only place that touches llama_cpp's structures and pointers.

llama.cpp answers misuse with abort(), so every size is checked here before it is handed over.
"""

from __future__ import annotations

import ctypes
import os
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from medbench_local.engine.base import ROWS

os.environ.setdefault("GGML_NO_BACKTRACE", "1")  # an abort would start a debugger otherwise

import llama_cpp

from medbench_local.errors import EngineError, UnsupportedArchitectureError

SEQUENCES = 64
"""Sequences of every context: a decoded prefix and 63 branches."""


_F32, _F16 = 0, 1
_WARNING, _ERROR, _CONTINUED = 3, 4, 5  # as in ggml.h; a comment in llama_cpp has them wrong


class Log:
    """What llama.cpp last said; without it, llama.cpp would write to the terminal."""

    def __init__(self, lines: int = 200) -> None:
        self._lines: deque[tuple[int, str]] = deque(maxlen=lines)
        self._stream: TextIO | None = None
        self._budget = 1000
        self._callback = llama_cpp.llama_log_callback(self._take)
        llama_cpp.llama_log_set(self._callback, ctypes.c_void_p(0))

    def _take(self, level: int, text: bytes, _data: object) -> None:
        decoded = text.decode("utf-8", "replace")
        if level == _CONTINUED and self._lines:
            before, start = self._lines.pop()
            self._lines.append((before, start + decoded))
        else:
            self._lines.append((level, decoded))
            if self._stream and level in (_WARNING, _ERROR) and self._budget:
                self._budget -= 1
                self._stream.write(decoded)
                self._stream.flush()

    def echo(self, stream: TextIO) -> None:
        """Write warnings and errors to ``stream`` as well, a thousand of them at most."""
        self._stream = stream

    def clear(self) -> None:
        """Forget everything."""
        self._lines.clear()

    def lines(self) -> list[str]:
        """The last lines of any level."""
        return [text.strip() for _, text in self._lines if text.strip(" .\n")]

    def problem(self) -> str:
        """Errors, or else warnings, in llama.cpp's own words, on one line; empty if there were none."""
        for wanted in (_ERROR, _WARNING):
            said = [text.strip() for level, text in self._lines if level == wanted and text.strip()]
            if said:
                return " ".join(said)[-600:].rstrip(".")
        return ""


LOG = Log()


def set_fields(structure: Any, **values: object) -> None:
    """Set fields of a ctypes structure, which would itself accept a misspelt name silently.

    Raises:
        EngineError: the installed llama-cpp-python has no such field.
    """
    known = {field[0] for field in structure._fields_}
    for name, value in values.items():
        if name not in known:
            raise EngineError(
                f"llama-cpp-python {llama_cpp.__version__} has no setting {name!r}.",
                advice="Install the version that this package asks for.",
            )
        setattr(structure, name, value)


def versions() -> dict[str, str]:
    """Versions of the bindings and of llama.cpp, and the processor features it was compiled for."""
    return {
        "llama-cpp-python": llama_cpp.__version__,
        "llama.cpp": _text(llama_cpp.llama_version()),
        "system": " ".join(_text(llama_cpp.llama_print_system_info()).split()),
    }


def _text(value: bytes | None) -> str:
    return (value or b"").decode("utf-8", "replace")


def _encoded(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise EngineError(f"A text is not valid Unicode at character {error.start}.") from error


class Model:
    """A loaded GGUF file.

    Args:
        path: the file.
        gpu_layers: layers on the GPU; -1 all, 0 none: then the GPU is not used at all.
        repack: let llama.cpp rearrange the weights for the processor, which makes results depend on how
            many tokens are decoded together.
        vocab_only: load the vocabulary and no weights.

    Raises:
        UnsupportedArchitectureError: llama.cpp does not know the model's architecture.
        EngineError: llama.cpp refuses the file, in its own words.
    """

    def __init__(
        self, path: Path, *, gpu_layers: int = 0, repack: bool = False, vocab_only: bool = False
    ) -> None:
        llama_cpp.llama_backend_init()
        params = llama_cpp.llama_model_default_params()
        set_fields(params, n_gpu_layers=gpu_layers, use_extra_bufts=repack, vocab_only=vocab_only)
        self._no_devices = (ctypes.c_void_p * 1)(None)
        if gpu_layers == 0:
            set_fields(params, devices=ctypes.cast(self._no_devices, ctypes.c_void_p))
        LOG.clear()
        self.handle: Any = llama_cpp.llama_model_load_from_file(os.fsencode(path), params)
        if not self.handle:
            problem = LOG.problem() or "no reason given"
            kind = UnsupportedArchitectureError if "unknown model architecture" in problem else EngineError
            raise kind(f"llama.cpp cannot load {path}: {problem}.")
        self._vocab: Any = llama_cpp.llama_model_get_vocab(self.handle)
        self.vocabulary = int(llama_cpp.llama_vocab_n_tokens(self._vocab))
        self._pieces: dict[str, int] | None = None
        self.architecture_problem = self._find_architecture_problem()

    def _find_architecture_problem(self) -> str:
        if llama_cpp.llama_model_is_recurrent(self.handle) or llama_cpp.llama_model_is_hybrid(self.handle):
            return "keeps a running state instead of a cache, so that questions cannot branch off a prefix"
        if llama_cpp.llama_model_has_encoder(self.handle):
            return "has an encoder; only decoder-only language models can be scored"
        return ""

    def close(self) -> None:
        """Free the model; safe to call twice."""
        if self.handle:
            llama_cpp.llama_model_free(self.handle)
            self.handle = None

    @property
    def description(self) -> str:
        """llama.cpp's one-line description."""
        buffer = ctypes.create_string_buffer(256)
        llama_cpp.llama_model_desc(self.handle, buffer, len(buffer))
        return _text(buffer.value)

    @property
    def file_type(self) -> int:
        """The file's `llama_ftype`."""
        return int(llama_cpp.llama_model_ftype(self.handle))

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return int(llama_cpp.llama_model_n_params(self.handle))

    @property
    def size(self) -> int:
        """Bytes of weights."""
        return int(llama_cpp.llama_model_size(self.handle))

    @property
    def n_ctx_train(self) -> int:
        """Context the model was trained with, in tokens."""
        return int(llama_cpp.llama_model_n_ctx_train(self.handle))

    @property
    def chat_template(self) -> str | None:
        """The Jinja chat template in the file."""
        found = llama_cpp.llama_model_chat_template(self.handle, None)
        return None if found is None else _text(found)

    @property
    def bos(self) -> int | None:
        """Id of the BOS token."""
        return self._special(llama_cpp.llama_vocab_bos(self._vocab))

    @property
    def eos(self) -> int | None:
        """Id of the end-of-sequence token."""
        return self._special(llama_cpp.llama_vocab_eos(self._vocab))

    def _special(self, token: int) -> int | None:
        return token if 0 <= token < self.vocabulary else None

    @property
    def adds_bos(self) -> bool:
        """Whether the tokenizer puts a BOS before every text."""
        return bool(llama_cpp.llama_vocab_get_add_bos(self._vocab))

    def entry(self, token: int) -> str:
        """The vocabulary's entry of a token, as stored ("▁the", "<0x0A>")."""
        return _text(llama_cpp.llama_vocab_get_text(self._vocab, token))

    def token_of(self, entry: str) -> int | None:
        """The first token whose stored entry is ``entry``."""
        if self._pieces is None:
            self._pieces = {self.entry(token): token for token in reversed(range(self.vocabulary))}
        return self._pieces.get(entry)

    def piece(self, token: int) -> bytes:
        """The bytes that a token writes; none for control tokens."""
        buffer = ctypes.create_string_buffer(256)
        length = llama_cpp.llama_token_to_piece(self._vocab, token, buffer, len(buffer), 0, False)
        if length < 0:
            buffer = ctypes.create_string_buffer(-length)
            length = llama_cpp.llama_token_to_piece(self._vocab, token, buffer, len(buffer), 0, False)
        return buffer.raw[: max(length, 0)]

    def ends(self, token: int) -> bool:
        """Whether generation ends with this token."""
        return bool(llama_cpp.llama_vocab_is_eog(self._vocab, token))

    def tokenize(self, text: str, *, special: bool) -> list[int]:
        """Token ids of a text, without BOS or EOS.

        Args:
            text: tokenised as a whole.
            special: whether the text of control tokens becomes control tokens.
        """
        data = _encoded(text)
        room = len(data) + 8
        for _ in range(2):
            buffer = (llama_cpp.llama_token * room)()
            count = llama_cpp.llama_tokenize(self._vocab, data, len(data), buffer, room, False, special)
            if count >= 0:
                return list(buffer[:count])
            room = -count
        raise EngineError(f"llama.cpp cannot tokenise a text of {len(data)} bytes.")


@dataclass(frozen=True)
class Row:
    """One token of a decode.

    Attributes:
        token: its id.
        position: its place in its sequences.
        sequences: the sequences it belongs to; several only if they are equal so far.
        wanted: whether its logits are read.
    """

    token: int
    position: int
    sequences: Sequence[int]
    wanted: bool = False


class Context:
    """A cache of keys and values and the room to compute in.

    Args:
        model: the loaded model.
        n_ctx: cells of the cache, in tokens, shared by all sequences.
        batch: most tokens of one decode.
        micro_batch: most tokens computed together.
        threads: processor threads.
        exact: without flash attention; otherwise with it where the device has it.
        f32_cache: 32 bits for keys and values instead of 16.
        gpu: whether any device but the processor may be used.

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
        exact: bool,
        f32_cache: bool,
        gpu: bool,
    ) -> None:
        params = llama_cpp.llama_context_default_params()
        set_fields(
            params,
            n_ctx=n_ctx,
            n_batch=batch,
            n_ubatch=micro_batch,
            n_seq_max=SEQUENCES,
            n_outputs_max=ROWS,
            n_threads=threads,
            n_threads_batch=threads,
            flash_attn_type=(
                llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED if exact else llama_cpp.LLAMA_FLASH_ATTN_TYPE_AUTO
            ),
            type_k=_F32 if f32_cache else _F16,
            type_v=_F32 if f32_cache else _F16,
            kv_unified=True,
            swa_full=True,
            offload_kqv=gpu,
            op_offload=gpu and not exact,
        )
        LOG.clear()
        self._model = model
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
        self._sequences = np.zeros((self.batch, SEQUENCES), np.int32)
        width = self._sequences.strides[0]
        start = self._sequences.ctypes.data
        self._pointers = np.array([start + i * width for i in range(self.batch)], np.uintp)
        self._batch = llama_cpp.llama_batch()
        for name, array in (
            ("token", self._tokens),
            ("pos", self._positions),
            ("n_seq_id", self._counts),
            ("seq_id", self._pointers),
            ("logits", self._wanted),
        ):
            kind = dict(self._batch._fields_)[name]
            set_fields(self._batch, **{name: ctypes.cast(array.ctypes.data, kind)})

    def close(self) -> None:
        """Free the context; safe to call twice."""
        if self.handle:
            llama_cpp.llama_free(self.handle)
            self.handle = None

    def decode(self, rows: Sequence[Row]) -> None:
        """Compute ``rows`` and add them to their sequences.

        Raises:
            EngineError: llama.cpp could not; the cache is empty then.
        """
        count = len(rows)
        if not 1 <= count <= self.batch:
            raise EngineError(f"{count} tokens cannot be decoded at once; the batch holds 1 to {self.batch}.")
        if sum(row.wanted for row in rows) > ROWS:
            raise EngineError(f"More than {ROWS} rows of logits were asked of one decode.")
        for i, row in enumerate(rows):
            if not 0 <= row.token < self._model.vocabulary:
                raise EngineError(
                    f"Token {row.token} is not in the vocabulary of {self._model.vocabulary} tokens."
                )
            self._tokens[i] = row.token
            self._positions[i] = row.position
            self._counts[i] = len(row.sequences)
            self._sequences[i, : len(row.sequences)] = row.sequences
            self._wanted[i] = row.wanted
        set_fields(self._batch, n_tokens=count)
        LOG.clear()
        code = llama_cpp.llama_decode(self.handle, self._batch)
        if code:
            self.clear()
            reason = "the context is full" if code == 1 else LOG.problem() or f"code {code}"
            raise EngineError(f"llama.cpp could not decode {count} tokens: {reason}.")

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
