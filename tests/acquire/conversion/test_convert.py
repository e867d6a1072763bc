"""Conversion: what it keeps, what it refuses, what it leaves behind, what it costs."""

from __future__ import annotations

import errno
import json
import math
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from medbench_local.acquire.conversion.architectures.llama import ARCHITECTURE
from medbench_local.acquire.conversion.checkpoint import CheckpointFolder
from medbench_local.acquire.conversion.convert import convert_checkpoint
from medbench_local.acquire.conversion.model_config import read_model_config
from medbench_local.acquire.conversion.weight_values import rope_factors
from medbench_local.errors import AcquireError, InputError, MedbenchError
from tests.acquire.checkpoints import (
    LLAMA3_ROPE,
    config,
    edit_json,
    shapes,
    tensors,
    write_checkpoint,
    write_weights,
)
from tests.acquire.gguf_content import read_content


@pytest.mark.parametrize(
    ("dtype", "file_type"), [(torch.float32, "F32"), (torch.float16, "F16"), (torch.bfloat16, "BF16")]
)
def test_auto_keeps_the_type_and_loses_nothing(tmp_path: Path, dtype: torch.dtype, file_type: str) -> None:
    folder = write_checkpoint(tmp_path / "model", dtype=dtype)
    made = convert_checkpoint(folder, tmp_path / "model.gguf")
    assert (made.file_type, made.warnings) == (file_type, ())
    state = tensors(config(), dtype)
    content = read_content(tmp_path / "model.gguf")
    kind, shape, data = content.tensors["blk.1.ffn_down.weight"]
    source = state["model.layers.1.mlp.down_proj.weight"]
    assert (kind, shape) == (file_type, tuple(reversed(source.shape)))
    assert data == source.view(torch.uint8).numpy().tobytes()
    kind, _, data = content.tensors["output_norm.weight"]
    assert kind == "F32"
    assert data == state["model.norm.weight"].float().numpy().tobytes()
    numbers = sum(math.prod(shape) for _, shape, _ in content.tensors.values())
    assert numbers == sum(tensor.numel() for tensor in state.values())


def test_bytes_depend_on_content_only(tmp_path: Path) -> None:
    first = write_checkpoint(tmp_path / "one name", kind="safetensors", shards=1)
    second = write_checkpoint(tmp_path / "another", kind="bin", shards=3)
    convert_checkpoint(first, tmp_path / "a.gguf")
    convert_checkpoint(second, tmp_path / "b.gguf")
    assert (tmp_path / "a.gguf").read_bytes() == (tmp_path / "b.gguf").read_bytes()


def test_a_narrower_type_is_not_called_lossless(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "model", dtype=torch.float32)
    made = convert_checkpoint(folder, tmp_path / "model.gguf", file_type="bf16")
    assert made.file_type == "BF16"
    assert "not lossless" in " ".join(made.warnings)
    data = read_content(tmp_path / "model.gguf").tensors["token_embd.weight"][2]
    source = tensors(config(), torch.float32)["model.embed_tokens.weight"]
    assert data == source.bfloat16().view(torch.uint8).numpy().tobytes()


def test_values_beyond_f16_are_refused(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "model", dtype=torch.float32)
    state = tensors(config(), torch.float32)
    state["lm_head.weight"][3, 4] = 70000.0
    write_weights(folder, state)
    with pytest.raises(AcquireError, match=r"lm_head\.weight.*65,504"):
        convert_checkpoint(folder, tmp_path / "model.gguf", file_type="f16")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("theta", [10000.0, 500000.0])
def test_rope_factors_equal_transformers(tmp_path: Path, theta: float) -> None:
    rope = {**LLAMA3_ROPE, "original_max_position_embeddings": 2048}
    values = config(head_dim=128, rope_theta=theta, rope_scaling=rope)
    (tmp_path / "config.json").write_text(json.dumps(values), encoding="utf-8")
    theirs, _ = ROPE_INIT_FUNCTIONS["llama3"](AutoConfig.from_pretrained(tmp_path), device="cpu")
    plain = 1.0 / theta ** (np.arange(0, 128, 2) / 128)
    factors = rope_factors(read_model_config(CheckpointFolder(tmp_path), ARCHITECTURE))
    np.testing.assert_allclose(plain / factors, theirs.numpy(), rtol=1e-5)
    assert len(set(factors.tolist())) > 3


def test_rows_of_the_embedding_decide(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "model", config(vocab_size=410))
    edit_json(folder / "config.json", vocab_size=32017)
    made = convert_checkpoint(folder, tmp_path / "long.gguf")
    content = read_content(tmp_path / "long.gguf")
    assert content.value("llama.vocab_size") == len(content.value("tokenizer.ggml.tokens")) == 410
    assert content.value("tokenizer.ggml.tokens")[-1] == "[PAD409]"
    assert any("32017" in warning and "410" in warning for warning in made.warnings)

    folder = write_checkpoint(tmp_path / "short", config(vocab_size=390))
    made = convert_checkpoint(folder, tmp_path / "short.gguf")
    assert len(read_content(tmp_path / "short.gguf").value("tokenizer.ggml.tokens")) == 390
    assert any("beyond the 390 rows" in warning for warning in made.warnings)


