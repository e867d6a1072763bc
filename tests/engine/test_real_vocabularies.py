"""llama.cpp's own fixtures: texts and the ids that each real vocabulary's own tokenizer gave for them."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from medbench_local.engine.llama_model import Model
from medbench_local.files.text_rules import NORMALISED
from tests.acquire.conversion.official_converter import converter_folder

NAMES = (
    *("command-r", "deepseek-coder", "deepseek-llm", "falcon", "gemma-4", "gpt-2", "llama-bpe", "llama-spm"),
    *("mpt", "phi-3", "qwen2", "qwen35", "refact", "starcoder"),
)
BY_WORDS = {
    *(
        "command-r",
        "gpt-2",
        "llama-bpe",
        "llama-spm",
        "mpt",
        "phi-3",
        "qwen2",
        "qwen35",
        "refact",
        "starcoder",
    )
}


@pytest.fixture(scope="module")
def folder() -> Path:
    return converter_folder() / "models"


def test_no_fixture_is_forgotten(folder: Path) -> None:
    found = {path.name for path in folder.glob("*.gguf.out")}
    # bert-bge: a model with an encoder
    assert found == {f"ggml-vocab-{name}.gguf.out" for name in (*NAMES, "bert-bge")}


@pytest.mark.parametrize("name", NAMES)
def test_ids_of_the_fixtures(folder: Path, name: str) -> None:
    path = folder / f"ggml-vocab-{name}.gguf"
    texts = Path(f"{path}.inp").read_bytes().decode("utf-8").split("\n__ggml_vocab_test__\n")
    lines = Path(f"{path}.out").read_text(encoding="utf-8").split("\n")
    expected = [[int(number) for number in line.split()] for line in lines[: len(texts)]]
    assert len(expected) == len(texts) > 40
    model = Model(path, vocab_only=True)
    model._words, model._before_words = model._make_words(), 0
    assert (model._words is not None) == (name in BY_WORDS)
    for text, ids in zip(texts, expected, strict=True):
        if model._splitting in NORMALISED and not unicodedata.is_normalized("NFC", text):
            # the fixture's ids are of the text as it is, the model's own tokenizer normalises it
            composed = unicodedata.normalize("NFC", text)
            assert model.tokenize(text, special=False) == model.tokenize(composed, special=False)
            assert model._words is not None
            assert model._words(text, False) == ids
        else:
            assert model.tokenize(text, special=False) == ids, text
    model.close()


@pytest.mark.parametrize(
    ("name", "same"), [("qwen2", True), ("command-r", True), ("gpt-2", False), ("llama-spm", False)]
)
def test_accents_as_characters_of_their_own(folder: Path, name: str, same: bool) -> None:
    model = Model(folder / f"ggml-vocab-{name}.gguf", vocab_only=True)
    composed = "Ménière, Sjögren"
    decomposed = unicodedata.normalize("NFD", composed)
    ids = [model.tokenize(text, special=False) for text in (composed, decomposed)]
    assert (ids[0] == ids[1]) is same
    assert b"".join(map(model.piece, ids[1])).decode().strip() == (composed if same else decomposed)
    model.close()
