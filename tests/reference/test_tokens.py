"""Token ids against llama.cpp: its own fixtures for the Llama-2 vocabulary, and the converted tiny checkpoint."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from medbench_local.acquire.conversion.convert import convert_checkpoint
from medbench_local.engine.llama import tokenize
from medbench_local.engine.llama_model import Model
from medbench_local.reference.tokens import Tokenizer, read_tokenizer
from medbench_local.tasks.load import load_task

TEXTS = (
    "",
    " ",
    "Answer: ",
    "Once upon a time\n\nANSWER -- ",
    "  two  blanks  ",
    "\ttab\r\n",
    "½ µg/dL naïve Führer 🦙 нещо",
    "a<s>b</s> <unk>",
    "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nWhich? [/INST] (A",
    "<0x41> ▁A",
    "\u0000 nul",
)


@pytest.fixture(scope="module")
def stories(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Tokenizer, Model]]:
    folder = shared_data / "weights" / "stories260K"
    target = tmp_path_factory.mktemp("tokens") / "stories.gguf"
    convert_checkpoint(folder, target)
    model = Model(target, vocab_only=True)
    yield read_tokenizer(folder, 512), model
    model.close()


@pytest.mark.parametrize("special", [False, True])
@pytest.mark.parametrize("bos", ["once", "twice"])
def test_as_llama_cpp_tokenises(stories: tuple[Tokenizer, Model], special: bool, bos: str) -> None:
    tokenizer, model = stories
    for text in TEXTS[:-1]:
        ours = tokenizer(text, special=special, bos=bos)  # type: ignore[arg-type]
        assert ours == tokenize(model, text, special=special, bos=bos), text  # type: ignore[arg-type]


def test_real_questions(stories: tuple[Tokenizer, Model], shared_data: Path) -> None:
    tokenizer, model = stories
    for question in load_task("mmlu-anatomy", data_dir=shared_data).questions("test"):
        text = "\n".join((question.text, *question.options, "Answer: "))
        assert tokenizer(text, special=False) == tokenize(model, text, special=False, bos="once")


def test_letters_are_the_vocabulary_entries(stories: tuple[Tokenizer, Model]) -> None:
    tokenizer, model = stories
    assert len(tokenizer.letters) >= 5
    for letter, token in zip("ABCDEFGHIJKLMNOPQRSTUVWXYZ", tokenizer.letters, strict=False):
        assert model.token_of(letter) == token


@pytest.fixture(scope="module")
def llama_2(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder = tmp_path_factory.mktemp("llama-2")
    shutil.copy(shared_data / "weights" / "llama-2-tokenizer.model", folder / "tokenizer.model")
    described = {
        "tokenizer_class": "LlamaTokenizer",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(described), encoding="utf-8")
    (folder / "config.json").write_text(json.dumps({"bos_token_id": 1, "eos_token_id": 2}), encoding="utf-8")
    return read_tokenizer(folder, 32000)


def test_llama_cpps_fixtures(llama_2: Tokenizer, shared_data: Path) -> None:
    path = shared_data / "weights" / "ggml-vocab-llama-spm.gguf"
    texts = Path(f"{path}.inp").read_bytes().decode("utf-8").split("\n__ggml_vocab_test__\n")
    lines = Path(f"{path}.out").read_text(encoding="utf-8").splitlines()
    assert len(lines) > 30
    for text, line in zip(texts, lines, strict=False):
        assert llama_2(text, special=False) == (1, *map(int, line.split())), text


def test_the_llama_2_letters(llama_2: Tokenizer) -> None:
    assert llama_2.letters[0] == 29909
    assert len(llama_2.letters) == 26


def test_a_chat_prompt(llama_2: Tokenizer, shared_data: Path) -> None:
    model = Model(shared_data / "weights" / "ggml-vocab-llama-spm.gguf", vocab_only=True)
    for text in TEXTS[:-1]:
        assert llama_2(text, special=True, bos="twice") == tokenize(model, text, special=True, bos="twice"), (
            text
        )
    model.close()


def test_byte_level_bpe_through_transformers(tmp_path: Path) -> None:
    from tokenizers import AddedToken, decoders, models, pre_tokenizers, trainers
    from tokenizers import Tokenizer as Bpe

    bpe = Bpe(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<|begin|>", "<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    bpe.train_from_iterator(["Which one? Answer: A", "the end of the story"], trainer)
    bpe.add_special_tokens([AddedToken("<|begin|>", special=True), AddedToken("<|end|>", special=True)])
    path = tmp_path / "tokenizer.json"
    bpe.save(str(path))
    from medbench_local.reference.tokens import _transformers

    bare, spells = _transformers(tmp_path)
    for text in ("Which one? 世界 é\n<|end|>", "Answer: A", "  the end"):
        for special in (True, False):
            assert b"".join(map(spells, bare(text, special))) == text.encode()
    end = bpe.token_to_id("<|end|>")
    assert bare("Answer: <|end|>", True)[-1] == end
    assert end not in bare("Answer: <|end|>", False)
    assert bpe.decode(bare("Answer: <|end|>", False)) == "Answer: <|end|>"
