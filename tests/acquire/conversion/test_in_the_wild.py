"""Checkpoints as they lie about: other names, other spellings, other files beside them; against transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_model
from transformers import AutoModelForCausalLM
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from medbench_local.acquire.conversion.architectures import architectures, with_known_class
from medbench_local.acquire.conversion.checkpoint import CheckpointFolder
from medbench_local.acquire.conversion.convert import convert_checkpoint
from medbench_local.acquire.fetch import folder_layout
from medbench_local.errors import InputError, UnsupportedArchitectureError
from tests.acquire.checkpoints import config, edit_json, tensors, write_checkpoint, write_json, write_weights
from tests.acquire.gguf_content import read_content

STATE = tensors(config(), torch.float16)


def converted(folder: Path) -> bytes:
    output = folder.with_suffix(".gguf")
    convert_checkpoint(folder, output)
    return output.read_bytes()


def loaded(folder: Path) -> dict[str, torch.Tensor]:
    """The tensors that transformers loads."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float16)
    found: dict[str, torch.Tensor] = model.state_dict()
    return found


def test_of_two_sets_the_one_that_transformers_loads_is_read(tmp_path: Path) -> None:
    plain = converted(write_checkpoint(tmp_path / "plain"))
    for kind, stem in (("safetensors", "model"), ("bin", "pytorch_model")):
        folder = write_checkpoint(tmp_path / kind, kind=kind)
        whole = (folder / f"{stem}.{kind}").read_bytes()
        write_weights(folder, tensors(config(), torch.float16, seed=9), kind=kind, shards=3)
        (folder / f"{stem}.{kind}").write_bytes(whole)
        assert converted(folder) == plain
        theirs = loaded(folder)
        assert all(torch.equal(theirs[name], tensor) for name, tensor in STATE.items())
        (warning,) = folder_layout(folder).warnings
        assert f"two sets of weights, {stem}.{kind} and {stem}-00001-of-00003.{kind}" in warning


@pytest.mark.parametrize("kept", ["model.embed_tokens.weight", "lm_head.weight"])
def test_one_matrix_for_both_ends_is_read_under_either_name(tmp_path: Path, kept: str) -> None:
    values = config(tie_word_embeddings=True)
    plain = converted(write_checkpoint(tmp_path / "plain", values))
    folder = write_checkpoint(tmp_path / "other", values)
    state = tensors(values, torch.float16)
    write_weights(folder, {kept: state.pop("model.embed_tokens.weight"), **state})
    assert converted(folder) == plain
    theirs = loaded(folder)
    content = read_content(folder.with_suffix(".gguf"))
    assert "output.weight" not in content.tensors
    expected = theirs["model.embed_tokens.weight"].view(torch.uint8).numpy().tobytes()
    assert content.tensors["token_embd.weight"][2] == expected


def test_what_safetensors_itself_leaves_of_a_tied_model_is_read(tmp_path: Path) -> None:
    values = config(tie_word_embeddings=True)
    folder = write_checkpoint(tmp_path / "model", values)
    plain = converted(folder)
    save_model(
        AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float16), folder / "model.safetensors"
    )
    assert converted(folder) == plain


def test_an_output_alone_does_not_stand_for_an_embedding_of_its_own(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "model")
    write_weights(folder, {name: tensor for name, tensor in STATE.items() if "embed_tokens" not in name})
    with pytest.raises(InputError, match="embed_tokens"):
        converted(folder)


BUFFERS: dict[str, torch.Tensor] = {
    "model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(8),
    "model.rotary_emb.inv_freq": torch.ones(8),
    "model.layers.1.self_attn.rotary_emb.cos_cached": torch.ones(1, 1, 9, 16),
    "model.layers.1.self_attn.rotary_emb.sin_cached": torch.ones(1, 1, 9, 16),
    "model.layers.0.attention.masked_bias": torch.tensor(-1e9),
    "model.layers.0.attention.bias": torch.ones(1, 1, 9, 9, dtype=torch.uint8),
    "model.embed_tokens.position_ids": torch.arange(9)[None],
    "model.causal_mask": torch.ones(9, 9, dtype=torch.bool),
    "v_head.summary.weight": torch.ones(1, 64),
    "v_head.summary.bias": torch.ones(1),
}


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_buffers_that_are_dropped_anyway_change_nothing(tmp_path: Path, kind: str) -> None:
    plain = converted(write_checkpoint(tmp_path / "plain"))
    folder = write_checkpoint(tmp_path / "other", kind=kind)
    write_weights(folder, {**BUFFERS, **STATE}, kind=kind)
    assert converted(folder) == plain
    assert loaded(folder).keys() == STATE.keys(), "transformers drops them, too"


def test_weights_that_were_not_gathered_are_named(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "model")
    write_weights(folder, {**STATE, "model.layers.0.mlp.up_proj.weight": torch.zeros(0, dtype=torch.float16)})
    with pytest.raises(InputError, match="ZeRO-3") as caught:
        converted(folder)
    assert "zero_to_fp32.py" in caught.value.advice


