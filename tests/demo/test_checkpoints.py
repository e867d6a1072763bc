"""The pair's checkpoints: complete, small, and the same to torch, transformers and llama.cpp."""

from __future__ import annotations

import json
import string
from pathlib import Path

import pytest
import sentencepiece
from safetensors import safe_open

from medbench_local.acquire.conversion.convert import convert_checkpoint
from medbench_local.demo.tokens import train_tokenizer
from medbench_local.demo.train import HERE
from medbench_local.engine.llama_model import Model
from medbench_local.prompts.families import FAMILIES
from medbench_local.prompts.grammar import sample_format
from medbench_local.prompts.template import Template, letter, write_answer, write_plain, write_question
from medbench_local.tasks.question import Question

torch = pytest.importorskip("torch")

from medbench_local.demo.checkpoint import load, save  # noqa: E402

NAMES = ("demo-base", "demo-med")
FILES = {
    "config.json",
    "model.safetensors",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "training.json",
}
TEMPLATES = (FAMILIES["generic"].template, *(sample_format(seed).template() for seed in range(10)))


def folder(name: str) -> Path:
    return HERE / "checkpoints" / name


def question(task: str, split: str, row: int) -> Question:
    lines = (HERE / "tasks" / task / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
    read = json.loads(lines[row])
    return Question(read["id"], read["question"], tuple(read["options"]), read["answer"])


def prompt(template: Template, task: str, shots: int) -> str:
    shown = [question(task, "demonstrations", row) for row in range(shots)]
    asked = question(task, "test", 0)
    system = FAMILIES["generic"].system_for(task, len(asked.options))
    solved = [(write_question(template, one), write_answer(template, one)) for one in shown]
    return write_plain(template, system, solved, write_question(template, asked))


PROMPTS = [
    prompt(template, task, shots)
    for template in TEMPLATES
    for task in ("demo-pharmacology", "demo-anatomy", "demo-biology")
    for shots in (0, 3)
]


@pytest.mark.parametrize("name", NAMES)
class TestFiles:
    def test_complete_and_small(self, name: str) -> None:
        assert {path.name for path in folder(name).iterdir()} == FILES
        assert sum(path.stat().st_size for path in folder(name).iterdir()) < 6_000_000

    def test_rows_fit_the_blocks_of_k_quants(self, name: str) -> None:
        with safe_open(folder(name) / "model.safetensors", framework="pt") as tensors:
            for key in tensors.keys():  # noqa: SIM118 - not a dict
                tensor = tensors.get_slice(key)
                assert tensor.get_dtype() == "BF16"
                assert tensor.get_shape()[-1] % 256 == 0, key

    def test_the_record_names_seed_losses_and_versions(self, name: str) -> None:
        record = json.loads((folder(name) / "training.json").read_text(encoding="utf-8"))
        assert record["model"] == name
        assert record["versions"].keys() == {"python", "torch", "sentencepiece"}
        losses = [loss for stage in record["stages"] for _, loss in stage["losses"]]
        assert losses[-1] < losses[0]


class TestTokenizer:
    def test_the_script_makes_it_again(self) -> None:
        made = sentencepiece.SentencePieceProcessor(model_proto=train_tokenizer())
        for name in NAMES:
            stored = sentencepiece.SentencePieceProcessor(model_file=str(folder(name) / "tokenizer.model"))
            assert [stored.id_to_piece(i) for i in range(len(stored))] == [
                made.id_to_piece(i) for i in range(len(made))
            ]

    def test_size_and_letters(self) -> None:
        tokenizer = sentencepiece.SentencePieceProcessor(
            model_file=str(folder("demo-med") / "tokenizer.model")
        )
        assert len(tokenizer) % 256 == 0
        pieces = [tokenizer.id_to_piece(i) for i in range(len(tokenizer))]
        assert all(pieces.count(one) == 1 for one in string.ascii_uppercase)

    def test_round_trip(self) -> None:
        tokenizer = sentencepiece.SentencePieceProcessor(
            model_file=str(folder("demo-med") / "tokenizer.model")
        )
        for text in (*PROMPTS, "Émile  took 3 µg — twice.\n\n\t", "日本"):
            assert tokenizer.decode(tokenizer.encode(text)) == text

    def test_the_letter_follows_every_prompt_as_its_own_token(self) -> None:
        """The tokens of a prompt that ends in a line break go on with the bare letter."""
        tokenizer = sentencepiece.SentencePieceProcessor(
            model_file=str(folder("demo-med") / "tokenizer.model")
        )
        tried = 0
        for text in PROMPTS:
            if text.endswith("\n"):
                assert tokenizer.encode(text + "B") == [*tokenizer.encode(text), tokenizer.piece_to_id("B")]
                tried += 1
        assert tried

    def test_prompts_fit_the_context_twice(self) -> None:
        tokenizer = sentencepiece.SentencePieceProcessor(
            model_file=str(folder("demo-med") / "tokenizer.model")
        )
        config = json.loads((folder("demo-med") / "config.json").read_text(encoding="utf-8"))
        assert 2 * max(len(tokenizer.encode(text)) for text in PROMPTS) < config["max_position_embeddings"]

    def test_llama_cpp_sees_the_same_tokens(self, tmp_path: Path) -> None:
        checkpoint = folder("demo-base")
        convert_checkpoint(checkpoint, tmp_path / "model.gguf")
        model = Model(tmp_path / "model.gguf", vocab_only=True)
        tokenizer = sentencepiece.SentencePieceProcessor(model_file=str(checkpoint / "tokenizer.model"))
        try:
            for text in PROMPTS:
                assert model.tokenize(text, special=False) == tokenizer.encode(text)
            for one in "ABCDE":
                assert model.token_of(one) == tokenizer.piece_to_id(one)
        finally:
            model.close()


@pytest.mark.parametrize("name", NAMES)
class TestModel:
    def test_transformers_computes_the_same(self, name: str) -> None:
        transformers = pytest.importorskip("transformers")
        theirs = transformers.AutoModelForCausalLM.from_pretrained(folder(name), dtype=torch.float32)
        ours = load(folder(name)).eval()
        tokenizer = sentencepiece.SentencePieceProcessor(model_file=str(folder(name) / "tokenizer.model"))
        for text in PROMPTS[:6]:
            tokens = torch.tensor([tokenizer.encode(text, add_bos=True)])
            with torch.no_grad():
                torch.testing.assert_close(
                    ours.logits(ours.hidden(tokens)), theirs(tokens).logits, atol=1e-3, rtol=1e-4
                )

    def test_transformers_reads_the_tokenizer_alike(self, name: str) -> None:
        transformers = pytest.importorskip("transformers")
        theirs = transformers.AutoTokenizer.from_pretrained(folder(name))
        tokenizer = sentencepiece.SentencePieceProcessor(model_file=str(folder(name) / "tokenizer.model"))
        for text in PROMPTS:
            assert theirs(text)["input_ids"] == tokenizer.encode(text, add_bos=True)

    def test_saving_changes_nothing(self, name: str, tmp_path: Path) -> None:
        model = load(folder(name))
        save(model, (folder(name) / "tokenizer.model").read_bytes(), tmp_path)
        for path in tmp_path.iterdir():
            assert path.read_bytes() == (folder(name) / path.name).read_bytes(), path.name


def correct(name: str, task: str) -> list[bool]:
    """Which of the first test questions the model answers, in the usual template without demonstrations."""
    model = load(folder(name)).eval()
    tokenizer = sentencepiece.SentencePieceProcessor(model_file=str(folder(name) / "tokenizer.model"))
    template = FAMILIES["generic"].template
    found = []
    for row in range(150):
        asked = question(task, "test", row)
        system = FAMILIES["generic"].system_for(task, len(asked.options))
        text = write_plain(template, system, [], write_question(template, asked))
        with torch.no_grad():
            logits = model.logits(model.hidden(torch.tensor([tokenizer.encode(text, add_bos=True)])))[0, -1]
        letters = [tokenizer.piece_to_id(letter(option)) for option in range(len(asked.options))]
        found.append(int(logits[letters].argmax()) == asked.answer)
    return found


@pytest.mark.parametrize(
    ("task", "low", "high"),
    [("demo-pharmacology", 0.15, 1.0), ("demo-anatomy", -0.05, 0.05), ("demo-biology", -1.0, -0.1)],
)
def test_a_win_a_tie_and_a_loss(task: str, low: float, high: float) -> None:
    medical, base = correct("demo-med", task), correct("demo-base", task)
    assert low < (sum(medical) - sum(base)) / len(base) < high
