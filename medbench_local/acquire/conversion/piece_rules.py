"""What every vocabulary of the SentencePiece kind has to keep to, and what its tokenizer.json does to texts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gguf import TokenType

from medbench_local.acquire.conversion.token import Token, TokenTable
from medbench_local.acquire.conversion.tokenizer_rules import blank_rule, swallowing_tokens
from medbench_local.errors import AcquireError
from medbench_local.files.text_rules import Blank, TextRules

BYTES = frozenset(f"<0x{byte:02X}>" for byte in range(256))


def refuse_without_bytes(path: Path, tokens: Mapping[int, Token]) -> None:
    """llama.cpp aborts at a character that is no token if bytes are none."""
    if missing := BYTES - {token.text for token in tokens.values() if token.type == TokenType.BYTE}:
        raise AcquireError(
            f"{path} has no byte fallback ({min(missing)} is no token): llama.cpp ends at a character that is not in "
            "the vocabulary, where the model's own tokenizer writes the unknown token.",
            advice="Such a model cannot be run with llama.cpp.",
        )


def with_rules(path: Path, tokenizer: Mapping[str, Any], tokens: dict[int, Token]) -> TokenTable:
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
