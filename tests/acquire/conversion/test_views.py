"""Checkpoints put together from others, through the converter, against merging by hand with torch."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from medbench_local.acquire.conversion.checkpoint import Checkpoint, CheckpointFolder
from medbench_local.acquire.conversion.convert import convert_checkpoint
from medbench_local.acquire.conversion.views.adapter import merge_adapter
from medbench_local.acquire.conversion.views.delta import add_delta
from medbench_local.acquire.conversion.views.wrapper import language_model
from medbench_local.errors import AcquireError, InputError, MedbenchError
from tests.acquire.checkpoints import (
    config,
    edit_json,
    numbers,
    tensors,
    write_checkpoint,
    write_json,
    write_weights,
)

State = dict[str, torch.Tensor]


def checkpoint(
    folder: Path, state: Mapping[str, torch.Tensor], values: dict[str, Any] | None = None
) -> CheckpointFolder:
    write_checkpoint(folder, values)
    write_weights(folder, state)
    return CheckpointFolder(folder)


def converted(source: Path | Checkpoint, output: Path, **options: Any) -> bytes:
    convert_checkpoint(source, output, **options)
    return output.read_bytes()


# --- a delta on a base


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_delta_gives_what_torch_gives(tmp_path: Path, dtype: torch.dtype) -> None:
    base, delta = tensors(config(), dtype, seed=1), tensors(config(), dtype, seed=2)
    view = add_delta(checkpoint(tmp_path / "base", base), checkpoint(tmp_path / "delta", delta))
    merged = checkpoint(tmp_path / "merged", {name: base[name] + delta[name] for name in base})
    ours = converted(view, tmp_path / "ours.gguf")
    assert ours == converted(tmp_path / "merged", tmp_path / "theirs.gguf")
    assert ours != converted(tmp_path / "delta", tmp_path / "delta.gguf")
    assert view.tensors.keys() == merged.tensors.keys()


def test_types_that_differ_are_added_without_loss(tmp_path: Path) -> None:
    base, delta = tensors(config(), torch.float16, seed=1), tensors(config(), torch.float32, seed=2)
    view = add_delta(checkpoint(tmp_path / "base", base), checkpoint(tmp_path / "delta", delta))
    checkpoint(tmp_path / "merged", {name: base[name].float() + delta[name] for name in base})
    assert converted(view, tmp_path / "a.gguf") == converted(tmp_path / "merged", tmp_path / "b.gguf")


def test_tokens_that_the_base_lacks_are_the_delta_s(tmp_path: Path) -> None:
    base = tensors(config(), torch.float16, seed=1)
    delta = tensors(config(vocab_size=403), torch.float16, seed=2)
    base["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(8)
    delta["model.mm_projector.weight"] = torch.ones(2, 2).half()
    both = add_delta(
        checkpoint(tmp_path / "base", base),
        checkpoint(tmp_path / "delta", delta, config(vocab_size=403)),
        whole=lambda name: "mm_projector" in name,
    )
    assert numbers(both.tensors["model.mm_projector.weight"]).tolist() == [[1, 1], [1, 1]]
    view = language_model(both, {"model.": "model.", "lm_head.": "lm_head."})
    projector = {name: tensor for name, tensor in view.tensors.items() if "mm_projector" not in name}
    merged: State = {}
    for name in projector:
        rows = len(base[name])
        merged[name] = torch.cat([base[name] + delta[name][:rows], delta[name][rows:]])
    checkpoint(tmp_path / "merged", merged, config(vocab_size=403))
    for name, tensor in CheckpointFolder(tmp_path / "merged").tensors.items():
        np.testing.assert_array_equal(numbers(view.tensors[name]), numbers(tensor), err_msg=name)
        for begin in (0, 3):  # in parts as well
            np.testing.assert_array_equal(view.tensors[name].rows(begin, 5), tensor.rows(begin, 5))
    grown = view.tensors["lm_head.weight"]
    np.testing.assert_array_equal(grown.rows(398, 402), numbers(grown)[398:402])
    np.testing.assert_array_equal(grown.rows(401, 403), numbers(grown)[401:])


def test_a_delta_that_belongs_to_another_base_is_refused(tmp_path: Path) -> None:
    state = tensors(config(), torch.float16)
    name = "model.layers.1.mlp.up_proj.weight"
    less = {key: value for key, value in state.items() if key != name}
    other = {**less, name: torch.zeros(97, 64).half()}
    shorter = {**state, "lm_head.weight": torch.zeros(399, 64).half()}
    for i, (base, delta, says) in enumerate(
        [
            (less, state, "nothing to add it to"),
            (state, less, "no difference to it"),
            (state, other, r"shape \[97, 64\], the base's is \[96, 64\]"),
            (state, shorter, r"shape \[399, 64\]"),
        ]
    ):
        with pytest.raises(InputError, match=says):
            add_delta(checkpoint(tmp_path / f"base{i}", base), checkpoint(tmp_path / f"delta{i}", delta))


def test_a_sum_beyond_f16_is_refused(tmp_path: Path) -> None:
    state = tensors(config(), torch.float16)
    state["lm_head.weight"][1, 2] = 60000.0
    view = add_delta(checkpoint(tmp_path / "base", state), checkpoint(tmp_path / "delta", state))
    with pytest.raises(AcquireError, match=r"lm_head\.weight has values beyond the range of f16"):
        convert_checkpoint(view, tmp_path / "x.gguf")


# --- an adapter on a base

ADAPTER: dict[str, Any] = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "base_model_name_or_path": "a/b"}
MODULES = ("self_attn.q_proj", "self_attn.v_proj", "mlp.down_proj")


def factors(ranks: Callable[[str], int] = lambda _: 4, dtype: torch.dtype = torch.float32) -> State:
    """What peft saves of an adapter on some layers."""
    generator = torch.Generator().manual_seed(3)
    found = {}
    for name, tensor in tensors(config(), torch.float32).items():
        module = name.removesuffix(".weight")
        if module.endswith(MODULES):
            (out, inputs), rank = tensor.shape, ranks(module)
            for factor, shape in (("A", (rank, inputs)), ("B", (out, rank))):
                values = torch.randn(shape, generator=generator) * 0.1
                found[f"base_model.model.{module}.lora_{factor}.weight"] = values.to(dtype)
    return found


def write_adapter(folder: Path, state: State, *, kind: str = "safetensors", **changes: Any) -> Path:
    folder.mkdir()
    write_json(folder / "adapter_config.json", {**ADAPTER, **changes})
    if kind == "safetensors":
        save_file(state, folder / "adapter_model.safetensors")
    else:
        torch.save(state, folder / "adapter_model.bin")
    return folder


def merged_by_hand(base: State, adapter: State, scale: Callable[[str], float]) -> State:
    found = dict(base)
    for name in base:
        module = name.removesuffix(".weight")
        a, b = (adapter.get(f"base_model.model.{module}.lora_{factor}.weight") for factor in "AB")
        if a is not None and b is not None:
            change = scale(module) * (b.double() @ a.double())
            found[name] = (base[name].double() + change).float().to(base[name].dtype)
    return found


def special(module: str) -> bool:
    return module.endswith(".v_proj")


CASES: dict[str, tuple[dict[str, Any], Callable[[str], int], Callable[[str], float]]] = {
    "plain": ({}, lambda _: 4, lambda _: 8 / 4),
    "rank-stabilised": ({"use_rslora": True}, lambda _: 4, lambda _: 8 / math.sqrt(4)),
    "patterns": (
        {"rank_pattern": {"v_proj": 2}, "alpha_pattern": {"self_attn.v_proj": 6, "proj": 99}},
        lambda module: 2 if special(module) else 4,
        lambda module: 6 / 2 if special(module) else 8 / 4,
    ),
    "one layer by its whole name": (
        {"alpha_pattern": {"^model.layers.1.mlp.down_proj": 2, "^layers.0.mlp.down_proj": 99}},
        lambda _: 4,
        lambda module: 2 / 4 if module == "model.layers.1.mlp.down_proj" else 8 / 4,
    ),
}


@pytest.mark.parametrize(("changes", "ranks", "scale"), CASES.values(), ids=CASES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_an_adapter_gives_what_merging_by_hand_gives(
    tmp_path: Path,
    changes: dict[str, Any],
    ranks: Callable[[str], int],
    scale: Callable[[str], float],
    dtype: torch.dtype,
) -> None:
    base, adapter = tensors(config(), dtype), factors(ranks)
    folder = write_adapter(tmp_path / "adapter", adapter, **changes)
    view = merge_adapter(checkpoint(tmp_path / "base", base), folder)
    checkpoint(tmp_path / "merged", merged_by_hand(base, adapter, scale))
    ours = converted(view, tmp_path / "ours.gguf")
    assert ours == converted(tmp_path / "merged", tmp_path / "theirs.gguf")
    assert ours != converted(tmp_path / "base", tmp_path / "base.gguf")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_merging_in_float32_differs_by_rounding_only(tmp_path: Path, dtype: torch.dtype) -> None:
    """The common way of merging, torch in float32; both factors in 16 bits, in PyTorch's format."""
    base, adapter = tensors(config(), dtype), factors(dtype=dtype)
    folder = write_adapter(tmp_path / "adapter", adapter, kind="bin")
    view = merge_adapter(checkpoint(tmp_path / "base", base), folder)
    name = "model.layers.1.self_attn.q_proj"
    a, b = (adapter[f"base_model.model.{name}.lora_{factor}.weight"].float() for factor in "AB")
    theirs = (base[f"{name}.weight"].float() + 2.0 * (b @ a)).to(dtype)
    ours = torch.from_numpy(numbers(view.tensors[f"{name}.weight"]).copy()).view(dtype)
    assert (ours != theirs).float().mean() < 0.01
    torch.testing.assert_close(ours, theirs, rtol=torch.finfo(dtype).eps, atol=1e-7)


