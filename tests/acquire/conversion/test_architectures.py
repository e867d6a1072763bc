"""An architecture is one file: a made-up one with everything Llama and Mistral do not use is put beside them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gguf import get_tensor_name_map
from numpy.typing import NDArray

from medbench_local.acquire.conversion import architectures
from medbench_local.acquire.conversion.architecture import Architecture
from medbench_local.acquire.conversion.convert import convert_checkpoint
from medbench_local.errors import AcquireError, InputError
from tests.acquire.checkpoints import config, write_checkpoint, write_weights
from tests.acquire.gguf_content import Content, read_content

MORE = Path(__file__).parent / "more_architectures"
WIDTH, INNER, ROWS, HEADS, SHARED, HEAD, EXPERTS = 64, 96, 400, 4, 2, 16, 3
VALUES: dict[str, Any] = config(
    architectures=["RoseForCausalLM"], model_type="rose", num_key_value_heads=SHARED, num_experts=EXPERTS
)


@pytest.fixture(autouse=True)
def rose(monkeypatch: pytest.MonkeyPatch) -> None:
    """One file more in the package of architectures, and nothing else."""
    monkeypatch.setattr(architectures, "__path__", [*architectures.__path__, str(MORE)])


def state() -> dict[str, torch.Tensor]:
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (ROWS, WIDTH)}
    for i in range(2):
        layer = f"model.layers.{i}"
        shapes |= {
            f"{layer}.input_layernorm.weight": (WIDTH,),
            f"{layer}.self_attn.qkv_proj.weight": ((HEADS + 2 * SHARED) * HEAD, WIDTH),
            f"{layer}.self_attn.qkv_proj.bias": ((HEADS + 2 * SHARED) * HEAD,),
            f"{layer}.self_attn.o_proj.weight": (WIDTH, WIDTH),
            f"{layer}.self_attn.o_proj.bias": (WIDTH,),
            f"{layer}.post_attention_layernorm.weight": (WIDTH,),
            f"{layer}.mlp.gate.weight": (EXPERTS, WIDTH),
        }
        for j in range(EXPERTS):
            shapes[f"{layer}.mlp.experts.{j}.gate_up_proj.weight"] = (2 * INNER, WIDTH)
            shapes[f"{layer}.mlp.experts.{j}.down_proj.weight"] = (WIDTH, INNER)
    shapes |= {"model.norm.weight": (WIDTH,), "lm_head.weight": (ROWS, WIDTH), "visual.patch.weight": (3, 3)}
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=generator).bfloat16() for name, shape in shapes.items()}


def written(content: Content, name: str) -> tuple[str, NDArray[np.float32]]:
    kind, shape, data = content.tensors[name]
    if kind == "BF16":
        values = (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4")
    else:
        assert kind == "F32"
        values = np.frombuffer(data, "<f4")
    return kind, values.reshape(shape[::-1])


def neighbouring(rows: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Row by row: of a head with rows 0..15, the order 0, 8, 1, 9, ..."""
    size = len(rows) // heads
    order = [
        h * size + half * size // 2 + i for h in range(heads) for i in range(size // 2) for half in (0, 1)
    ]
    return rows[order]


