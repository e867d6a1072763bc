"""The tokens of a SentencePiece model and of the files that add tokens to it."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from gguf import TokenType
from sentencepiece import SentencePieceProcessor

from medbench_local.acquire.conversion.bpe_tokens import read_merges, read_vocab
from medbench_local.acquire.conversion.token import (
    Token,
    TokenTable,
    added_token,
    checked_text,
    is_token_id,
    read_added_tokens,
)
from medbench_local.acquire.conversion.tokenizer_rules import blank_rule, swallowing_tokens
from medbench_local.engine.text_rules import Blank, TextRules
from medbench_local.errors import AcquireError, InputError
from medbench_local.files.json_objects import read_json_object


def read_sentencepiece_tokens(folder: Path, config: dict[str, Any], tokenizer: dict[str, Any]) -> TokenTable:
    """Read ``folder``/tokenizer.model, then what the JSON files beside it add.

    Raises:
        InputError: a file is damaged, or an id is given twice.
        AcquireError: the model normalises text, merges pieces or finds tokens in a way that neither llama.cpp nor the
            engine follows.
    """
    path = folder / "tokenizer.model"
    processor = SentencePieceProcessor()
    try:
        processor.LoadFromFile(str(path))
        tokens = _pieces(processor)
    except (RuntimeError, OSError, UnicodeDecodeError, ValueError, struct.error) as error:
        raise InputError(
            path, "", f"not a SentencePiece model ({error})", advice="Download it again."
        ) from error
    adds_blank = _check_rules(path, processor, tokens)
    _refuse_without_bytes(path, tokens)
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
        table = _with_rules(folder / "tokenizer.json", tokenizer, tokens)
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


def read_merged_tokens(path: Path, tokenizer: dict[str, Any]) -> TokenTable:
    """The tokens of a tokenizer.json that was made from a SentencePiece model which is not beside it.

    llama.cpp merges what makes the token of the highest score, a tokenizer.json the pair that comes first: the
    same if the pairs that make one token stand together and are all that there are.

    Raises:
        InputError: a part is damaged; an id given twice.
        AcquireError: its pairs do not come from a SentencePiece model, or it does to texts what neither llama.cpp nor
            the engine follows.
    """
    model = tokenizer["model"]
    if model.get("ignore_merges") or model.get("dropout"):
        raise AcquireError(
            f"{path}: merging with ignore_merges or dropout cannot be converted for such a vocabulary."
        )
    texts = read_vocab(path, model.get("vocab"))
    merges = [tuple(merge.split(" ")) for merge in read_merges(path, model.get("merges"))]
    scores = _scores(path, {text: i for i, text in texts.items()}, merges)
    unknown = model.get("unk_token")
    tokens = {
        i: Token(text, _type_of(text, unknown), scores.get(text, _UNMERGED)) for i, text in texts.items()
    }
    _refuse_without_bytes(path, tokens)
    for i, token in read_added_tokens(path, tokenizer.get("added_tokens") or []).items():
        # runs of blanks are listed as they are written after blanks were replaced, where they are not looked for
        if i not in tokens or tokens[i].text.strip("▁"):
            tokens[i] = token
    return _with_rules(path, tokenizer, tokens)


_UNMERGED = -1e9


def _scores(path: Path, ids: Mapping[str, int], merges: list[tuple[str, ...]]) -> dict[str, float]:
    """The rank of each token that merging makes, as a score."""
    ranks: dict[str, float] = {}
    made: dict[str, set[tuple[str, ...]]] = {}
    last = ""
    for pair in merges:
        text = "".join(pair)
        if text != last and text in made:
            raise _foreign_merges(path, text)
        made.setdefault(last := text, set()).add(pair)
        ranks.setdefault(text, -float(len(ranks)))
    for text in ids:
        pairs = {(text[:i], text[i:]) for i in range(1, len(text)) if text[:i] in ids and text[i:] in ids}
        if text in made and pairs != made[text]:
            raise _foreign_merges(path, text)
    return ranks


def _foreign_merges(path: Path, text: str) -> AcquireError:
    return AcquireError(
        f"{path}: the pairs that make the token {text!r:.80} are not those of a SentencePiece model, and llama.cpp "
        "merges by scores.",
        advice="Put the tokenizer.model of the base model beside it.",
    )


def _type_of(text: str, unknown: Any) -> TokenType:
    if text == unknown:
        return TokenType.UNKNOWN
    return TokenType.BYTE if text in _BYTES else TokenType.NORMAL


_BYTES = frozenset(f"<0x{byte:02X}>" for byte in range(256))


def _refuse_without_bytes(path: Path, tokens: Mapping[int, Token]) -> None:
    """llama.cpp aborts at a character that is no token if bytes are none."""
    if missing := _BYTES - {token.text for token in tokens.values() if token.type == TokenType.BYTE}:
        raise AcquireError(
            f"{path} has no byte fallback ({min(missing)} is no token): llama.cpp ends at a character that is not in "
            "the vocabulary, where the model's own tokenizer writes the unknown token.",
            advice="Such a model cannot be run with llama.cpp.",
        )


def _with_rules(path: Path, tokenizer: Mapping[str, Any], tokens: dict[int, Token]) -> TokenTable:
    """The table, with what a tokenizer.json does to texts."""
    entries = tokenizer.get("added_tokens") or []
    rule = blank_rule(path, tokenizer)
    before, after = swallowing_tokens(path, entries)
    blank: Blank = rule if rule in ("first", "always") else ""
    glued = [e["content"] for e in entries if rule == "every" and e.get("normalized") is True]
    warnings = []
    if glued:
        names = ", ".join(map(repr, glued[:5])) + (", ..." if len(glued) > 5 else "")
        warnings.append(
            f"{path.name} finds {names} only at the beginning of a text or behind a blank (normalized), llama.cpp "
            "everywhere."
        )
    return TokenTable(
        "llama",
        "default",
        tokens,
        add_space_prefix=None if rule == "every" else False,
        rules=TextRules(blank=blank, swallow_before=before, swallow_after=after),
        warnings=tuple(warnings),
    )


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
    1: TokenType.NORMAL,
    2: TokenType.UNKNOWN,
    3: TokenType.CONTROL,
    4: TokenType.USER_DEFINED,
    5: TokenType.UNUSED,
    6: TokenType.BYTE,
}


def _pieces(processor: SentencePieceProcessor) -> dict[int, Token]:
    types = [_TYPES[kind] for kind in _piece_types(processor.serialized_model_proto())]
    tokens = {}
    for i, kind in zip(range(processor.vocab_size()), types, strict=True):
        text = processor.IdToPiece(i)
        if kind == TokenType.USER_DEFINED:
            tokens[i] = added_token(text, special=False)
        else:
            tokens[i] = Token(text, kind, processor.GetScore(i))
    return tokens


def _piece_types(model: bytes) -> Iterator[int]:
    """The type of each piece, which the library tells of all kinds but symbols that users defined.

    Field 1 of a ModelProto are its pieces, field 3 of a piece is its type, 1 if it is not there
    (sentencepiece_model.proto).
    """
    for number, piece in _fields(model):
        if number == 1 and isinstance(piece, bytes):
            yield next((value for field, value in _fields(piece) if field == 3 and type(value) is int), 1)


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Numbers and values of a message in the format of protocol buffers."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        value: int | bytes
        if kind == 0:
            value, at = _varint(message, at)
        else:
            size = {1: 8, 5: 4}.get(kind)
            if size is None:
                size, at = _varint(message, at)
            value, at = message[at : at + size], at + size
        yield key >> 3, value


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(message):
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            break
    return value, at


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
