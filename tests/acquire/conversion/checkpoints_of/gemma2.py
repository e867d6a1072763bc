"""Gemma 2: every second layer in a window; what transformers assumes is left out of one config.json."""

from __future__ import annotations

import math
from typing import Any

import torch

from tests.acquire.conversion.checkpoints_of import SMALL, Made

PIECES = {"add_dummy_prefix": False}
EXCEPTIONS = {
    "gemma2.rope.freq_base": "they leave it out for Gemma 2, llama.cpp then takes 10,000; we write what it is"
}
CONFIG = {
    **SMALL,
    "architectures": ["Gemma2ForCausalLM"],
    "model_type": "gemma2",
    "num_hidden_layers": 3,
    "head_dim": 128,
    "hidden_activation": "gelu_pytorch_tanh",
    "hidden_act": "gelu_pytorch_tanh",
    "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0,
    "sliding_window": 64,
    "query_pre_attn_scalar": 128,
    "attn_logit_softcapping": 5.0,
    "final_logit_softcapping": 3.0,
}


def gelu_of_ggml(model: Any) -> None:
    """ggml looks GELU up in a table of float16 for float16, between -10 and 10 (ggml-cpu/vec.h, GGML_GELU_FP16)."""

    def gelu(given: torch.Tensor) -> torch.Tensor:
        x = given.half().float()
        y = 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * x * (1 + 0.044715 * x * x)))
        y = y.half().float()
        return torch.where(given <= -10, torch.zeros_like(y), torch.where(given >= 10, given, y))

    for module in model.modules():
        if hasattr(module, "act_fn"):
            del module.act_fn
            module.act_fn = gelu


STRETCHED = dict.fromkeys(
    ("gemma2.rope.scaling.type", "gemma2.rope.scaling.factor"),
    "they leave it out for Gemma 2, so that llama.cpp would not stretch",
)


def _made(config: dict[str, Any], exceptions: dict[str, str] = EXCEPTIONS) -> Made:
    return Made(
        config,
        tolerance=1e-2,
        norm_mean=0.0,
        exceptions=exceptions,
        pieces=PIECES,
        emulate=gelu_of_ggml,
        again=exceptions is not EXCEPTIONS,
    )


SILENT = {"head_dim", "hidden_activation", "attn_logit_softcapping", "final_logit_softcapping"}
MADE = {
    "": _made(CONFIG),
    "silent and stretched": _made(
        {key: value for key, value in CONFIG.items() if key not in SILENT}
        | {
            "query_pre_attn_scalar": 256,
            "num_hidden_layers": 2,
            "rope_scaling": {"rope_type": "linear", "factor": 4.0},
        },
        EXCEPTIONS | STRETCHED,
    ),
}
