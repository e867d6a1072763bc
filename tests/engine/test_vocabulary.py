"""Token ids against llama.cpp's own fixtures for the real Llama-2 and Llama-3 vocabularies, and the BOS rule."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from medbench_local.engine.base import EngineOptions
from medbench_local.engine.llama import LlamaEngine, tokenize
from medbench_local.engine.llama_model import Model
from medbench_local.errors import EngineError


@pytest.fixture(scope="module", params=["spm", "bpe"])
def vocabulary(request: pytest.FixtureRequest, shared_data: Path) -> Iterator[tuple[Path, Model]]:
    path = shared_data / "weights" / f"ggml-vocab-llama-{request.param}.gguf"
    model = Model(path, vocab_only=True)
    yield path, model
    model.close()


def test_fixtures(vocabulary: tuple[Path, Model]) -> None:
    path, model = vocabulary
    separator = "\n__ggml_vocab_test__\n"
    texts = Path(f"{path}.inp").read_bytes().decode("utf-8").split(separator)
    lines = Path(f"{path}.out").read_text(encoding="utf-8").splitlines()
    assert len(lines) > 30
    for text, line in zip(texts, lines, strict=False):
        expected = tuple(map(int, line.split()))
        assert model.bos is not None
        assert tokenize(model, text, special=False, bos="once") == (model.bos, *expected), text


def test_letters_and_special_tokens(vocabulary: tuple[Path, Model]) -> None:
    _, model = vocabulary
    letter = model.token_of("A")
    assert letter is not None
    assert model.piece(letter) == b"A"
    assert model.token_of("no such entry at all") is None
    assert model.bos is not None
    bos_text = model.entry(model.bos)
    inside = tokenize(model, f"a{bos_text}b", special=False, bos="once")
    assert inside.count(model.bos) == 1
    chat = f"{bos_text}[INST] a [/INST]"
    once, twice = (tokenize(model, chat, special=True, bos=bos) for bos in ("once", "twice"))
    assert once[0] == model.bos
    assert once.count(model.bos) == 1
    assert twice == (model.bos, *once)
    for bos in ("once", "twice"):
        plain = tokenize(model, "a", special=True, bos=bos)
        assert plain.count(model.bos) == 1


def test_llama_2_letters_are_the_ones_without_a_blank(shared_data: Path) -> None:
    from sentencepiece import SentencePieceProcessor

    weights = shared_data / "weights"
    model = Model(weights / "ggml-vocab-llama-spm.gguf", vocab_only=True)
    pieces = SentencePieceProcessor(model_file=str(weights / "llama-2-tokenizer.model"))
    for letter in "ABCDE":
        assert model.token_of(letter) == pieces.piece_to_id(letter)
    model.close()


def test_awkward_texts(models: Path) -> None:
    with LlamaEngine(models / "f16.gguf", EngineOptions(n_ctx=256, threads=1)) as engine:
        texts = ["", " ", "a\x00b", "שלום 🙂\r\n", "x" * 3000]
        for text, tokens in zip(texts, engine.tokenize(texts, special=False), strict=True):
            assert tokens[0] == 1
            written = b"".join(engine._model.piece(token) for token in tokens).decode("utf-8")
            assert written == (text and f" {text}")  # SentencePiece puts a blank in front
        with pytest.raises(EngineError, match="Unicode"):
            engine.tokenize(["\ud800"], special=False)
