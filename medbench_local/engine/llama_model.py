"""A model that llama.cpp has loaded, and its vocabulary."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Any

from medbench_local.engine.base import Tokens
from medbench_local.engine.bindings import LOG, llama_cpp, set_fields, text_of
from medbench_local.engine.support import UNCHECKED_STATE, WITH_STATE
from medbench_local.engine.word_tokens import BLANK, SPLITS_AT_BLANKS, WordTokens, sentencepiece_allows
from medbench_local.errors import EngineError, UnsupportedArchitectureError

_FOR_WORDS = 20_000
"""Characters that are tokenised text by text before the vocabulary is read to know whether words will do."""


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
        self._words: WordTokens | None = None
        self._before_words = _FOR_WORDS
        self.has_state = bool(
            llama_cpp.llama_model_is_recurrent(self.handle) or llama_cpp.llama_model_is_hybrid(self.handle)
        )
        """Whether sequences have a running state, which can be copied and emptied but not cut."""
        self.architecture_problem = self._find_architecture_problem()

    def _find_architecture_problem(self) -> str:
        if self.has_state and self._stored("general.architecture") not in WITH_STATE:
            return UNCHECKED_STATE
        if llama_cpp.llama_model_has_encoder(self.handle) or not llama_cpp.llama_model_has_decoder(
            self.handle
        ):
            return "has an encoder; only decoder-only language models can be scored"
        if llama_cpp.llama_model_is_diffusion(self.handle):
            return (
                "writes all tokens of a text at once; only models that write one after another can be scored"
            )
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
        return text_of(buffer.value)

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return int(llama_cpp.llama_model_n_params(self.handle))

    @property
    def n_ctx_train(self) -> int:
        """Context the model was trained with, in tokens."""
        return int(llama_cpp.llama_model_n_ctx_train(self.handle))

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
        return text_of(llama_cpp.llama_vocab_get_text(self._vocab, token))

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
        if self._before_words > 0:
            self._before_words -= len(text)
            if self._before_words <= 0:
                self._words = self._make_words()
        if self._words is not None:
            return self._words(text, special)
        return list(self._tokens_of(data, special))

    def _tokens_of(self, data: bytes, special: bool) -> Tokens:
        """Token ids of a text that is tokenised as a whole."""
        room = len(data) + 8
        for _ in range(2):
            buffer = (llama_cpp.llama_token * room)()
            count = llama_cpp.llama_tokenize(self._vocab, data, len(data), buffer, room, False, special)
            if count >= 0:
                return tuple(buffer[:count])
            room = -count
        raise EngineError(f"llama.cpp cannot tokenise a text of {len(data)} bytes.")

    def _make_words(self) -> WordTokens | None:
        """The tokenizer by words; None for a vocabulary that is not known to allow it."""
        kind = llama_cpp.llama_vocab_type(self._vocab)
        tokens = range(self.vocabulary)
        blank_first = False
        if kind == llama_cpp.LLAMA_VOCAB_TYPE_SPM:
            begun = "".join(map(self.entry, self._tokens_of(b"a", False)))
            blank_first = begun == f"{BLANK}a"
            if begun not in ("a", f"{BLANK}a") or not sentencepiece_allows(map(self.entry, tokens)):
                return None
        elif (
            kind != llama_cpp.LLAMA_VOCAB_TYPE_BPE
            or self._stored("tokenizer.ggml.pre") not in SPLITS_AT_BLANKS
        ):
            return None
        kinds = [llama_cpp.llama_vocab_get_attr(self._vocab, token) for token in tokens]
        control = llama_cpp.LLAMA_TOKEN_ATTR_CONTROL | llama_cpp.LLAMA_TOKEN_ATTR_UNKNOWN
        own = llama_cpp.LLAMA_TOKEN_ATTR_USER_DEFINED
        return WordTokens(
            lambda text, special: self._tokens_of(text.encode(), special),
            blank_first=blank_first,
            always=[self.entry(token) for token in tokens if kinds[token] & own],
            control=[self.entry(token) for token in tokens if kinds[token] & control],
        )

    def _stored(self, key: str) -> str:
        """A text of the file's metadata; "" if there is none."""
        buffer = ctypes.create_string_buffer(256)
        length = llama_cpp.llama_model_meta_val_str(self.handle, key.encode(), buffer, len(buffer))
        return text_of(buffer.value) if length >= 0 else ""


def _encoded(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise EngineError(f"A text is not valid Unicode at character {error.start}.") from error
