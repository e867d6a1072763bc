"""The special tokens of a GGUF file by the names that chat templates know them by."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from medbench_local.errors import InputError
from medbench_local.files.gguf_file import Value, read_text_of_list
from medbench_local.files.gguf_header import GgufHeader

NAMED_TOKENS = "medbench_local.named_tokens"
"""Key of a converted file: a JSON object of names and texts where the checkpoint's tokenizer says something else than
the ids of the file do; null for a name that it has no token for. Files without such a name lack the key."""

_KEYS = {
    "bos_token": "bos",
    "eos_token": "eos",
    "unk_token": "unknown",
    "sep_token": "seperator",
    "pad_token": "padding",
    "cls_token": "cls",
    "mask_token": "mask",
}
"""Names as in transformers, and what GGUF calls them."""

NAMES = tuple(_KEYS)
"""The names that every tokenizer may have; a checkpoint may add its own."""

_OF_SENTENCEPIECE = {"bos_token": 1, "eos_token": 2, "unk_token": 0}
"""Ids that llama.cpp takes where a file of SentencePiece's kind ("llama") does not say them."""


def id_key(name: str) -> str:
    """The key under which a file says the id of a special token."""
    return f"tokenizer.ggml.{_KEYS[name]}_token_id"


def texts_by_ids(
    metadata: Mapping[str, Value], length: int, text_of: Callable[[int], str], *, mentioned_in: str
) -> dict[str, str]:
    """What the ids of a file say.

    Args:
        metadata: its keys.
        length: of its vocabulary.
        text_of: gives the text of a token.
        mentioned_in: templates; names that do not occur in them are left out.
    """
    defaults = _OF_SENTENCEPIECE if metadata.get("tokenizer.ggml.model") == "llama" else {}
    found = {}
    for name in NAMES:
        number = metadata.get(id_key(name), defaults.get(name))
        if name in mentioned_in and type(number) is int and 0 <= number < length:
            found[name] = text_of(number)
    return found


def named_tokens(header: GgufHeader, template: str) -> dict[str, str]:
    """The texts of the special tokens that ``template`` mentions, by name; names without a token are absent.

    Raises:
        InputError: the file was damaged since its header was read, or its own list of names is malformed.
    """
    tokens = header.lists.get("tokenizer.ggml.tokens")
    found: dict[str, str | None] = {}
    if tokens is not None and tokens.begin is not None:
        listed = tokens  # for the closure
        found |= texts_by_ids(
            header.metadata,
            tokens.length,
            lambda number: read_text_of_list(header.path, listed, number),
            mentioned_in=template,
        )
    found |= {name: text for name, text in _own(header).items() if name in template}
    return {name: text for name, text in found.items() if text is not None}


def _own(header: GgufHeader) -> dict[str, str | None]:
    value = header.metadata.get(NAMED_TOKENS)
    if value is None:
        return {}
    try:
        names = json.loads(value) if isinstance(value, str) else None
    except (ValueError, RecursionError):
        names = None
    if isinstance(names, dict) and all(text is None or isinstance(text, str) for text in names.values()):
        return names
    raise InputError(header.path, f"key '{NAMED_TOKENS}'", "expected a JSON object of names and texts")
