"""Adapters that the peft library saved, merged here and by peft itself."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from medbench_local.acquire.conversion.checkpoint import CheckpointFolder
from medbench_local.acquire.conversion.views.adapter import merge_adapter
from tests.acquire.checkpoints import config, numbers, write_checkpoint

PROJECTIONS = ["q_proj", "v_proj", "down_proj"]

KINDS: dict[str, dict[str, Any]] = {
    "plain": {"target_modules": PROJECTIONS},
    "rank-stabilised": {"target_modules": PROJECTIONS, "use_rslora": True},
    "all linear, biases": {"target_modules": "all-linear", "bias": "all"},
    "called transposed": {"target_modules": PROJECTIONS, "fan_in_fan_out": True},
    "layers trained whole": {
        "target_modules": PROJECTIONS,
        "modules_to_save": ["embed_tokens", "lm_head", "norm"],
    },
    "embedding": {"target_modules": [*PROJECTIONS, "embed_tokens"]},
    "more tokens": {"target_modules": PROJECTIONS, "rows": 410},
    "more tokens with factors": {"target_modules": [*PROJECTIONS, "embed_tokens", "lm_head"], "rows": 410},
    "patterns": {
        "target_modules": PROJECTIONS,
        "rank_pattern": {r"layers\.1\.self_attn.q_proj": 2, "v_proj": 3, "^model.layers.0.mlp.down_proj": 5},
        "alpha_pattern": {"layers.(0|7).mlp.down_proj": 6, "v_proj": 2.5, "proj": 99},
    },
    "one matrix for both ends, more tokens": {"target_modules": PROJECTIONS, "rows": 410, "tied": True},
    "one matrix for both ends, trained": {
        "target_modules": PROJECTIONS,
        "modules_to_save": ["embed_tokens"],
        "ensure_weight_tying": True,
        "tied": True,
    },
}


def train(folder: Path, rows: int = 0, tied: bool = False, **options: Any) -> Path:
    """An adapter with random numbers in place of a training, as peft saves it; 16 bits hold the numbers, too."""
    import peft  # within functions: to load it takes each worker seconds, and few tests need it

    network = AutoModelForCausalLM.from_pretrained(folder.parent / "base", dtype=torch.float32)
    if rows:
        network.resize_token_embeddings(rows, mean_resizing=False)
    given = {key: value for key, value in options.items() if key != "bias"}
    model = peft.get_peft_model(
        network, peft.LoraConfig(r=4, lora_alpha=8, **given, bias=options.get("bias", "none"))
    )
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad or rows:
                parameter.copy_((torch.randn_like(parameter) * 0.1).bfloat16())
    model.save_pretrained(folder)
    return folder


def merged(folder: Path, dtype: torch.dtype, rows: int = 0) -> dict[str, torch.Tensor]:
    """What peft makes of the base and the adapter."""
    import peft

    network = AutoModelForCausalLM.from_pretrained(folder.parent / "base", dtype=dtype)
    if rows:
        network.resize_token_embeddings(rows, mean_resizing=False)
    whole = peft.PeftModel.from_pretrained(network, folder).merge_and_unload()
    found: dict[str, torch.Tensor] = {name: tensor.detach() for name, tensor in whole.state_dict().items()}
    return found


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
def test_the_same_as_peft_within_one_rounding(
    tmp_path: Path, options: dict[str, Any], dtype: torch.dtype
) -> None:
    values = config(tie_word_embeddings=options.get("tied", False), attention_bias="bias" in options)
    base = write_checkpoint(tmp_path / "base", values, dtype=dtype)
    adapter = train(tmp_path / "adapter", **options)
    theirs = merged(adapter, dtype, options.get("rows", 0))
    view = merge_adapter(CheckpointFolder(base), adapter)
    before = CheckpointFolder(base).tensors
    changed = 0
    for name, tensor in view.tensors.items():
        ours = torch.from_numpy(numbers(tensor).copy())
        ours = ours if tensor.dtype == "F32" else ours.view(dtype)
        expected = theirs.pop(name)
        assert ours.shape == expected.shape, name
        assert ours.dtype == dtype
        difference = (ours.double() - expected.double()).abs()
        # one rounding of the storage type; and of peft's float32 products, which are summed in another order
        allowed = torch.finfo(dtype).eps * expected.double().abs() + 1e-7
        if "embed_tokens" in options["target_modules"] and name.startswith("model.embed"):
            # in 16 bits peft rounds what is added to an embedding before it adds it
            allowed += torch.finfo(dtype).eps / 2 * expected.double().abs().max()
        assert bool((difference <= allowed).all()), f"{name}: {difference.max()}"
        kept = before.get(name)
        changed += (
            kept is None or kept.shape != tensor.shape or bool((numbers(kept) != numbers(tensor)).any())
        )
    assert changed >= 2 * len(PROJECTIONS)
    assert set(theirs) <= ({"lm_head.weight"} if options.get("tied") else set())


@pytest.mark.filterwarnings("ignore")
def test_what_peft_writes_of_other_kinds_is_refused(tmp_path: Path) -> None:
    from medbench_local.errors import AcquireError

    base = write_checkpoint(tmp_path / "base", dtype=torch.float32)
    for name, options, says in (
        ("dora", {"use_dora": True}, "use_dora"),
        ("rows", {"trainable_token_indices": [3, 5]}, "trainable_token_indices"),
        ("pissa", {"init_lora_weights": "pissa"}, "init_lora_weights 'pissa'"),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            adapter = train(tmp_path / name, target_modules=PROJECTIONS, **options)
        with pytest.raises(AcquireError, match=says):
            merge_adapter(CheckpointFolder(base), adapter)
    described = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    assert described["base_model_name_or_path"] == str(base)