def _without(state: dict[str, torch.Tensor], name: str) -> dict[str, torch.Tensor]:
    return {key: value for key, value in state.items() if key != name}


STATE = tensors(config(), torch.float16)
BROKEN: dict[str, tuple[dict[str, torch.Tensor], str]] = {
    "missing": (_without(STATE, "model.layers.1.mlp.up_proj.weight"), "missing from the weight files"),
    "no output": (_without(STATE, "lm_head.weight"), r"lm_head\.weight.*missing"),
    "no embedding": (_without(STATE, "model.embed_tokens.weight"), "embed_tokens"),
    "unknown": (
        {**STATE, "model.layers.0.adapter.weight": torch.zeros(2, 2)},
        "not part of a LlamaForCausalLM",
    ),
    "layer too many": ({**STATE, "model.layers.2.mlp.up_proj.weight": torch.zeros(96, 64)}, "not part of"),
    "wrong shape": ({**STATE, "model.norm.weight": torch.ones(63)}, "config.json asks for"),
    "transposed": ({**STATE, "model.layers.0.mlp.down_proj.weight": torch.zeros(96, 64)}, "asks for"),
    "other output": ({**STATE, "lm_head.weight": torch.zeros(401, 64)}, "asks for"),
    "vector embedding": ({**STATE, "model.embed_tokens.weight": torch.zeros(400)}, "matrix"),
    "integers": (
        {**STATE, "model.layers.0.mlp.up_proj.weight": torch.zeros(96, 64, dtype=torch.int8)},
        "type I8",
    ),
}


@pytest.mark.parametrize(("state", "says"), BROKEN.values(), ids=BROKEN)
def test_refuses_weights_that_are_not_the_model(
    tmp_path: Path, state: dict[str, torch.Tensor], says: str
) -> None:
    folder = write_checkpoint(tmp_path / "model")
    write_weights(folder, state)
    with pytest.raises(MedbenchError, match=says) as caught:
        convert_checkpoint(folder, tmp_path / "out" / "model.gguf")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_old_rotary_frequencies_are_left_out(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "model")
    convert_checkpoint(folder, tmp_path / "without.gguf")
    write_weights(folder, {**STATE, "model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(8)})
    convert_checkpoint(folder, tmp_path / "with.gguf")
    assert (tmp_path / "with.gguf").read_bytes() == (tmp_path / "without.gguf").read_bytes()


def test_a_truncated_shard_is_refused(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "model", shards=2)
    path = folder / "model-00002-of-00002.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"00002-of-00002.*truncated"):
        convert_checkpoint(folder, tmp_path / "model.gguf")


def test_a_failure_keeps_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_checkpoint(tmp_path / "model")
    output = tmp_path / "out" / "model.gguf"
    convert_checkpoint(folder, output)
    before = output.read_bytes()

    def full(*_: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("medbench_local.acquire.conversion.convert.converted_blocks", full)
    with pytest.raises(AcquireError, match="the disk is full"):
        convert_checkpoint(folder, output)
    assert [path.name for path in output.parent.iterdir()] == ["model.gguf"]
    assert output.read_bytes() == before


def test_a_small_disk_is_noticed_before_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_checkpoint(tmp_path / "model")
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(AcquireError, match="GB left"):
        convert_checkpoint(folder, tmp_path / "model.gguf")
    assert not (tmp_path / "model.gguf").exists()


CONVERT = """
import sys
from pathlib import Path
from medbench_local.acquire.conversion.convert import convert_checkpoint
convert_checkpoint(Path(sys.argv[1]), Path(sys.argv[2]), file_type=sys.argv[3])
"""
# the peak that the system reports of a process includes its parent's at the fork: measure from a small one
PEAK = """
import resource, subprocess, sys
subprocess.run([sys.executable, "-c", *sys.argv[1:]], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (1 if sys.platform == "darwin" else 1024))
"""


def write_sparse(folder: Path, values: dict[str, Any]) -> int:
    """Zero weights in bfloat16 that take no room on most disks; gives the bytes of the largest."""
    write_checkpoint(folder)
    edit_json(folder / "config.json", **values)
    header, at, largest = {}, 0, 0
    for name, shape in shapes(values).items():
        nbytes = 2 * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [at, at + nbytes]}
        at, largest = at + nbytes, max(largest, nbytes)
    text = json.dumps(header).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + at)
    return largest


@pytest.mark.skipif(sys.platform == "win32", reason="needs the resource module")
@pytest.mark.parametrize("file_type", ["auto", "f16"])
def test_memory_stays_within_twice_the_largest_tensor(tmp_path: Path, file_type: str) -> None:
    values = config(hidden_size=4096, intermediate_size=25600, num_hidden_layers=1)
    largest = write_sparse(tmp_path / "model", values)
    assert largest > 200e6
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            PEAK,
            CONVERT,
            *map(str, (tmp_path / "model", tmp_path / "model.gguf")),
            file_type,
        ],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 2 * largest + 400e6
