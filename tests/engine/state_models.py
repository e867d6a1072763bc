"""Random models with a running state: checkpoints of transformers, converted by llama.cpp's own converter."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers

from tests.acquire.checkpoints import BPE_CONFIG, edit_json, small_bpe, write_json
from tests.acquire.conversion.official_converter import converter_folder

_COMMON: dict[str, Any] = {
    "vocab_size": 400,
    "bos_token_id": 398,
    "eos_token_id": 399,
    "hidden_size": 64,
    "tie_word_embeddings": False,
}
_ATTENTION = {"intermediate_size": 128, "num_attention_heads": 4, "num_key_value_heads": 2}
_MAMBA_2 = {
    "mamba_n_heads": 4,
    "mamba_d_head": 32,
    "mamba_d_state": 32,
    "mamba_n_groups": 1,
    "mamba_chunk_size": 32,
}
_DELTA = {
    "num_hidden_layers": 2,
    "layer_types": ["linear_attention", "full_attention"],
    "head_dim": 32,
    "linear_conv_kernel_dim": 4,
    "linear_key_head_dim": 32,
    "linear_value_head_dim": 32,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
}
_EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2}


@dataclass(frozen=True)
class Kind:
    """A class of transformers, without its endings, and what the converter needs beside the saved configuration."""

    name: str
    config: dict[str, Any]
    config_class: str = ""
    edits: dict[str, Any] | None = None


KINDS = {
    "mamba": Kind("Mamba", {"num_hidden_layers": 2, "state_size": 16, "time_step_rank": 8}),
    "mamba2": Kind(
        "Mamba2",
        {
            "num_hidden_layers": 2,
            "state_size": 32,
            "head_dim": 32,
            "num_heads": 4,
            "n_groups": 1,
            "chunk_size": 32,
        },
    ),
    "jamba": Kind(
        "Jamba",
        {
            **_ATTENTION,
            **_EXPERTS,
            "num_hidden_layers": 2,
            "attn_layer_period": 2,
            "attn_layer_offset": 1,
            "expert_layer_period": 2,
            "expert_layer_offset": 1,
            "mamba_dt_rank": 8,
        },
    ),
    "lfm2": Kind(
        "Lfm2",
        {
            **_ATTENTION,
            "num_hidden_layers": 2,
            "layer_types": ["conv", "full_attention"],
            "tie_word_embeddings": True,
            "block_auto_adjust_ff_dim": False,
        },
    ),
    "lfm2moe": Kind(
        "Lfm2Moe",
        {
            **_ATTENTION,
            **_EXPERTS,
            "num_hidden_layers": 2,
            "layer_types": ["conv", "full_attention"],
            "tie_word_embeddings": True,
            "moe_intermediate_size": 64,
            "num_dense_layers": 1,
        },
    ),
    "qwen3next": Kind(
        "Qwen3Next",
        {
            **_ATTENTION,
            **_EXPERTS,
            **_DELTA,
            "partial_rotary_factor": 0.5,
            "moe_intermediate_size": 64,
            "shared_expert_intermediate_size": 64,
        },
    ),
    "qwen35": Kind(
        "Qwen3_5",
        {
            **_ATTENTION,
            **_DELTA,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10000.0,
                "partial_rotary_factor": 0.5,
                "mrope_section": [3, 3, 2],
            },
        },
        "Qwen3_5TextConfig",
    ),
    "falcon-h1": Kind(
        "FalconH1", {**_ATTENTION, **_MAMBA_2, "num_hidden_layers": 2, "head_dim": 16, "mamba_d_ssm": 128}
    ),
    "granitehybrid": Kind(
        "GraniteMoeHybrid",
        {
            **_ATTENTION,
            **_MAMBA_2,
            "num_hidden_layers": 2,
            "layer_types": ["mamba", "attention"],
            "shared_intermediate_size": 64,
            "num_local_experts": 4,
            "num_experts_per_tok": 2,
            "position_embedding_type": "nope",
        },
        # the names that transformers 4 wrote and the converter reads
        edits={"layer_types": ["mamba", "attention"]},
    ),
}

_CONVERT = """
import sys
import convert_hf_to_gguf
from conversion import base, jamba
base.TextModel.get_vocab_base_pre = lambda self, tokenizer: "llama-bpe"
jamba.JambaModel.set_vocab = base.TextModel._set_vocab_gpt2
for name in sys.argv[1:]:
    sys.argv = ["convert", name, "--outfile", name + ".gguf", "--outtype", "f32"]
    sys.argv += ["--no-mtp"] * name.startswith("qwen")  # layers that guess further tokens, which these have not
    convert_hf_to_gguf.main()
"""


def random_network(kind: Kind) -> Any:
    """The model in transformers, float32, with norms, biases and decays that are not trivial."""
    torch.manual_seed(0)
    config_class = getattr(transformers, kind.config_class or f"{kind.name}Config")
    network = getattr(transformers, f"{kind.name}ForCausalLM")(config_class(**{**_COMMON, **kind.config}))
    network = network.float().eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, values in network.named_parameters():
            noise = torch.randn(values.shape, generator=generator)
            if name.endswith(("A_log", ".D", "dt_bias", "dt_proj.bias")) or "norm" in name:
                values.add_(0.2 * noise)
            elif values.ndim == 1:
                values.copy_(0.1 * noise)
            elif values.ndim == 3 and "conv" in name:
                values.copy_(0.5 * noise)
            else:
                values.copy_(1.2 * noise / values.shape[-1] ** 0.5)
    return network


def write_models(folder: Path) -> dict[str, Any]:
    """Each kind as ``<kind>.gguf`` in ``folder``; the networks by kind."""
    converter = converter_folder()
    networks = {}
    for name, kind in KINDS.items():
        networks[name] = random_network(kind)
        networks[name].save_pretrained(folder / name)
        if kind.edits:
            edit_json(folder / name / "config.json", **kind.edits)
        (folder / name / "tokenizer.json").write_text(small_bpe(), encoding="utf-8")
        write_json(folder / name / "tokenizer_config.json", BPE_CONFIG)
    done = subprocess.run(
        [sys.executable, "-c", _CONVERT, *KINDS],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(converter)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return networks
