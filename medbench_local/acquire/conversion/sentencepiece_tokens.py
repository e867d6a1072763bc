"""The tokens of a SentencePiece model and of the files that add tokens to it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from gguf import TokenType
from sentencepiece import SentencePieceProcessor

from medbench_local.acquire.conversion.piece_rules import refuse_without_bytes, with_rules
from medbench_local.acquire.conversion.sentencepiece_file import (
    BYTE,
    CONTROL,
    NORMAL,
    UNKNOWN,
    UNUSED,
    USER_DEFINED,
    piece_types,
)
from medbench_local.acquire.conversion.token import (
    Token,
    TokenTable,
    added_token,
    checked_text,
    is_token_id,
    read_added_tokens,
)
from medbench_local.acquire.conversion.tokenizer_rules import swallowing_tokens
from medbench_local.errors import AcquireError, InputError
from medbench_local.files.json_objects import read_json_object
from medbench_local.files.stand_ins import refuse_stand_in_at
from medbench_local.files.text_rules import TextRules


def read_sentencepiece_tokens(folder: Path, config: dict[str, Any], tokenizer: dict[str, Any]) -> TokenTable:
    """Read ``folder``/tokenizer.model, then what the JSON files beside it add.

    Raises:
        InputError: a file is damaged, or an id is given twice.
        AcquireError: the model normalises text, merges pieces or finds tokens in a way that neither llama.cpp nor the
            engine follows.
    """
    path = folder / "tokenizer.model"
    refuse_stand_in_at(path)
    processor = SentencePieceProcessor()
    try:
        processor.LoadFromFile(str(path))
        tokens = _pieces(path, processor)
    except (RuntimeError, OSError, UnicodeDecodeError, ValueError) as error:
        raise InputError(
            path, "", f"not a SentencePiece model ({error})", advice="Download it again."
        ) from error
    adds_blank = _check_rules(path, processor, tokens)
    refuse_without_bytes(path, tokens)
    own = [token.text for token in tokens.values() if token.type == TokenType.USER_DEFINED]
    pieces = len(tokens)
    for i, token in _added_file(folder / "added_tokens.json").items():
        if i >= pieces or tokens[i].text != token.text:
            tokens[i] = token
    tokens.update(_added_decoder(folder / "tokenizer_config.json", config))
    entries = tokenizer.get("added_tokens", [])
    listed = read_added_tokens(folder / "tokenizer.json", entries)
    tokens.update({i: token for i, token in listed.items() if i not in tokens})
    if tokenizer:
        table = with_rules(folder / "tokenizer.json", tokenizer, tokens)
    else:
        if adds_blank and own:
            raise AcquireError(
                f"{path} has symbols of its own ({own[0]!r:.80}) and puts a blank before a text: llama.cpp would put "
                "one behind each of these symbols too.",
                advice="Put the tokenizer.json beside it that transformers writes (AutoTokenizer, save_pretrained).",
            )
        table = _without_rules(folder / "tokenizer_config.json", config, tokens, adds_blank=adds_blank)
    found = {
        "bos": processor.bos_id(),
        "eos": processor.eos_id(),
        "unk": processor.unk_id(),
        "pad": processor.pad_id(),
    }
    return replace(table, special={kind: i for kind, i in found.items() if i >= 0})


def _without_rules(
    path: Path, config: Mapping[str, Any], tokens: dict[int, Token], *, adds_blank: bool
) -> TokenTable:
    """The table of a model without tokenizer.json; transformers knows what to do from tokenizer_config.json."""
    prefix = config.get("add_prefix_space")
    before, after = swallowing_tokens(path, (config.get("added_tokens_decoder") or {}).values())
    first = adds_blank and config.get("legacy") is False and prefix is not False
    plain: bool | None = prefix if isinstance(prefix, bool) else None if adds_blank else False
    return TokenTable(
        "llama",
        "default",
        tokens,
        add_space_prefix=False if first else plain,
        rules=TextRules(blank="first" if first else "", swallow_before=before, swallow_after=after),
    )


_TYPES = {
    NORMAL: TokenType.NORMAL,
    UNKNOWN: TokenType.UNKNOWN,
    CONTROL: TokenType.CONTROL,
    USER_DEFINED: TokenType.USER_DEFINED,
    UNUSED: TokenType.UNUSED,
    BYTE: TokenType.BYTE,
}


def _pieces(path: Path, processor: SentencePieceProcessor) -> dict[int, Token]:
    types = [_TYPES[kind] for kind in piece_types(processor.serialized_model_proto())]
    tokens = {}
    for i, kind in zip(range(processor.vocab_size()), types, strict=True):
        text = processor.IdToPiece(i)
        if kind == TokenType.USER_DEFINED:
            tokens[i] = added_token(text, special=False)
            continue
        score = processor.GetScore(i)
        if not math.isfinite(score):
            raise InputError(path, f"piece {i}", f"its score is {score}, expected a finite number")
        tokens[i] = Token(text, kind, score)
    return tokens


_PROBE = "  a  \ufb01\u2460\n b "


def _check_rules(path: Path, processor: SentencePieceProcessor, tokens: dict[int, Token]) -> bool:
    """Whether a blank is put before a text.

    llama.cpp merges by score and leaves the text as it is: refuse a model that was trained otherwise.
    """
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
    return bool(normalised != plain)


def added_tokens_of(folder: Path) -> dict[int, Token]:
    """The tokens that added_tokens.json, or else tokenizer_config.json, adds to a tokenizer.

    Raises:
        InputError: a file is damaged.
    """
    path = folder / "tokenizer_config.json"
    config = read_json_object(path) if path.is_file() else {}
    return _added_file(folder / "added_tokens.json") or _added_decoder(path, config)


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