def test_every_value_is_where_it_belongs(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "rose", VALUES)
    write_weights(folder, state(), shards=3)
    made = convert_checkpoint(folder, tmp_path / "rose.gguf")
    content = read_content(tmp_path / "rose.gguf")
    given = {name: tensor.float().numpy() for name, tensor in state().items()}

    expected: dict[str, tuple[str, NDArray[np.float32]]] = {
        "token_embd.weight": ("BF16", given["model.embed_tokens.weight"]),
        "output_norm.weight": ("F32", given["model.norm.weight"] + np.float32(1)),
        "output.weight": ("BF16", given["lm_head.weight"]),
    }
    for i in range(2):
        layer = f"model.layers.{i}"
        for kind, suffix in (("BF16", "weight"), ("F32", "bias")):
            fused = given[f"{layer}.self_attn.qkv_proj.{suffix}"]
            expected[f"blk.{i}.attn_q.{suffix}"] = (kind, neighbouring(fused[:64], HEADS))
            expected[f"blk.{i}.attn_k.{suffix}"] = (kind, neighbouring(fused[64:96], SHARED))
            expected[f"blk.{i}.attn_v.{suffix}"] = (kind, fused[96:])
            expected[f"blk.{i}.attn_output.{suffix}"] = (kind, given[f"{layer}.self_attn.o_proj.{suffix}"])
        expected[f"blk.{i}.attn_norm.weight"] = (
            "F32",
            given[f"{layer}.input_layernorm.weight"] + np.float32(1),
        )
        norm = given[f"{layer}.post_attention_layernorm.weight"]
        expected[f"blk.{i}.ffn_norm.weight"] = ("F32", norm + np.float32(1))
        expected[f"blk.{i}.ffn_gate_inp.weight"] = ("F32", given[f"{layer}.mlp.gate.weight"])
        experts = [f"{layer}.mlp.experts.{j}" for j in range(EXPERTS)]
        both = [given[f"{name}.gate_up_proj.weight"] for name in experts]
        expected[f"blk.{i}.ffn_gate_exps.weight"] = ("BF16", np.array([one[:INNER] for one in both]))
        expected[f"blk.{i}.ffn_up_exps.weight"] = ("BF16", np.array([one[INNER:] for one in both]))
        down = np.array([given[f"{name}.down_proj.weight"] for name in experts])
        expected[f"blk.{i}.ffn_down_exps.weight"] = ("BF16", down)

    assert content.tensors.keys() == expected.keys()
    for name, (kind, values) in expected.items():
        found_kind, found = written(content, name)
        assert found_kind == kind, name
        np.testing.assert_array_equal(found, values, err_msg=name)
    assert content.value("general.architecture") == "qwen2moe"
    assert content.value("qwen2moe.expert_count") == EXPERTS
    assert content.value("qwen2moe.attention.head_count_kv") == SHARED
    assert made.file_type == "BF16"
    assert made.warnings == ("It has 3 experts.",)


@pytest.mark.parametrize(
    ("name", "tensor", "says"),
    [
        ("model.layers.1.self_attn.o_proj.bias", None, r"o_proj\.bias.*missing"),
        ("model.layers.1.mlp.experts.2.down_proj.weight", None, r"experts\.2\.down_proj.*missing"),
        (
            "model.layers.0.mlp.experts.3.down_proj.weight",
            torch.zeros(64, 96),
            "not part of a RoseForCausalLM",
        ),
        ("model.layers.0.mlp.experts.1.down_proj.weight", torch.zeros(64, 96), "of type F32, the other"),
        ("model.layers.0.self_attn.qkv_proj.weight", torch.zeros(127, 64), r"asks for \[128, 64\]"),
    ],
)
def test_what_does_not_fit_is_refused(
    tmp_path: Path, name: str, tensor: torch.Tensor | None, says: str
) -> None:
    folder = write_checkpoint(tmp_path / "rose", VALUES)
    changed = {key: value for key, value in state().items() if key != name}
    write_weights(folder, changed if tensor is None else {**changed, name: tensor})
    with pytest.raises(InputError, match=says):
        convert_checkpoint(folder, tmp_path / "rose.gguf")


def test_a_refusal_names_key_value_and_reason(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "rose", {**VALUES, "use_sliding_window": True})
    with pytest.raises(AcquireError, match=r"use_sliding_window True cannot be converted: llama\.cpp has"):
        convert_checkpoint(folder, tmp_path / "rose.gguf")


def test_an_architecture_that_is_not_there_is_told_all_that_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_checkpoint(tmp_path / "x", config(architectures=["TulipForCausalLM"]))
    with pytest.raises(AcquireError, match=r"LlamaForCausalLM, .*RoseForCausalLM\."):
        convert_checkpoint(folder, tmp_path / "x.gguf")


DESCRIPTIONS = list(architectures.architectures().items())


@pytest.mark.parametrize(("name", "architecture"), DESCRIPTIONS, ids=[name for name, _ in DESCRIPTIONS])
def test_every_description_is_whole(name: str, architecture: Architecture[Any]) -> None:
    files = [path.stem for path in Path(architectures.__file__).parent.glob("[!_]*.py")]
    classes = [c for module in files for c in getattr(architectures, module).ARCHITECTURE.classes]
    assert sorted(classes) == sorted(set(classes)) == sorted(name for name, _ in DESCRIPTIONS)
    assert architecture.embedding in {tensor.name for tensor in architecture.tensors}
    names = get_tensor_name_map(architecture.gguf, 1)
    for tensor in architecture.tensors:
        if tensor.key:
            continue  # becomes metadata
        for wanted in [part.name for part in tensor.parts] or [tensor.name.replace(".{expert}", "")]:
            assert names.get_name(wanted.format(layer=0), try_suffixes=(".weight", ".bias")), wanted
    for pattern in architecture.skipped:
        re.compile(pattern)
