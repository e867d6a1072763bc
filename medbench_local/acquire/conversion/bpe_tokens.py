"""The tokens and merges of a byte-level BPE tokenizer.json, and llama.cpp's name of its splitting rule."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gguf import TokenType

from medbench_local.acquire.conversion.token import (
    Token,
    TokenTable,
    checked_text,
    is_token_id,
    read_added_tokens,
)
from medbench_local.errors import AcquireError, InputError

LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""The expression by which Llama 3 splits text; llama.cpp calls the rule "llama-bpe"."""


def read_bpe_tokens(path: Path, tokenizer: dict[str, Any]) -> TokenTable:
    """Take the tokens and merges out of a parsed tokenizer.json.

    Raises:
        InputError: damaged; an id given twice.
        AcquireError: not byte-level BPE, or a splitting rule or normaliser that llama.cpp is not known to
            share.
    """
    model = tokenizer.get("model")
    if not isinstance(model, dict):
        raise InputError(path, "key 'model'", "expected an object")
    if model.get("byte_fallback"):
        raise AcquireError(
            f"{path} describes a SentencePiece tokenizer without the scores by which llama.cpp merges.",
            advice="Put the tokenizer.model of the base model beside it.",
        )
    if model.get("type", "BPE") != "BPE":
        raise AcquireError(
            f"{path}: a {model['type']!r:.40} tokenizer cannot be converted; supported is BPE."
        )
    pre = _splitting_rule(path, tokenizer)
    tokens = _tokens(path, model.get("vocab"))
    tokens.update(read_added_tokens(path, tokenizer.get("added_tokens") or []))
    warnings = []
    if pre == "llama-bpe" and model.get("ignore_merges") is not True:
        warnings.append(
            f"{path.name} has no ignore_merges: it is older than the corrected Llama 3 tokenizer. "
            "llama.cpp always tokenises as the corrected one does."
        )
    merges = _merges(path, model.get("merges"))
    return TokenTable("gpt2", pre, tokens, merges, warnings=tuple(warnings))


def _splitting_rule(path: Path, tokenizer: dict[str, Any]) -> str:
    if tokenizer.get("normalizer") is None:
        steps = tokenizer.get("pre_tokenizer") or {}
        steps = steps.get("pretokenizers", [steps]) if isinstance(steps, dict) else []
        split, bytes_ = (steps[0], steps[-1]) if isinstance(steps, list) and steps else ({}, {})
        if isinstance(split, dict) and isinstance(bytes_, dict) and bytes_.get("type") == "ByteLevel":
            plain = not bytes_.get("add_prefix_space")
            whole = bytes_.get("use_regex", True)
            if len(steps) == 1 and plain and whole:
                return "gpt-2"
            isolated = split.get("behavior") == "Isolated" and not split.get("invert")
            if (
                len(steps) == 2
                and plain
                and not whole
                and isolated
                and split.get("pattern") == {"Regex": LLAMA_3}
            ):
                return "llama-bpe"
    raise AcquireError(
        f"{path}: llama.cpp is not known to split text before merging as this tokenizer does.",
        advice="Convert the checkpoint with llama.cpp's own converter and give the GGUF file instead.",
    )


def _tokens(path: Path, vocab: Any) -> dict[int, Token]:
    if not isinstance(vocab, dict) or not vocab:
        raise InputError(path, "key 'model.vocab'", "expected tokens and their ids")
    tokens: dict[int, Token] = {}
    for text, i in vocab.items():
        where = f"token {text!r:.80}"
        if not is_token_id(i):
            raise InputError(path, where, f"{i!r:.80} is not a token id")
        if i in tokens:
            raise InputError(path, where, f"the id {i} is given twice, also to {tokens[i].text!r:.80}")
        tokens[i] = Token(checked_text(path, where, text), TokenType.NORMAL, 0.0)
    return tokens


def _merges(path: Path, merges: Any) -> tuple[str, ...]:
    if not isinstance(merges, list) or not merges:
        raise InputError(path, "key 'model.merges'", "expected a list of pairs")
    return tuple(_merge(path, i, merge) for i, merge in enumerate(merges))


def _merge(path: Path, i: int, merge: Any) -> str:
    where = f"merge {i}"
    if isinstance(merge, list):
        parts = [checked_text(path, where, part) for part in merge]
        # a blank separates the two parts in a GGUF file; llama.cpp's converter writes those within as U+0120
        merge = " ".join(part.replace(" ", chr(ord(" ") + 256)) for part in parts)
    if checked_text(path, where, merge).count(" ") != 1 or merge.startswith(" ") or merge.endswith(" "):
        raise InputError(path, where, f"{merge!r:.80} is not a pair of tokens")
    return str(merge)
