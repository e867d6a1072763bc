"""The tokens and merges of a byte-level BPE tokenizer.json, and llama.cpp's name of its splitting rule."""

from __future__ import annotations

from collections.abc import Iterable
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
from medbench_local.acquire.conversion.tokenizer_rules import (
    normalises_to_nfc,
    splitting_steps,
    swallowing_tokens,
)
from medbench_local.errors import AcquireError, InputError
from medbench_local.files.byte_pairs import merge_ranks, merged
from medbench_local.files.text_rules import TextRules

_CONTRACTED = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_BLANKS = r"|\s*[\r\n]+|\s+(?!\S)|\s+"

LLAMA_3 = (
    rf"{_CONTRACTED}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*{_BLANKS}"
)
"""The expression by which Llama 3, DBRX, Phi-4 and OLMo 2 split text."""

QWEN_2 = LLAMA_3.replace(r"\p{N}{1,3}", r"\p{N}")
QWEN_35 = (
    rf"{_CONTRACTED}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+|\p{{N}}"
    rf"| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+[\r\n]*{_BLANKS}"
)
TEKKEN = (
    rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*|\p{{N}}"
    rf"| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*{_BLANKS}"
)
GPT_4O = (
    rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+{_CONTRACTED}?|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*{_CONTRACTED}?"
    rf"|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*{_BLANKS}"
)
DEEPSEEK_3 = (
    r"\p{N}{1,3}",
    "[一-龥\u3040-ゟ゠-ヿ]+",
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
    "| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+",
)

DIGITS, GPT_2 = "digits", "gpt-2"
"""What is no expression in tokenizer.json: each digit alone; the rule of GPT-2, which the ByteLevel step has itself."""

RULES: dict[tuple[str, ...], str] = {
    (QWEN_2,): "qwen2",
    (QWEN_35,): "qwen35",
    (TEKKEN,): "tekken",
    (GPT_4O,): "gpt-4o",
    DEEPSEEK_3: "deepseek-v3",
    (GPT_2,): "gpt-2",
    (DIGITS, GPT_2): "smollm",
}
"""llama.cpp's names of the rules, by the steps that tokenizer.json splits text in."""

NORMALISING = {"smollm": "command-r", "gpt-2": "olmo"}
"""Rules that llama.cpp has under a second name, of a family whose texts are normalised to NFC."""

_TAKES_WHOLE_WORDS = frozenset(("llama-bpe", "tekken"))
"""Rules with which llama.cpp takes a word that is a token without merging, as ``ignore_merges`` says."""


def read_bpe_tokens(path: Path, tokenizer: dict[str, Any]) -> TokenTable:
    """Take the tokens and merges out of a parsed tokenizer.json.

    Raises:
        InputError: damaged; an id given twice.
        AcquireError: not byte-level BPE, or a splitting rule or normaliser that neither llama.cpp nor the engine is
            known to share.
    """
    model = tokenizer.get("model")
    if not isinstance(model, dict):
        raise InputError(path, "key 'model'", "expected an object")
    if model.get("type", "BPE") != "BPE":
        raise AcquireError(
            f"{path}: a {model['type']!r:.40} tokenizer cannot be converted; supported is BPE."
        )
    _refuse_foreign_merging(path, model)
    pre = _splitting_rule(path, tokenizer, whole_words=model.get("ignore_merges") is True)
    added = tokenizer.get("added_tokens") or []
    texts = read_vocab(path, model.get("vocab"))
    tokens = {i: Token(text, TokenType.NORMAL, 0.0) for i, text in texts.items()}
    tokens.update(read_added_tokens(path, added, byte_level=True))
    merges = read_merges(path, model.get("merges"))
    if (pre in _TAKES_WHOLE_WORDS) != (model.get("ignore_merges") is True):
        _refuse_unmerged(path, pre, texts.values(), merges)
    before, after = swallowing_tokens(path, added)
    nfc = normalises_to_nfc(path, tokenizer)
    pre = NORMALISING.get(pre, pre) if nfc else pre
    rules = TextRules(nfc=nfc, swallow_before=before, swallow_after=after)
    return TokenTable("gpt2", pre, tokens, merges, rules=rules)