def test_tensors_and_a_tokenizer_that_the_adapter_holds_replace_the_base_s(tmp_path: Path) -> None:
    base, adapter = tensors(config(), torch.float16), factors()
    longer = {
        name: torch.randn(403, 64, generator=torch.Generator().manual_seed(5)).half()
        for name in ("model.embed_tokens.weight", "lm_head.weight")
    }
    whole = {f"base_model.model.{name}": tensor for name, tensor in longer.items()}
    folder = write_adapter(tmp_path / "adapter", {**adapter, **whole})
    view = merge_adapter(checkpoint(tmp_path / "base", base), folder)
    assert view.tokenizer == tmp_path / "base"
    for name in ("tokenizer.model", "tokenizer_config.json"):
        (folder / name).write_bytes((tmp_path / "base" / name).read_bytes())
    write_json(folder / "added_tokens.json", {"<new>": 402})
    view = merge_adapter(CheckpointFolder(tmp_path / "base"), folder)
    by_hand = checkpoint(tmp_path / "merged", merged_by_hand({**base, **longer}, adapter, lambda _: 2.0))
    write_json(tmp_path / "merged" / "added_tokens.json", {"<new>": 402})
    ours = converted(view, tmp_path / "ours.gguf")
    assert ours == converted(by_hand, tmp_path / "theirs.gguf")
    assert b"<new>" in ours


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "another kind": ({"peft_type": "IA3"}, "peft_type 'IA3'"),
    "dora": ({"use_dora": True}, "use_dora"),
    "trained rows": ({"trainable_token_indices": [3]}, "trainable_token_indices"),
    "parts without a name": ({"target_parameters": ["experts.gate_up_proj"]}, "target_parameters"),
    "of a later release": ({"use_xyz": {"a": 1}}, "use_xyz.*does not know"),
    "bias": ({"lora_bias": True}, "lora_bias"),
    "pissa": ({"init_lora_weights": "pissa_niter_4"}, "init_lora_weights 'pissa_niter_4'"),
    "replicated": ({"layer_replication": [[0, 2], [1, 2]]}, "layer_replication"),
    "activated": ({"alora_invocation_tokens": [5, 6]}, "alora_invocation_tokens"),
    "expression": ({"rank_pattern": {"(a+)+": 2}}, "not the name of a layer"),
    "rank text": ({"r": "4"}, "key 'r'"),
    "rank zero": ({"r": 0}, "key 'r'"),
    "no alpha": ({"lora_alpha": None}, "lora_alpha"),
    "endless alpha": ({"lora_alpha": math.inf}, "lora_alpha"),
    "other rank": ({"r": 8}, r"with rank 8 and a base of \[\d+, \d+\] it must be"),
}


