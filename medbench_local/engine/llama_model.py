"""A model that llama.cpp has loaded, and its vocabulary."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medbench_local.engine.base import Bos, Tokens
from medbench_local.engine.bindings import LOG, llama_cpp, set_fields, text_of
from medbench_local.engine.cased_words import CASED, CasedWords
from medbench_local.engine.support import UNCHECKED_STATE, WITH_STATE
from medbench_local.engine.text_preparation import TextPreparation
from medbench_local.engine.word_tokens import BLANK, SPLITS_AT_BLANKS, WordTokens, sentencepiece_allows
from medbench_local.errors import EngineError, UnsupportedArchitectureError
from medbench_local.files.gguf_file import read_texts_of_list
from medbench_local.files.gguf_header import read_gguf_header
from medbench_local.files.text_rules import TEXT_RULES, read_text_rules

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
        self._found_marks: dict[bool, list[str]] | None = None
        self._path = path
        self._splitting = self._stored("tokenizer.ggml.pre")
        self._prepare = self._make_preparation()
        self._cased: CasedWords | None = None
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
        if not self._spells_all_bytes():
            return "has a SentencePiece vocabulary without bytes: llama.cpp would end at a character unknown to it"
        if llama_cpp.llama_model_is_diffusion(self.handle):
            return (
                "writes all tokens of a text at once; only models that write one after another can be scored"
            )
        return ""

    def _spells_all_bytes(self) -> bool:
        """Whether the vocabulary has a token for whatever a text holds; byte-level vocabularies do."""
        if llama_cpp.llama_vocab_type(self._vocab) != llama_cpp.LLAMA_VOCAB_TYPE_SPM:
            return True
        missing = {f"<0x{byte:02X}>" for byte in range(256)}
        for token in range(self.vocabulary):
            if not missing:
                break
            missing.discard(self.entry(token))
        return not missing

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
    def width(self) -> int:
        """Numbers of a row between two layers."""
        return int(llama_cpp.llama_model_n_embd(self.handle))

    @property
    def layers(self) -> int:
        """Number of layers."""
        return int(llama_cpp.llama_model_n_layer(self.handle))

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

    def with_bos(self, tokens: Sequence[int], bos: Bos) -> Tokens:
        """The tokens of a text with its BOS; see `Engine.tokenize`.

        A tokenizer that adds no BOS gets none, unless the text holds one.
        """
        tokens = tuple(tokens)
        if not self.adds_bos or self.bos is None:
            return tokens
        if bos == "once" and tokens[:1] == (self.bos,):
            return tokens
        return (self.bos, *tokens)

    def entry(self, token: int) -> str:
        """The vocabulary's entry of a token, as stored ("▁the", "<0x0A>")."""
        return text_of(llama_cpp.llama_vocab_get_text(self._vocab, token))

    def token_of(self, entry: str) -> int | None:
        """The first token whose stored entry is ``entry``."""
        if self._pieces is None:
            self._pieces = {self.entry(token): token for token in reversed(range(self.vocabulary))}
        return self._pieces.get(entry)

    def piece(self, token: int, *, special: bool = False) -> bytes:
        """The bytes that a token writes; none for control tokens unless ``special``, which gives their own texts."""
        buffer = ctypes.create_string_buffer(256)
        length = llama_cpp.llama_token_to_piece(self._vocab, token, buffer, len(buffer), 0, special)
        if length < 0:
            buffer = ctypes.create_string_buffer(-length)
            length = llama_cpp.llama_token_to_piece(self._vocab, token, buffer, len(buffer), 0, special)
        return buffer.raw[: max(length, 0)]

    def ends(self, token: int) -> bool:
        """Whether generation ends with this token."""
        return bool(llama_cpp.llama_vocab_is_eog(self._vocab, token))

    def _make_preparation(self) -> TextPreparation:
        """What this vocabulary's own tokenizer does to texts first."""
        try:
            rules = read_text_rules(self._stored(TEXT_RULES), self._splitting)
        except (ValueError, KeyError, TypeError) as error:
            raise EngineError(
                f"{self._path}: the key {TEXT_RULES} is damaged, or of a newer version of this program."
            ) from error
        spm = llama_cpp.llama_vocab_type(self._vocab) == llama_cpp.LLAMA_VOCAB_TYPE_SPM
        return TextPreparation(rules, lambda special: self._marks[special], sentencepiece=spm)

    def tokenize(self, text: str, *, special: bool) -> list[int]:
        """Token ids of a text, without BOS or EOS, as the model's own tokenizer gives them (`TextRules`).

        Args:
            text: tokenised as a whole.
            special: whether the text of control tokens becomes control tokens.
        """
        _check_text(text)
        text = self._prepare(text, special)
        if self._before_words > 0:
            self._before_words -= len(text)
            if self._before_words <= 0:
                self._words = self._make_words()
        if self._words is not None:
            return self._words(text, special)
        return list(self.tokens_of_whole(text, special))

    def tokens_of_whole(self, text: str, special: bool) -> Tokens:
        """Token ids of a prepared text that is not cut into words."""
        if self._splitting not in CASED:
            return self._tokens_of(text.encode(), special)
        if self._cased is None:
            self._cased = CasedWords(self._splitting, self._merges, self.token_of)
        tokens: list[int] = []
        for place, piece in enumerate(self._prepare.pieces(text, special)):
            tokens += self._tokens_of(piece.encode(), special) if place % 2 else self._cased(piece)
        return tuple(tokens)

    def _merges(self) -> list[str]:
        """The file's merges, which llama.cpp does not give."""
        merges = read_gguf_header(self._path).lists["tokenizer.ggml.merges"]
        return read_texts_of_list(self._path, merges)

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
        elif kind != llama_cpp.LLAMA_VOCAB_TYPE_BPE or self._splitting not in SPLITS_AT_BLANKS:
            return None
        return WordTokens(
            self.tokens_of_whole,
            blank_first=blank_first,
            always=self._marks[False],
            control=self._marks[True],
        )

    @property
    def _marks(self) -> dict[bool, list[str]]:
        """Texts of the tokens that are found in a text before anything else, without and with control tokens."""
        if self._found_marks is None:
            control = llama_cpp.LLAMA_TOKEN_ATTR_CONTROL | llama_cpp.LLAMA_TOKEN_ATTR_UNKNOWN
            own = llama_cpp.LLAMA_TOKEN_ATTR_USER_DEFINED
            kinds = [llama_cpp.llama_vocab_get_attr(self._vocab, token) for token in range(self.vocabulary)]
            # one that is both is found only where control tokens are
            self._found_marks = {
                False: [self.entry(i) for i, kind in enumerate(kinds) if kind & own and not kind & control],
                True: [self.entry(i) for i, kind in enumerate(kinds) if kind & (own | control)],
            }
        return self._found_marks

    @property
    def control_texts(self) -> list[str]:
        """Texts of the control tokens, which are found in a text only where that is asked for."""
        always = set(self._marks[False])
        return [text for text in self._marks[True] if text and text not in always]

    def _stored(self, key: str) -> str:
        """A text of the file's metadata; "" if there is none."""
        size = 256
        for _ in range(2):
            buffer = ctypes.create_string_buffer(size)
            length = llama_cpp.llama_model_meta_val_str(self.handle, key.encode(), buffer, size)
            if length < size:
                break
            size = length + 1
        return text_of(buffer.value) if length >= 0 else ""


def _check_text(text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise EngineError(f"A text is not valid Unicode at character {error.start}.") from error
