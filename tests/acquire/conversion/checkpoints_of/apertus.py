"""Apertus: xIELU with other numbers in every layer, the positions of Llama 3.1, and biases in the attention."""

from __future__ import annotations

from typing import Any

import torch

from tests.acquire.checkpoints import LLAMA3_ROPE
from tests.acquire.conversion.checkpoints_of import SMALL, Made

CONFIG = {
    **SMALL,
    "architectures": ["ApertusForCausalLM"],
    "model_type": "apertus",
    "hidden_act": "xielu",
    "rms_norm_eps": 1e-5,
    "rope_theta": 12000000.0,
    "rope_scaling": {**LLAMA3_ROPE, "original_max_position_embeddings": 128},
    "attention_bias": True,
    "tie_word_embeddings": False,
}


def _activations(model: Any) -> None:
    for i, layer in enumerate(model.model.layers):
        activation = layer.mlp.act_fn
        activation.alpha_n.data.fill_(0.4 + 0.5 * i)
        activation.alpha_p.data.fill_(0.9 - 0.3 * i)
        activation.beta.data = torch.tensor(0.5 + 0.25 * i)
        activation.eps.data = torch.tensor(-1e-6)


MADE = {"": Made(CONFIG, prepare=_activations, precise=True)}