@pytest.mark.parametrize(("changes", "says"), REFUSED.values(), ids=REFUSED)
def test_adapters_that_are_more_than_a_sum_are_refused(
    tmp_path: Path, changes: dict[str, Any], says: str
) -> None:
    folder = write_adapter(tmp_path / "adapter", factors(), **changes)
    base = checkpoint(tmp_path / "base", tensors(config(), torch.float16))
    with pytest.raises(MedbenchError, match=says) as caught:
        merge_adapter(base, folder)
    assert str(folder) in str(caught.value)


def test_an_adapter_of_another_model_is_refused(tmp_path: Path) -> None:
    base = checkpoint(tmp_path / "base", tensors(config(), torch.float16))
    first = next(iter(factors()))
    cases: list[tuple[State, str]] = [
        ({**factors(), "base_model.model.model.layers.7.mlp.up_proj.lora_A.weight": torch.zeros(4, 64),
          "base_model.model.model.layers.7.mlp.up_proj.lora_B.weight": torch.zeros(96, 4)}, "nothing to add"),
        ({**factors(), f"{first}.magnitude": torch.zeros(4)}, "not part of"),
        ({name: tensor for name, tensor in factors().items() if name != first}, "lora_A.weight.*missing"),
        ({**factors(), first: torch.zeros(4, 65)}, r"it must be \[4, 64\]"),
        ({**factors(), first: torch.zeros(4, 64, dtype=torch.int8)}, "type I8"),
        ({**factors(), f"{first.removesuffix('.lora_A.weight')}.weight": torch.zeros(64, 64)}, "given whole"),
    ]  # fmt: skip
    for i, (state, says) in enumerate(cases):
        folder = write_adapter(tmp_path / f"adapter{i}", state)
        with pytest.raises(MedbenchError, match=says):
            merge_adapter(base, folder)
    (folder / "adapter_model.safetensors").unlink()
    with pytest.raises(InputError, match="neither"):
        merge_adapter(base, folder)


