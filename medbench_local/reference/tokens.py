"""A checkpoint's own tokenizer, through the library it was made with: ids as llama.cpp makes them.

SentencePiece files are read with sentencepiece, tokenizer.json with transformers. Like the engine, a text is
tokenised as a whole and as written, the text of control tokens stands for them only where asked for, and the
BOS is put in front by the engine's rule. None of the engine's code is used: it is what the reference checks. Which
tokens are special is read from the checkpoint as the conversion reads it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase
from typing import Any, Literal

from gguf import TokenType
from sentencepiece import SentencePieceProcessor

from medbench_local.acquire.conversion.checkpoint import CheckpointFolder, GrownTokenizer
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
        spells: the bytes of UTF-8 text that a token writes, a control token its own text.
        control: the text of every control token.
        letters: ids of the vocabulary entries "A", "B", ... as far as each is one token of its own.
        ends: ids of tokens that end a text.
    """

    bos: int | None
    adds_bos: bool
    bare: Callable[[str, bool], list[int]]
    spells: Callable[[int], bytes]
    control: tuple[str, ...]
    letters: Tokens
    ends: Tokens = ()

    def size(self, token: int) -> int:
        """How many bytes of text a token spells."""
        return len(self.spells(token))

    def __call__(self, text: str, *, special: bool, bos: Bos = "once") -> Tokens:
        """Token ids with the BOS: once, or twice where the text has one of its own."""
        tokens = tuple(self.bare(text, special))
        if not self.adds_bos or self.bos is None or (bos == "once" and tokens[:1] == (self.bos,)):
            return tokens
        return (self.bos, *tokens)


def read_tokenizer(folder: Path, rows: int, added: Mapping[int, str] | None = None) -> Tokenizer:
    """The tokenizer of a checkpoint folder.

    Args:
        folder: with tokenizer.model or tokenizer.json.
        rows: of the embedding matrix.
        added: control tokens that are not the folder's own, or that are whatever its files say, by their ids; with
            them, it has a tokenizer.model.

    Raises:
        InputError: a tokenizer file is missing or damaged.
        AcquireError: a tokenizer that llama.cpp cannot follow.
    """
    files: Path | GrownTokenizer = folder
    if added:
        files = GrownTokenizer(folder, min(added), dict(added))
    vocabulary = read_vocabulary(files, rows, CheckpointFolder(folder).config)
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
        bare, spells = _sentencepiece(folder / "tokenizer.model", vocabulary)
    elif added:
        raise InputError(folder, "", "no tokenizer.model", advice="Download the tokenizer's files too.")
    else:
        bare, spells = _transformers(folder, pieces=vocabulary.model == "llama")
    return Tokenizer(
        bos=vocabulary.special.ids.get("bos"),
        adds_bos=vocabulary.special.add.get("bos", True),
        bare=bare,
        spells=spells,
        control=tuple(token.text for token in vocabulary.tokens if token.type == TokenType.CONTROL),
        letters=tuple(letters),
        ends=tuple(vocabulary.special.ids[kind] for kind in ("eos",) if kind in vocabulary.special.ids),
    )


def _sentencepiece(
    path: Path, vocabulary: Vocabulary
) -> tuple[Callable[[str, bool], list[int]], Callable[[int], bytes]]:
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

    def spells(token: int) -> bytes:
        if token in texts:
            return texts[token].encode("utf-8")
        piece = processor.IdToPiece(token)
        return _byte(piece) if processor.IsByte(token) else str(piece).replace("▁", " ").encode("utf-8")

    return bare, spells


def _byte(piece: str) -> bytes:
    """Of a piece like "<0x0A>"."""
    return bytes([int(piece[3:5], 16)])


def _splitter(tokens: dict[str, int]) -> Callable[[str], list[str]]:
    if not tokens:
        return lambda text: [text] if text else []
    longest_first = sorted(tokens, key=len, reverse=True)
    pattern = re.compile("(" + "|".join(map(re.escape, longest_first)) + ")")
    return lambda text: [part for part in pattern.split(text) if part]


def _transformers(
    folder: Path, *, pieces: bool = False
) -> tuple[Callable[[str, bool], list[int]], Callable[[int], bytes]]:
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

    def spells(token: int) -> bytes:
        if token in added:
            return str(added[token].content).encode("utf-8")
        piece = tokenizer.backend_tokenizer.id_to_token(token)
        if piece is None:
            return b""  # rows beyond the vocabulary
        if not pieces:
            return bytes(_LEVELS[character] for character in piece)
        return _byte(piece) if _BYTE.fullmatch(piece) else piece.replace("▁", " ").encode("utf-8")

    return bare, spells


def _byte_level() -> dict[str, int]:
    """The byte that each character of a byte-level vocabulary stands for, by the rule of GPT-2.

    Printable characters of Latin-1 stand for their own codes; the other bytes have the characters from code 256 on.
    """
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(code): code for code in printable} | {chr(256 + i): byte for i, byte in enumerate(others)}


_LEVELS = _byte_level()
