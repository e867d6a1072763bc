"""What a tokenizer.json does to a text before it cuts it, as far as llama.cpp or the engine can follow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, cast

from medbench_local.errors import AcquireError

BlankRule = Literal["every", "first", "always", "never"]
"""Where "▁" is put: before every piece between added tokens, as llama.cpp does it; before the text only; before every
piece that does not begin with one; nowhere."""

_ADVICE = "Convert the checkpoint with llama.cpp's own converter and give the GGUF file instead."


def normalises_to_nfc(path: Path, tokenizer: Mapping[str, Any]) -> bool:
    """Whether the text is brought to Unicode's NFC.

    Raises:
        AcquireError: it is changed in another way.
    """
    kinds = [step.get("type") for step in _steps(tokenizer.get("normalizer"), "normalizers")]
    if any(kind != "NFC" for kind in kinds):
        raise AcquireError(
            f"{path}: the normaliser ({', '.join(map(str, kinds))}) changes texts in a way that is not followed; "
            "supported is NFC.",
            advice=_ADVICE,
        )
    return bool(kinds)


def blank_rule(path: Path, tokenizer: Mapping[str, Any]) -> BlankRule:
    """Where a tokenizer.json of the SentencePiece kind puts a blank.

    Raises:
        AcquireError: it changes or splits texts in another way than those known.
    """
    normalizers = _steps(tokenizer.get("normalizer"), "normalizers")
    splitters = _steps(tokenizer.get("pre_tokenizer"), "pretokenizers")
    replaces = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    if normalizers == [{"type": "Prepend", "prepend": "▁"}, replaces] and not splitters:
        return "every"
    at_blanks = {
        "type": "Split",
        "pattern": {"String": " "},
        "behavior": "MergedWithPrevious",
        "invert": False,
    }
    if normalizers == [replaces] and splitters in ([], [at_blanks]):  # there are no blanks left to split at
        return "never"
    if not normalizers and len(splitters) == 1 and splitters[0].get("type") == "Metaspace":
        step = splitters[0]
        scheme = step.get("prepend_scheme", "always" if step.get("add_prefix_space", True) else "never")
        if (
            step.get("replacement") == "▁"
            and step.get("split") is False
            and scheme in ("first", "always", "never")
        ):
            return cast("BlankRule", scheme)
    raise AcquireError(
        f"{path}: llama.cpp is not known to treat blanks as this tokenizer does "
        f"({_names(normalizers) or 'no normaliser'}, then {_names(splitters) or 'no splitting'}).",
        advice=_ADVICE,
    )


def swallowing_tokens(path: Path, entries: Iterable[Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Texts of the added tokens that swallow the blanks before and behind them.

    Raises:
        AcquireError: a token is found as a whole word only.
    """
    tokens = [entry for entry in entries if isinstance(entry, dict) and isinstance(entry.get("content"), str)]
    for token in tokens:
        if token.get("single_word") is True:
            raise AcquireError(
                f"{path}: the token {token['content']!r:.80} is found only where it stands as a word of its own, "
                "which llama.cpp does not look at.",
                advice=_ADVICE,
            )
    before = tuple(sorted({token["content"] for token in tokens if token.get("lstrip") is True}))
    after = tuple(sorted({token["content"] for token in tokens if token.get("rstrip") is True}))
    return before, after


def splitting_steps(tokenizer: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The steps by which a tokenizer.json splits text before merging."""
    return _steps(tokenizer.get("pre_tokenizer"), "pretokenizers")


def _steps(value: Any, key: str) -> list[dict[str, Any]]:
    """One step, or a sequence of them, as a list; what is neither counts as an unknown step."""
    if value is None:
        return []
    if isinstance(value, dict) and value.get("type") == "Sequence":
        steps = value.get(key)
        if isinstance(steps, list):
            return [found for step in steps for found in (_steps(step, key) or [{"type": None}])]
    return [value if isinstance(value, dict) else {"type": None}]


def _names(steps: Iterable[Mapping[str, Any]]) -> str:
    return ", ".join(str(step.get("type")) for step in steps)