def _refuse_foreign_merging(path: Path, model: dict[str, Any]) -> None:
    for key in ("continuing_subword_prefix", "end_of_word_suffix", "dropout"):
        if model.get(key):
            raise AcquireError(f"{path}: merging with {key} {model[key]!r:.40} cannot be converted.")


def _splitting_rule(path: Path, tokenizer: dict[str, Any], *, whole_words: bool) -> str:
    steps = _rule_steps(splitting_steps(tokenizer))
    if steps == (LLAMA_3,):
        return "llama-bpe" if whole_words else "dbrx"
    if steps not in RULES:
        raise AcquireError(
            f"{path}: llama.cpp is not known to split text before merging as this tokenizer does.",
            advice="Convert the checkpoint with llama.cpp's own converter and give the GGUF file instead.",
        )
    return RULES[steps]


def _rule_steps(steps: list[dict[str, Any]]) -> tuple[str, ...]:
    """Expressions and names of `RULES`; a step that is not understood becomes "?"."""
    if not steps or steps[-1].get("type") != "ByteLevel" or steps[-1].get("add_prefix_space"):
        return ("?",)
    found = []
    for step in steps[:-1]:
        pattern = step.get("pattern")
        expression = pattern.get("Regex") if isinstance(pattern, dict) else None
        # all characters are matched, so that removing what is not is the same
        manner = (step.get("behavior"), step.get("invert", False))
        if step.get("type") == "Digits" and step.get("individual_digits") is True:
            found.append(DIGITS)
        elif isinstance(expression, str) and (
            manner == ("Isolated", False) or (manner == ("Removed", True) and expression in _MATCHING_ALL)
        ):
            found.append(expression)
        else:
            return ("?",)
    return (*found, GPT_2) if steps[-1].get("use_regex", True) else tuple(found)


_MATCHING_ALL = frozenset((LLAMA_3, QWEN_2, QWEN_35, TEKKEN, GPT_4O))


def _refuse_unmerged(path: Path, pre: str, texts: Iterable[str], merges: tuple[str, ...]) -> None:
    """Refuse a vocabulary with which it matters whether words that are tokens are merged."""
    ranks = merge_ranks(merges)
    if other := next((text for text in texts if len(merged(text, ranks)) > 1), None):
        takes = "takes" if pre in _TAKES_WHOLE_WORDS else "does not take"
        raise AcquireError(
            f"{path}: merging does not make the token {other!r:.80}. With the rule {pre!r} llama.cpp {takes} a word "
            "that is a token without merging, this tokenizer does the opposite (ignore_merges).",
            advice="Check that the tokenizer belongs to the checkpoint.",
        )


def read_vocab(path: Path, vocab: Any) -> dict[int, str]:
    """The texts of a tokenizer.json's own tokens, by id.

    Raises:
        InputError: not such an object, or an id given twice.
    """
    if not isinstance(vocab, dict) or not vocab:
        raise InputError(path, "key 'model.vocab'", "expected tokens and their ids")
    texts: dict[int, str] = {}
    for text, i in vocab.items():
        where = f"token {text!r:.80}"
        if not is_token_id(i):
            raise InputError(path, where, f"{i!r:.80} is not a token id")
        if i in texts:
            raise InputError(path, where, f"the id {i} is given twice, also to {texts[i]!r:.80}")
        texts[i] = checked_text(path, where, text)
    return texts


def read_merges(path: Path, merges: Any) -> tuple[str, ...]:
    """The merges of a tokenizer.json as "a b", most important first.

    Raises:
        InputError: not a list of pairs.
    """
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