def test_other_weights_beside_the_main_file_change_nothing(tmp_path: Path) -> None:
    plain = converted(write_checkpoint(tmp_path / "plain"))
    folder = write_checkpoint(tmp_path / "other")
    other = tensors(config(), torch.float16, seed=9)
    for name in (
        "model.fp16.safetensors",
        "consolidated.safetensors",
        "original/consolidated.00.pth",
        "optimizer.pt",
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        torch.save(other, folder / name)
    torch.save(STATE, folder / "pytorch_model.bin")
    for name in (
        "training_args.bin",
        "adapter_model.bin",
        "global_step9/zero_states.pt",
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        torch.save(other, folder / name)
    assert converted(folder) == plain
    assert folder_layout(folder).warnings == ()


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("changed", ["model.layers.1.self_attn.q_proj.weight", "model.norm.weight", ""])
def test_weights_in_the_other_format_that_differ_are_said(tmp_path: Path, shards: int, changed: str) -> None:
    folder = write_checkpoint(tmp_path / "model")
    plain = converted(folder)
    state = {name: tensor.float() for name, tensor in STATE.items()}
    if changed:
        state[changed] = state[changed] + 1e-3
    write_weights(folder, state, kind="bin", shards=shards)
    assert converted(folder) == plain
    warnings = folder_layout(folder).warnings
    assert len(warnings) == bool(changed)
    assert all("with other numbers, model.safetensors and pytorch_model" in warning for warning in warnings)


def test_weights_that_config_json_names_are_not_overlooked(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "model")
    edit_json(folder / "config.json", transformers_weights="other.safetensors")
    with pytest.raises(InputError, match=r"names 'other\.safetensors', but model\.safetensors would be read"):
        converted(folder)
    edit_json(folder / "config.json", transformers_weights="model.safetensors")
    converted(folder)


SPELLINGS: dict[str, dict[str, Any]] = {
    "by its type": {"architectures": None},
    "by its type, empty": {"architectures": []},
    "of 2023": {"architectures": ["LLaMAForCausalLM"]},
    "of FSDP": {"architectures": ["FSDPLlamaForCausalLM"]},
}


@pytest.mark.parametrize("changes", SPELLINGS.values(), ids=SPELLINGS)
def test_classes_by_their_type_or_in_another_spelling(tmp_path: Path, changes: dict[str, Any]) -> None:
    plain = converted(write_checkpoint(tmp_path / "plain"))
    folder = write_checkpoint(tmp_path / "other")
    edit_json(folder / "config.json", **changes)
    assert converted(folder) == plain
    assert type(AutoModelForCausalLM.from_pretrained(folder)).__name__ == "LlamaForCausalLM"


@pytest.mark.parametrize(
    ("changes", "warned"),
    [
        ({"model_type": "mistral"}, True),
        ({"architectures": ["MistralForCausalLM"]}, True),
        ({"architectures": ["FSDPLlamaForCausalLM"]}, False),
        ({"model_type": "a-type-of-its-own"}, False),
        ({}, False),
    ],
)
def test_a_class_and_a_type_that_contradict_each_other_are_said(
    tmp_path: Path, changes: dict[str, Any], warned: bool
) -> None:
    """transformers goes by the type: it may give a window or an activation to what the class has none for."""
    folder = write_checkpoint(tmp_path / "model")
    edit_json(folder / "config.json", **changes)
    made = convert_checkpoint(folder, tmp_path / "model.gguf")
    assert any("contradict each other" in warning for warning in made.warnings) == warned


@pytest.mark.parametrize("name", [name for name in architectures() if "ForCausalLM" in name])
def test_types_mean_the_classes_of_transformers(tmp_path: Path, name: str) -> None:
    (model_type,) = [
        kind
        for kind, known in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.items()
        if known == name
        and kind.replace("_text", "").replace("_", "") == name.lower().removesuffix("forcausallm")
    ]
    write_json(tmp_path / "config.json", {"model_type": model_type})
    write_weights(tmp_path, {"x": torch.zeros(1)})
    assert with_known_class(CheckpointFolder(tmp_path)).config["architectures"] == [name]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"architectures": None, "model_type": "bloom"}, "model_type 'bloom' cannot be converted"),
        ({"architectures": ["LlamaForSequenceClassification"]}, "'LlamaForSequenceClassification' cannot be"),
        ({"architectures": ["LlamaModel"]}, "'LlamaModel' cannot be converted"),
    ],
)
def test_a_type_does_not_stand_for_a_class_of_another_kind(
    tmp_path: Path, changes: dict[str, Any], says: str
) -> None:
    folder = write_checkpoint(tmp_path / "model")
    edit_json(folder / "config.json", **changes)
    with pytest.raises(UnsupportedArchitectureError, match=says):
        converted(folder)


def test_numbers_of_a_merged_wrapper_are_those_of_the_language_model(tmp_path: Path) -> None:
    """An adapter that was trained on a multimodal model in memory, on a base in the hub's names."""
    from medbench_local.acquire.conversion.views.adapter import merge_adapter
    from tests.acquire.checkpoints import numbers
    from tests.acquire.conversion.test_views import ADAPTER, factors, merged_by_hand, write_adapter

    base = write_checkpoint(tmp_path / "base")
    write_weights(base, {f"language_model.{name}": tensor for name, tensor in STATE.items()})
    trained = {
        name.replace("model.layers", "model.language_model.layers"): t for name, t in factors().items()
    }
    view = merge_adapter(CheckpointFolder(base), write_adapter(tmp_path / "adapter", trained))
    expected = merged_by_hand(STATE, factors(), lambda _: ADAPTER["lora_alpha"] / ADAPTER["r"])
    for name, tensor in expected.items():
        np.testing.assert_array_equal(
            numbers(view.tensors[f"language_model.{name}"]), tensor.numpy(), err_msg=name
        )
