"""A checkpoint's own tokenizer, through the library it was made with: ids as llama.cpp makes them.

SentencePiece files are read with sentencepiece, tokenizer.json with transformers. Like the engine, a text is
tokenised as a whole and as written, the text of control tokens stands for them only where asked for, and the
BOS is put in front by the engine's rule. None of the engine's code is used: it is what the reference checks. Which
tokens are special is read from the checkpoint as the conversion reads it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase
from typing import Any, Literal

from gguf import TokenType
from sentencepiece import SentencePieceProcessor

from medbench_local.acquire.conversion.checkpoint import CheckpointFolder
from medbench_local.acquire.conversion.vocabulary import Vocabulary, read_vocabulary
from medbench_local.errors import InputError
from medbench_local.files.text_rules import TextRules

Tokens = tuple[int, ...]
_BYTE = re.compile("<0x[0-9A-F]{2}>")
Bos = Literal["once", "twice"]
"""BOS tokens before a text that begins with one of its own."""


@dataclass(frozen=True)
class Tokenizer:
    """Makes token ids of texts.

    Attributes:
        bos: id of the BOS token, or None.
        adds_bos: whether it stands before every text.
        bare: token ids of a text without its BOS; told whether control-token text stands for the tokens.
        size: bytes of UTF-8 text that a token spells.
        control: the text of every control token.
        letters: ids of the vocabulary entries "A", "B", ... as far as each is one token of its own.
    """

    bos: int | None
    adds_bos: bool
    bare: Callable[[str, bool], list[int]]
    size: Callable[[int], int]
    control: tuple[str, ...]
    letters: Tokens

    def __call__(self, text: str, *, special: bool, bos: Bos = "once") -> Tokens:
        """Token ids with the BOS: once, or twice where the text has one of its own."""
        tokens = tuple(self.bare(text, special))
        if not self.adds_bos or self.bos is None or (bos == "once" and tokens[:1] == (self.bos,)):
            return tokens
        return (self.bos, *tokens)


def read_tokenizer(folder: Path, rows: int) -> Tokenizer:
    """The tokenizer of a checkpoint folder.

    Args:
        folder: with tokenizer.model or tokenizer.json.
        rows: of the embedding matrix.

    Raises:
        InputError: a tokenizer file is missing or damaged.
        AcquireError: a tokenizer that llama.cpp cannot follow.
    """
    vocabulary = read_vocabulary(folder, rows, CheckpointFolder(folder).config)
    ids = {token.text: i for i, token in enumerate(vocabulary.tokens)}
    letters = []
    for letter in ascii_uppercase:
        if letter not in ids:
            break
        letters.append(ids[letter])
    if (
        vocabulary.model == "llama"
        and vocabulary.rules == TextRules()
        and (folder / "tokenizer.model").is_file()
    ):
        bare, size = _sentencepiece(folder / "tokenizer.model", vocabulary)
    else:
        bare, size = _transformers(folder, pieces=vocabulary.model == "llama")
    return Tokenizer(
        bos=vocabulary.special.ids.get("bos"),
        adds_bos=vocabulary.special.add.get("bos", True),
        bare=bare,
        size=size,
        control=tuple(token.text for token in vocabulary.tokens if token.type == TokenType.CONTROL),
        letters=tuple(letters),
    )


def _sentencepiece(
    path: Path, vocabulary: Vocabulary
) -> tuple[Callable[[str, bool], list[int]], Callable[[int], int]]:
    processor = SentencePieceProcessor()
    processor.LoadFromFile(str(path))
    added = {t.text: i for i, t in enumerate(vocabulary.tokens) if t.type == TokenType.USER_DEFINED}
    control = {
        t.text: i for i, t in enumerate(vocabulary.tokens) if t.type in (TokenType.CONTROL, TokenType.UNKNOWN)
    }
    splitters = {False: _splitter(added), True: _splitter(added | control)}
    ids = added | control

    def bare(text: str, special: bool) -> list[int]:
        # Each stretch between control tokens is a text of its own, with its own leading blank.
        tokens: list[int] = []
        for part in splitters[special](text):
            tokens += (
                [ids[part]] if part in ids and (special or part in added) else processor.EncodeAsIds(part)
            )
        return tokens

    texts = {i: text for text, i in ids.items()}

    def size(token: int) -> int:
        if token in texts:
            return len(texts[token].encode("utf-8"))
        if processor.IsByte(token):
            return 1
        return len(processor.IdToPiece(token).replace("▁", " ").encode("utf-8"))

    return bare, size


def _splitter(tokens: dict[str, int]) -> Callable[[str], list[str]]:
    if not tokens:
        return lambda text: [text] if text else []
    longest_first = sorted(tokens, key=len, reverse=True)
    pattern = re.compile("(" + "|".join(map(re.escape, longest_first)) + ")")
    return lambda text: [part for part in pattern.split(text) if part]


def _transformers(
    folder: Path, *, pieces: bool = False
) -> tuple[Callable[[str, bool], list[int]], Callable[[int], int]]:
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    try:
        tokenizer: Any
        if (folder / "tokenizer.json").is_file():
            tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
        else:
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # the tokenizers library raises bare Exception
        raise InputError(folder / "tokenizer.json", "", f"not a tokenizer ({error})") from error

    def bare(text: str, special: bool) -> list[int]:
        tokenizer.backend_tokenizer.encode_special_tokens = not special
        return list(tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).ids)

    added = tokenizer.backend_tokenizer.get_added_tokens_decoder()

    def size(token: int) -> int:
        if token in added:
            return len(added[token].content.encode("utf-8"))
        piece = tokenizer.backend_tokenizer.id_to_token(token)
        if not pieces:
            return len(piece)  # byte-level: a character stands for a byte
        return 1 if _BYTE.fullmatch(piece) else len(piece.replace("▁", " ").encode("utf-8"))

    return bare, size
