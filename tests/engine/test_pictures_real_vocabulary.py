"""Prompts of real questions, in the forms of the models with pictures, against the real SentencePiece vocabulary."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from sentencepiece import SentencePieceProcessor

from medbench_local.acquire.conversion.convert import convert_checkpoint
from medbench_local.engine.llama_model import Model
from medbench_local.engine.picture_prompts import tokenizer_of
from medbench_local.vision.parts import VisionParts
from tests.acquire.checkpoints import (
    SPM_CONFIG,
    config,
    edit_json,
    write_checkpoint,
    write_llama2_tokenizer,
)
from tests.engine.seeing import SHOWN, TAGGED

ROWS, FIRST = 3, 32009
LLAVA = VisionParts(
    "llava", "0" * 64, -2, "floor", "crop", ROWS, 16,
    projector="linear", begin=SHOWN[0], patch=SHOWN[1], end=SHOWN[2],
)  # fmt: skip
CUT = VisionParts("llava", "0" * 64, -2, "floor", "pad", ROWS, 16, projector="mlp2x_gelu")
FLAMINGO = VisionParts(
    "flamingo", "0" * 64, -1, "bankers", "crop", ROWS, 16, tag=TAGGED[1], blocks=(1,), latents=2
)


@pytest.fixture(scope="module")
def questions(shared_data: Path) -> list[str]:
    rows = json.loads((shared_data / "vqa_rad" / "testset.json").read_text(encoding="utf-8"))
    return [row["question"] for row in rows]


def model_of(folder: Path, shared_data: Path, added: tuple[str, ...]) -> Model:
    values = config(hidden_size=16, intermediate_size=16, num_hidden_layers=1, vocab_size=32000 + len(added))
    write_checkpoint(folder, values, dtype=torch.float16)
    write_llama2_tokenizer(folder, shared_data / "weights")
    entries = {str(32000 + i): {"content": text, "special": True} for i, text in enumerate(added)}
    edit_json(folder / "tokenizer_config.json", **SPM_CONFIG, added_tokens_decoder=entries)
    convert_checkpoint(folder, folder / "model.gguf")
    return Model(folder / "model.gguf", vocab_only=True)


@pytest.mark.parametrize("by_words", [False, True], ids=["whole", "by words"])
@pytest.mark.parametrize(
    ("parts", "added"), [(LLAVA, SHOWN), (CUT, ()), (FLAMINGO, TAGGED)], ids=["llava", "cut", "flamingo"]
)
def test_ids_are_those_of_sentencepiece_between_pictures(
    tmp_path: Path,
    shared_data: Path,
    questions: list[str],
    parts: VisionParts,
    added: tuple[str, ...],
    by_words: bool,
) -> None:
    model = model_of(tmp_path / "model", shared_data, added)
    pieces = SentencePieceProcessor(model_file=str(shared_data / "weights" / "llama-2-tokenizer.model"))
    if by_words:
        model._words, model._before_words = model._make_words(), 0
        assert model._words is not None
    tokenize = tokenizer_of(model, parts, "vision.safetensors")
    ids = {text: 32000 + i for i, text in enumerate(added)}
    size = 1 if parts is FLAMINGO else ROWS
    for number, (one, two) in enumerate(pairwise(questions)):
        if parts is FLAMINGO:
            texts = ["You see.\n", f"Question: {one} (A) yes, (B) no; Answer: (A) yes.<|endofchunk|>"]
            texts.append(f"Question: {two} (A) yes, (B) no; Answer: ")
        else:
            texts = [f"You see.\n\n### Human: {one}\nOptions: (A) yes (B) no\n"]
            texts += [f"\n### Assistant: (A) yes\n### Human: {two} \n", "\n### Assistant:"]
        shown = None if number % 3 == 0 and parts is not CUT else FIRST
        found = tokenize(
            [texts[0], shown, texts[1], FIRST + size, texts[2]], special=parts is FLAMINGO, bos="once"
        )
        expected = [1]
        for place, text in enumerate(texts):
            for at, segment in enumerate(text.split(TAGGED[0])):
                expected += [ids.get(TAGGED[0], 0)] * (at > 0) + pieces.encode(segment)
            if place == 2:
                break
            first = shown if place == 0 else FIRST + size
            if parts is FLAMINGO:
                expected.append(ids[TAGGED[1]] if first is None else first)
                continue
            rows = [ids[SHOWN[1]]] * ROWS if first is None else [*range(first, first + ROWS)]
            expected += [ids[SHOWN[0]], *rows, ids[SHOWN[2]]] if parts is LLAVA else rows
        assert list(found) == expected
    model.close()
