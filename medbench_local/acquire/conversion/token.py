"""One entry of a vocabulary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from gguf import TokenType

from medbench_local.errors import InputError
from medbench_local.files.text_rules import TextRules


@dataclass(frozen=True)
class Token:
    """A token as llama.cpp reads it.

    Attributes:
        text: the piece; blanks are "▁" for SentencePiece, bytes are mapped to letters for byte-level BPE.
        type: normal, control (never written as text), user-defined, byte, unused or unknown.
        score: SentencePiece only; pieces with higher scores are merged first.
    """

    text: str
    type: TokenType
    score: float


@dataclass(frozen=True)
class TokenTable:
    """What a tokenizer's own file says, before it is fitted to the embedding.

    Attributes:
        model: "llama" for SentencePiece, "gpt2" for byte-level BPE.
        pre: llama.cpp's name of the rule that splits text before merging.
        tokens: by id, perhaps with holes.
        merges: byte-level BPE only, "a b", most important first.
        add_space_prefix: whether llama.cpp puts a blank before a text; None if its default holds.
        rules: what is done to a text before llama.cpp sees it.
        special: ids of special tokens that the file itself gives, by kind.
        warnings: what a person should know.
    """

    model: Literal["llama", "gpt2"]
    pre: str
    tokens: dict[int, Token]
    merges: tuple[str, ...] = ()
    add_space_prefix: bool | None = None
    rules: TextRules = field(default_factory=TextRules)
    special: Mapping[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


_CONTROL = ("<pad>", "<mask>", "<2mass>", "[@BOS@]")
_CONTROL_ENDS = (("<|", "|>"), ("<｜", "｜>"), ("<unused", ">"))


def added_token(text: str, *, special: bool, byte_level: bool = False) -> Token:
    """A token that was added to a trained tokenizer.

    Some models (Gemma, Cohere's, DeepSeek's) do not mark as special what plainly is; llama.cpp's converter takes the
    same few for special.

    Args:
        text: as it stands in texts.
        special: whether the tokenizer marks it.
        byte_level: whether "▁" is a character like others, and does not stand for a blank.
    """
    looks_special = text in _CONTROL or any(text.startswith(a) and text.endswith(b) for a, b in _CONTROL_ENDS)
    if special or looks_special:
        return Token(text, TokenType.CONTROL, -1000.0)
    return Token(text if byte_level else text.replace("▁", " "), TokenType.USER_DEFINED, -1000.0)


def read_added_tokens(path: Path, entries: Any, *, byte_level: bool = False) -> dict[int, Token]:
    """The list "added_tokens" of a tokenizer.json.

    Args:
        path: the file.
        entries: the list.
        byte_level: see `added_token`.

    Raises:
        InputError: not such a list, or an id given twice.
    """
    if not isinstance(entries, list):
        raise InputError(path, "key 'added_tokens'", "expected a list")
    tokens: dict[int, Token] = {}
    for entry in entries:
        where = f"added token {entry!r:.80}"
        if not isinstance(entry, dict) or not is_token_id(entry.get("id")):
            raise InputError(path, where, "expected an object with id and content")
        if entry["id"] in tokens:
            raise InputError(path, where, f"the id {entry['id']} is given twice")
        tokens[entry["id"]] = added_token(
            checked_text(path, where, entry.get("content")),
            special=entry.get("special") is True,
            byte_level=byte_level,
        )
    return tokens


def is_token_id(value: Any) -> bool:
    """Whether ``value`` can be a token id; a billion is far beyond any vocabulary."""
    return type(value) is int and 0 <= value < 1_000_000_000


def checked_text(path: Path, where: str, value: Any) -> str:
    """``value`` as the text of a token.

    Raises:
        InputError: it is not a string that can be written as UTF-8.
    """
    try:
        if isinstance(value, str) and value.encode("utf-8"):
            return value
    except UnicodeEncodeError:
        pass
    raise InputError(path, where, f"{value!r:.80} is not the text of a token")
