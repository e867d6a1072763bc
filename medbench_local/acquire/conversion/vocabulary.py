"""A model's vocabulary, brought from a checkpoint's tokenizer files into the form that llama.cpp reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gguf import TokenType

from medbench_local.acquire.conversion.bpe_tokens import read_bpe_tokens
from medbench_local.acquire.conversion.checkpoint import GrownTokenizer
from medbench_local.acquire.conversion.merged_tokens import read_merged_tokens
from medbench_local.acquire.conversion.sentencepiece_tokens import read_sentencepiece_tokens
from medbench_local.acquire.conversion.special_tokens import SpecialTokens, read_special_tokens
from medbench_local.acquire.conversion.token import Token
from medbench_local.errors import AcquireError, InputError
from medbench_local.files.json_objects import read_json_object
from medbench_local.files.text_rules import TextRules


@dataclass(frozen=True)
class Vocabulary:
    """What the GGUF file says about text and tokens.

    Attributes:
        model: "llama" for SentencePiece, "gpt2" for byte-level BPE.
        pre: llama.cpp's name of the rule that splits text before merging.
        tokens: one for every row of the embedding, in order.
        merges: byte-level BPE only, "a b", most important first.
        special: ids of special tokens, which are put before or after a text, and the chat template.
        add_space_prefix: whether llama.cpp puts a blank before a text; None if its default holds.
        rules: what the engine does to a text before llama.cpp sees it.
        warnings: what a person should know.
    """

    model: Literal["llama", "gpt2"]
    pre: str
    tokens: tuple[Token, ...]
    merges: tuple[str, ...]
    special: SpecialTokens
    add_space_prefix: bool | None
    rules: TextRules
    warnings: tuple[str, ...]


def read_vocabulary(
    tokenizer_files: Path | GrownTokenizer, rows: int, model: Mapping[str, Any]
) -> Vocabulary:
    """Read the tokenizer of a checkpoint.

    Args:
        tokenizer_files: a folder with tokenizer.model or tokenizer.json and the smaller files beside them, perhaps
            with tokens that were added elsewhere.
        rows: of the embedding matrix; they decide: a shorter vocabulary is padded, a longer one cut.
        model: config.json, which may name special tokens that the tokenizer's files do not.

    Raises:
        InputError: a file is missing or damaged, two tokens share an id or a text.
        AcquireError: a tokenizer that llama.cpp would not tokenise with as the model was trained.
    """
    grown = tokenizer_files if isinstance(tokenizer_files, GrownTokenizer) else None
    folder = tokenizer_files.folder if isinstance(tokenizer_files, GrownTokenizer) else tokenizer_files
    config = _optional(folder / "tokenizer_config.json")
    tokenizer = _optional(folder / "tokenizer.json")
    if (folder / "tokenizer.model").is_file() and not _is_byte_level(tokenizer):
        table = read_sentencepiece_tokens(folder, config, tokenizer)
    elif tokenizer and _merges_pieces(tokenizer):
        table = read_merged_tokens(folder / "tokenizer.json", tokenizer)
    elif tokenizer:
        table = read_bpe_tokens(folder / "tokenizer.json", tokenizer)
    else:
        raise InputError(
            folder,
            "",
            "no tokenizer: neither tokenizer.model nor tokenizer.json",
            advice="Download the tokenizer's files too.",
        )
    entries, cut = _fit(_grown(table.tokens, grown), rows)
    _refuse_repeated_texts(folder, entries)
    _refuse_overlaps(folder, entries)
    special = read_special_tokens(folder, config, tokenizer, entries, model, table.special)
    told = table.model == "llama" and config.get("add_prefix_space") is True
    return Vocabulary(
        model=table.model,
        pre=table.pre,
        tokens=entries,
        merges=table.merges,
        special=special,
        add_space_prefix=True if told and table.add_space_prefix is None else table.add_space_prefix,
        rules=table.rules,
        warnings=(*table.warnings, *cut, *special.warnings),
    )


def _optional(path: Path) -> dict[str, Any]:
    return read_json_object(path) if path.is_file() else {}


def _is_byte_level(tokenizer: dict[str, Any]) -> bool:
    """Llama 3 repositories may hold a tokenizer.model in tiktoken's format beside tokenizer.json."""
    model = tokenizer.get("model")
    return (
        isinstance(model, dict)
        and model.get("type") == "BPE"
        and not model.get("byte_fallback")
        and tokenizer.get("pre_tokenizer") is not None
    )


def _merges_pieces(tokenizer: dict[str, Any]) -> bool:
    """Whether a tokenizer.json was made from a SentencePiece model."""
    model = tokenizer.get("model")
    return isinstance(model, dict) and model.get("type", "BPE") == "BPE" and bool(model.get("byte_fallback"))


def _grown(tokens: dict[int, Token], grown: GrownTokenizer | None) -> dict[int, Token]:
    if grown is None:
        return tokens
    own = {i: token for i, token in tokens.items() if i < grown.rows}
    return own | {i: Token(text, TokenType.CONTROL, -1000.0) for i, text in grown.added.items()}


def _fit(tokens: dict[int, Token], rows: int) -> tuple[tuple[Token, ...], list[str]]:
    warnings = []
    if beyond := sorted(i for i in tokens if i >= rows):
        names = ", ".join(repr(tokens[i].text) for i in beyond[:5]) + (", ..." if len(beyond) > 5 else "")
        warnings.append(
            f"The tokenizer has {len(beyond)} tokens beyond the {rows} rows of the embedding ({names}); "
            "they are dropped."
        )
    entries = tuple(tokens.get(i) or Token(f"[PAD{i}]", TokenType.UNUSED, -10000.0) for i in range(rows))
    return entries, warnings


def _refuse_repeated_texts(folder: Path, tokens: tuple[Token, ...]) -> None:
    """llama.cpp aborts on a vocabulary where two ids have the same text."""
    first: dict[str, int] = {}
    for i, token in enumerate(tokens):
        if token.text in first:
            problem = f"the ids {first[token.text]} and {i} both stand for {token.text!r}"
            raise InputError(folder, "tokenizer", problem)
        first[token.text] = i


def _refuse_overlaps(folder: Path, tokens: tuple[Token, ...]) -> None:
    """Where two tokens overlap in a text, llama.cpp takes the longer, other tokenizers the one that begins first."""
    kinds = (TokenType.CONTROL, TokenType.USER_DEFINED, TokenType.UNKNOWN)
    texts = {token.text for token in tokens if token.type in kinds}
    runs = {text for text in texts if len(set(text)) == 1}
    longest: dict[str, str] = {}
    for text in texts:
        for end in range(1, len(text)):
            if len(longest.get(text[:end], "")) < len(text):
                longest[text[:end]] = text
    for text in texts - runs:
        for begin in range(1, len(text)):
            other = longest.get(text[begin:], "")
            if other != text and len(other.encode()) >= len(text.encode()):
                raise AcquireError(
                    f"{folder}: the added tokens {text!r:.80} and {other!r:.80} overlap where one follows the other: "
                    "llama.cpp would find the longer one, the model's own tokenizer the first.",
                    advice="Such a tokenizer cannot be converted.",
                )
