"""Tokens put together from words are those of the whole text: real questions, real vocabularies, any text."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medbench_local.engine import llama_model
from medbench_local.engine.llama_model import Model
from medbench_local.engine.word_tokens import SPLITS_AT_BLANKS, WordTokens, sentencepiece_allows
from medbench_local.tasks.load import load_task

PIECES = (
    *(
        " ",
        "  ",
        "\n",
        "\n\n",
        " \n ",
        "\t",
        "\u00a0",
        "\u3000",
        "▁",
        " ▁",
        "'s",
        " 's",
        "''",
        "(A)",
        " (A",
        "A.",
    ),
    *(
        "<s>",
        "</s>",
        "<unk>",
        " <s> ",
        "<|eot_id|>",
        "<|begin_of_text|>",
        "<|reserved_special_token_1|>",
        "<|",
        "|>",
    ),
    *(
        "aspirin",
        " Aspirin",
        "12345",
        " 1234567",
        "mg/dL",
        " µg",
        "é",
        "e\u0301",
        "שלום",
        "漢字",
        "🦙",
        "-",
        " - ",
        "...",
    ),
)
TEXTS = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=8)), max_size=30).map("".join)


@pytest.fixture(scope="module", params=["spm", "bpe"])
def model(request: pytest.FixtureRequest, shared_data: Path) -> Iterator[Model]:
    """A real vocabulary; every text is cut from the first one on."""
    found = Model(shared_data / "weights" / f"ggml-vocab-llama-{request.param}.gguf", vocab_only=True)
    found._before_words = 1
    found.tokenize("x", special=False)
    assert found._words is not None
    yield found
    found.close()


def _whole(model: Model, text: str, special: bool) -> list[int]:
    return list(model.tokens_of_whole(model._prepare(text, special), special))


def _check(model: Model, texts: Sequence[str]) -> None:
    for special in (False, True):
        for text in texts:
            assert model.tokenize(text, special=special) == _whole(model, text, special), (special, text)


@pytest.mark.parametrize("task", ["medqa", "medmcqa", "pubmedqa", "mmlu-clinical-knowledge"])
def test_real_questions(model: Model, shared_data: Path, task: str) -> None:
    texts = []
    for question in load_task(task, data_dir=shared_data, splits=("test",)).questions("test")[:150]:
        plain = f"Question: {question.text}\n\nAnswer:"
        chat = f"<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\n{question.text} [/INST] The answer is"
        turns = f"<|start_header_id|>user<|end_header_id|>\n\n{question.text} <|eot_id|>  Answer: "
        for begun in (plain, chat, turns):
            texts += [begun, *(f"{begun} {option}" for option in question.options), f"{begun}\n(A"]
    _check(model, texts)


def test_the_fixtures_of_llama_cpp(model: Model, shared_data: Path) -> None:
    for kind in ("spm", "bpe"):
        inputs = shared_data / "weights" / f"ggml-vocab-llama-{kind}.gguf.inp"
        texts = inputs.read_bytes().decode("utf-8").split("\n__ggml_vocab_test__\n")
        _check(model, [*texts, *(f"a {text} {text}" for text in texts)])


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(TEXTS, min_size=1, max_size=4), st.lists(TEXTS, min_size=1, max_size=3))
def test_any_text_after_any_other(model: Model, begun: list[str], ends: list[str]) -> None:
    _check(model, [beginning + end for beginning in begun for end in ends])


def _with_rule(source: Path, target: Path, rule: str) -> Path:
    """The vocabulary with another rule for splitting text before merging."""
    data, key = source.read_bytes(), b"tokenizer.ggml.pre"
    at = data.index(key) + len(key)
    kind, length = struct.unpack_from("<IQ", data, at)
    assert kind == 8
    name = rule.encode()
    target.write_bytes(data[:at] + struct.pack("<IQ", 8, len(name)) + name + data[at + 12 + length :])
    return target


@pytest.mark.parametrize("rule", sorted(SPLITS_AT_BLANKS))
def test_every_rule_that_is_trusted(shared_data: Path, tmp_path: Path, rule: str) -> None:
    source = shared_data / "weights" / "ggml-vocab-llama-bpe.gguf"
    model = Model(_with_rule(source, tmp_path / "vocabulary.gguf", rule), vocab_only=True)
    model._before_words = 1
    texts = [
        f"{question.text}  ({option}) = 12345 mg, don't  \n {option} "
        for question in load_task("mmlu-anatomy", data_dir=shared_data, splits=("test",)).questions("test")[
            :40
        ]
        for option in question.options
    ]
    texts += [
        f"{a}{b} {c}{d} {a}"
        for a in PIECES
        for b, c, d in zip(PIECES[1:], PIECES[2:], PIECES[5:], strict=False)
    ]
    _check(model, texts)
    assert model._words is not None
    model.close()


def test_an_unknown_rule_is_not_trusted(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "weights" / "ggml-vocab-llama-bpe.gguf"
    model = Model(_with_rule(source, tmp_path / "vocabulary.gguf", "superbpe"), vocab_only=True)
    model._before_words = 1
    _check(model, ["one two", "one two three"])
    assert model._words is None
    model.close()


def test_a_vocabulary_with_a_blank_within_an_entry_is_not_trusted() -> None:
    assert sentencepiece_allows(["▁the", "▁▁", "a", "<0x20>"])
    assert not sentencepiece_allows(["▁the", "of▁the"])


def test_a_word_is_tokenised_once() -> None:
    asked: list[str] = []

    def tokenize(text: str, special: bool) -> tuple[int, ...]:
        asked.append(text)
        return tuple(map(ord, text))

    words = WordTokens(tokenize, blank_first=False, always=(), control=())
    for option in ("one", "two", "one"):
        assert words(f"Which is right, of all of them? {option} x", False) == [
            ord(letter) for letter in f"Which is right, of all of them? {option} x"
        ]
    assert len(asked) == len(set(asked))


def test_few_texts_are_not_worth_reading_the_vocabulary(shared_data: Path) -> None:
    model = Model(shared_data / "weights" / "ggml-vocab-llama-spm.gguf", vocab_only=True)
    model.tokenize("a few words", special=False)
    assert model._words is None
    for _ in range(llama_model._FOR_WORDS // 10):
        model.tokenize("many words", special=False)
    assert model._words is not None
    model.close()