def test_a_shared_embedding_that_an_adapter_changes_is_refused(tmp_path: Path) -> None:
    values = config(tie_word_embeddings=True)
    base = checkpoint(tmp_path / "base", tensors(values, torch.float16), values)
    name = "model.embed_tokens.weight"
    folder = write_adapter(
        tmp_path / "adapter", {**factors(), f"base_model.model.{name}": torch.zeros(400, 64)}
    )
    with pytest.raises(AcquireError, match="one matrix"):
        merge_adapter(base, folder)


# --- a wrapper with a prefix


@pytest.mark.parametrize(
    ("prefixes", "outside"),
    [
        ({"language_model.": ""}, lambda name: f"language_model.{name}"),
        (
            {"model.language_model.": "model.", "lm_head.": "lm_head."},
            lambda name: name.replace("model.", "model.language_model.", 1) if name[0] == "m" else name,
        ),
    ],
    ids=["before transformers 4.52", "since"],
)
def test_the_language_model_of_a_wrapper(
    tmp_path: Path, prefixes: dict[str, str], outside: Callable[[str], str]
) -> None:
    state = tensors(config(), torch.bfloat16)
    write_checkpoint(tmp_path / "plain", config(), dtype=torch.bfloat16)
    inner = {key: value for key, value in config().items() if not key.endswith("_token_id")}
    wrapped = checkpoint(
        tmp_path / "wrapped",
        {
            **{outside(name): tensor for name, tensor in state.items()},
            "vision_tower.patch.weight": torch.ones(3, 3),
            "multi_modal_projector.weight": torch.ones(3, 3),
        },
    )
    whole = {"architectures": ["LlavaForConditionalGeneration"], "text_config": inner, "vocab_size": 7}
    write_json(tmp_path / "wrapped" / "config.json", {**whole, "bos_token_id": 1, "eos_token_id": 2})
    ours = converted(language_model(wrapped, prefixes), tmp_path / "ours.gguf")
    assert ours == converted(tmp_path / "plain", tmp_path / "theirs.gguf")
    with pytest.raises(AcquireError, match="LlavaForConditionalGeneration"):
        convert_checkpoint(tmp_path / "wrapped", tmp_path / "whole.gguf")


def test_a_wrapper_without_what_is_looked_for_is_refused(tmp_path: Path) -> None:
    plain = checkpoint(tmp_path / "plain", tensors(config(), torch.float16))
    with pytest.raises(InputError, match=r"begins with 'language_model\.'"):
        language_model(plain, {"language_model.": ""})
    with pytest.raises(InputError, match="a second"):
        language_model(plain, {"model.layers.0.": "x.", "model.layers.1.": "x."})
    edit_json(tmp_path / "plain" / "config.json", text_config=[])
    with pytest.raises(InputError, match="text_config"):
        language_model(CheckpointFolder(tmp_path / "plain"), {"model.": "model."})


def test_views_can_be_put_on_views(tmp_path: Path) -> None:
    """A delta on a base, then an adapter: as if each had been saved in between."""
    base, delta = tensors(config(), torch.float16, seed=1), tensors(config(), torch.float16, seed=2)
    adapter = write_adapter(tmp_path / "adapter", factors())
    added = add_delta(checkpoint(tmp_path / "base", base), checkpoint(tmp_path / "delta", delta))
    between = {name: base[name] + delta[name] for name in base}
    checkpoint(tmp_path / "merged", merged_by_hand(between, factors(), lambda _: 2.0))
    ours = converted(merge_adapter(added, adapter), tmp_path / "ours.gguf")
    assert ours == converted(tmp_path / "merged", tmp_path / "theirs.gguf")
    assert json.loads((tmp_path / "delta" / "config.json").read_text()) == added.config
