"""The tokens of a SentencePiece model and of the files that add tokens to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gguf import TokenType
from sentencepiece import SentencePieceProcessor

from medbench_local.acquire.conversion.token import (
    Token,
    TokenTable,
    added_token,
    checked_text,
    is_token_id,
    read_added_tokens,
)
from medbench_local.errors import AcquireError, InputError
from medbench_local.files.json_objects import read_json_object
from medbench_local.files.stand_ins import refuse_stand_in_at


def read_sentencepiece_tokens(folder: Path, config: dict[str, Any], tokenizer: dict[str, Any]) -> TokenTable:
    """Read ``folder``/tokenizer.model, then what the JSON files beside it add.

    Raises:
        InputError: a file is damaged, or an id is given twice.
        AcquireError: the model normalises text or merges pieces in a way that llama.cpp does not.
    """
    path = folder / "tokenizer.model"
    refuse_stand_in_at(path)
    processor = SentencePieceProcessor()
    try:
        processor.LoadFromFile(str(path))
        tokens = _pieces(processor)
    except (RuntimeError, OSError, UnicodeDecodeError, ValueError) as error:
        raise InputError(
            path, "", f"not a SentencePiece model ({error})", advice="Download it again."
        ) from error
    add_space_prefix = _check_rules(path, processor, tokens)
    pieces = len(tokens)
    for i, token in _added_file(folder / "added_tokens.json").items():
        if i >= pieces or tokens[i].text != token.text:
            tokens[i] = token
    tokens.update(_added_decoder(folder / "tokenizer_config.json", config))
    listed = read_added_tokens(folder / "tokenizer.json", tokenizer.get("added_tokens", []))
    tokens.update({i: token for i, token in listed.items() if i not in tokens})
    return TokenTable("llama", "default", tokens, add_space_prefix=add_space_prefix)


def _pieces(processor: SentencePieceProcessor) -> dict[int, Token]:
    return {
        i: Token(processor.IdToPiece(i), _type(processor, i), processor.GetScore(i))
        for i in range(processor.vocab_size())
    }


def _type(processor: SentencePieceProcessor, i: int) -> TokenType:
    if processor.IsUnknown(i):
        return TokenType.UNKNOWN
    if processor.IsControl(i):
        return TokenType.CONTROL
    if processor.IsUnused(i):
        return TokenType.UNUSED
    return TokenType.BYTE if processor.IsByte(i) else TokenType.NORMAL


_PROBE = "  a  \ufb01\u2460\n b "


def _check_rules(path: Path, processor: SentencePieceProcessor, tokens: dict[int, Token]) -> bool | None:
    """llama.cpp merges by score and leaves the text as it is: refuse a model that was trained otherwise."""
    normal = [token for token in tokens.values() if token.type == TokenType.NORMAL]
    if any(token.score != round(token.score) for token in normal):
        raise AcquireError(
            f"{path} is a unigram model (its scores are log-probabilities); "
            "llama.cpp reads only BPE models of SentencePiece for this architecture.",
            advice="Check that the tokenizer belongs to the checkpoint.",
        )
    plain = _PROBE.replace(" ", "▁")
    normalised = processor.Normalize(_PROBE)
    if normalised not in (plain, "▁" + plain):
        raise AcquireError(
            f"{path} rewrites text before tokenising it: {_PROBE!r} becomes {normalised!r}; "
            "llama.cpp would leave it as it is.",
            advice="Check that the tokenizer belongs to the checkpoint.",
        )
    return False if normalised == plain else None


def _added_file(path: Path) -> dict[int, Token]:
    if not path.is_file():
        return {}
    tokens: dict[int, Token] = {}
    for text, i in read_json_object(path).items():
        where = f"token {text!r:.80}"
        if not is_token_id(i):
            raise InputError(path, where, f"{i!r:.80} is not a token id")
        if i in tokens:
            raise InputError(path, where, f"the id {i} is given twice, also to {tokens[i].text!r}")
        tokens[i] = Token(checked_text(path, where, text), TokenType.USER_DEFINED, -1000.0)
    return tokens


def _added_decoder(path: Path, config: dict[str, Any]) -> dict[int, Token]:
    entries = config.get("added_tokens_decoder", {})
    if not isinstance(entries, dict):
        raise InputError(path, "key 'added_tokens_decoder'", "expected an object")
    tokens: dict[int, Token] = {}
    for key, entry in entries.items():
        where = f"added token {key!r:.40}"
        if (
            not key.isascii()
            or not key.isdigit()
            or not is_token_id(int(key[:12]))
            or not isinstance(entry, dict)
        ):
            raise InputError(path, where, "expected a token id and an object with its content")
        if int(key) in tokens:
            raise InputError(path, where, "the id is given twice")
        text = checked_text(path, where, entry.get("content"))
        tokens[int(key)] = added_token(text, special=entry.get("special") is True)
    return tokens
