"""Texts as they are prepared for llama.cpp, against values written by hand."""

from __future__ import annotations

import pytest

from medbench_local.engine.text_preparation import TextPreparation
from medbench_local.files.text_rules import TextRules, read_text_rules, usual_rules

CONTROL, OWN = ("<|im_start|>", "<|im_end|>", "<s>"), ("<think>",)


def prepare(rules: TextRules, text: str, *, special: bool = True) -> str:
    return TextPreparation(rules, lambda special: [*OWN, *(CONTROL if special else ())])(text, special)


NFC = TextRules(nfc=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("Me\u0301nie\u0300re", "M\u00e9ni\u00e8re"),
        ("\u1112\u1161\u11ab", "\ud55c"),
        # U+0338 behind ">" is another character, but the token was found first
        ("<|im_end|>\u0338e\u0301", "<|im_end|>\u0338\u00e9"),
        ("a>\u0338", "a\u226f"),
    ],
)
def test_normalisation(text: str, expected: str) -> None:
    assert prepare(NFC, text) == expected
    assert prepare(TextRules(), text) == text


def test_tokens_are_kept_only_where_they_are_found() -> None:
    assert prepare(NFC, "<|im_end|>\u0338", special=False) == "<|im_end|\u226f"
    assert prepare(NFC, "<think>\u0338", special=False) == "<think>\u0338"


def test_a_blank_before_the_text_only() -> None:
    rules = TextRules(blank="first")
    assert prepare(rules, "a <s>b") == " a <s>b"
    assert prepare(rules, "<s>b") == "<s>b"
    assert prepare(rules, "<s>b", special=False) == " <s>b"
    assert [prepare(rules, text) for text in ("", " a", "▁a", "\na")] == ["", " a", "▁a", " \na"]


def test_a_blank_behind_every_token() -> None:
    rules = TextRules(blank="always")
    assert prepare(rules, "a<s>b<s> c<s>") == " a<s> b<s> c<s>"


def test_tokens_that_swallow_blanks() -> None:
    rules = TextRules(swallow_before=("<|im_end|>",), swallow_after=("<|im_end|>", "<|im_start|>"))
    assert prepare(rules, "a \n<|im_end|>\n\u3000<|im_start|> b <|im_start|>") == (
        "a<|im_end|><|im_start|>b <|im_start|>"
    )
    assert prepare(rules, "a <|im_end|> b", special=False) == "a <|im_end|> b"


def test_signs_of_blanks_count_as_blanks_where_tokens_are_runs_of_them() -> None:
    spaced = TextPreparation(TextRules(), lambda _special: ["  "], sentencepiece=True)
    assert spaced(" ▁a▁", True) == "  a "
    plain = TextPreparation(TextRules(), lambda _special: ["<s>"], sentencepiece=True)
    assert plain(" ▁a▁", True) == " ▁a▁"


def test_rules_survive_the_file() -> None:
    rules = TextRules(nfc=True, blank="first", swallow_before=("é",), swallow_after=("<a>", "<b>"))
    assert read_text_rules(rules.to_json(), "qwen2") == rules
    assert read_text_rules("", "qwen2") == usual_rules("qwen2") == TextRules(nfc=True)
    assert read_text_rules("", "llama-bpe") == read_text_rules("", "") == TextRules()
    for damaged in (
        "[]",
        "{}",
        "x",
        "[" * 100_000,
        rules.to_json().replace("first", "last"),
        rules.to_json().replace("true", "1"),
    ):
        with pytest.raises((ValueError, KeyError, TypeError)):
            read_text_rules(damaged, "qwen2")
