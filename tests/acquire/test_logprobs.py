"""Log-probabilities through the converted file against transformers in float32 on the same checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from medbench_local.acquire.conversion.convert import convert_checkpoint
from medbench_local.engine.base import EngineOptions, Pack, ScoreRequest
from medbench_local.engine.llama import LlamaEngine
from tests.acquire.checkpoints import LLAMA3_ROPE, config, write_checkpoint

FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {},
    "grouped": {"num_attention_heads": 8, "num_key_value_heads": 2},
    "wide heads": {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 48},
    "tied": {"tie_word_embeddings": True},
    "llama3 rope": {
        "rope_theta": 500000.0,
        "head_dim": 32,
        "rope_scaling": {**LLAMA3_ROPE, "original_max_position_embeddings": 64},
    },
    "linear rope": {"rope_scaling": {"rope_type": "linear", "factor": 4.0}},
    "bias": {"attention_bias": True},
    "mistral": {
        "architectures": ["MistralForCausalLM"],
        "model_type": "mistral",
        "num_key_value_heads": 2,
        "sliding_window": 512,
        "rope_theta": 1e6,
    },
}
LENGTH = 96


@pytest.mark.parametrize("changes", FAMILIES.values(), ids=FAMILIES)
@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_logprobs_equal_transformers(tmp_path: Path, changes: dict[str, Any], kind: str) -> None:
    values = {"num_key_value_heads": 4, **changes}
    folder = write_checkpoint(tmp_path / "model", config(**values), dtype=torch.bfloat16, kind=kind, shards=2)
    # F32 holds the same numbers; with BF16 weights llama.cpp rounds the activations to BF16 as well
    path = tmp_path / "model.gguf"
    convert_checkpoint(folder, path, file_type="f32")
    tokens = tuple(int(i) for i in np.random.default_rng(0).integers(3, 399, LENGTH))
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        rows = theirs(torch.tensor([tokens])).logits[0].double().log_softmax(-1).numpy()
    requests = tuple(ScoreRequest(tokens[:n], tuple((i,) for i in range(0, 400, 7))) for n in (1, 17, LENGTH))
    with LlamaEngine(path, EngineOptions(n_ctx=256, threads=1)) as engine:
        scores = engine.score(Pack((), requests))
    for request, score in zip(requests, scores, strict=True):
        expected = rows[len(request.context) - 1, ::7]
        np.testing.assert_allclose(score.logprobs, expected, atol=2e-4)


def test_the_check_can_fail(tmp_path: Path) -> None:
    """Random weights are sharp enough that another rotation would be seen."""
    tokens = torch.tensor([list(range(3, 3 + LENGTH))])
    folder = write_checkpoint(tmp_path / "model", config(), dtype=torch.bfloat16)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        right = model(tokens).logits[0, -1].log_softmax(-1)
        for layer in model.model.layers:
            rows = layer.self_attn.q_proj.weight
            rows.copy_(rows.reshape(4, 8, 2, 64).swapaxes(1, 2).reshape(64, 64))
        wrong = model(tokens).logits[0, -1].log_softmax(-1)
    assert float((right - wrong).abs().max()) > 5e-3
