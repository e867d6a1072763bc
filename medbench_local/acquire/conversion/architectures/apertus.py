"""Apertus: xIELU, whose four numbers are trained for every layer, and norms of queries and keys."""

from __future__ import annotations

from gguf import MODEL_ARCH, Keys

from medbench_local.acquire.conversion.architecture import Architecture, ExpectedTensor, Refusal, linear
from medbench_local.acquire.conversion.architectures import llama
from medbench_local.acquire.conversion.layers import ATTENTION, EMBEDDING, LAYER
from medbench_local.acquire.conversion.model_config import OTHER_ENGINE, ModelConfig
from medbench_local.acquire.conversion.refusals import NOT_TIED, WHOLE_HEADS
from medbench_local.acquire.conversion.tensor_shapes import (
    attended,
    down,
    head,
    keys,
    queries,
    up,
    vocabulary,
    width,
)


def _number(name: str, key: str) -> ExpectedTensor[ModelConfig]:
    return ExpectedTensor(f"{LAYER}.mlp.act_fn.{name}", lambda _config: (1,), key=key)


ARCHITECTURE: Architecture[ModelConfig] = Architecture(
    classes=("ApertusForCausalLM",),
    gguf=MODEL_ARCH.APERTUS,
    config=ModelConfig,
    assumed={
        "max_position_embeddings": 65536,
        "rms_norm_eps": 1e-5,
        "hidden_act": "xielu",
        "rope_theta": 12000000.0,
        "rope_scaling": {
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
        },
    },
    embedding=EMBEDDING,
    tensors=(
        ExpectedTensor(EMBEDDING, vocabulary),
        ExpectedTensor(f"{LAYER}.attention_layernorm.weight", width),
        *linear(f"{ATTENTION}.q_proj", queries, bias="optional"),
        *linear(f"{ATTENTION}.k_proj", keys, bias="optional"),
        *linear(f"{ATTENTION}.v_proj", keys, bias="optional"),
        ExpectedTensor(f"{ATTENTION}.q_norm.weight", head),
        ExpectedTensor(f"{ATTENTION}.k_norm.weight", head),
        *linear(f"{ATTENTION}.o_proj", attended, bias="optional"),
        ExpectedTensor(f"{LAYER}.feedforward_layernorm.weight", width),
        *linear(f"{LAYER}.mlp.up_proj", up),
        *linear(f"{LAYER}.mlp.down_proj", down),
        # as they are trained: llama.cpp puts the first two through softplus itself
        _number("alpha_n", Keys.xIELU.ALPHA_N),
        _number("alpha_p", Keys.xIELU.ALPHA_P),
        _number("beta", Keys.xIELU.BETA),
        _number("eps", Keys.xIELU.EPS),
        ExpectedTensor("model.norm.weight", width),
        ExpectedTensor("lm_head.weight", vocabulary),
    ),
    skipped=(r".*\.rotary_emb\.inv_freq",),
    refusals=(
        Refusal(
            "hidden_act",
            lambda config: config.hidden_act != "xielu",
            "llama.cpp computes it with xielu",
            OTHER_ENGINE,
        ),
        WHOLE_HEADS,
        NOT_TIED,
    ),
    write_keys=llama.write_keys,
    rope=("linear", "llama3"),
    states_head_size=False,
)
