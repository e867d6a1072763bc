"""What projector files of llama.cpp's say, which are refused and with what advice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from PIL import Image

from medbench_local.errors import InputError, UsageError
from medbench_local.vision.projector_file import LOOKS, read_projector
from tests.engine.gemma3_pictures import INNER, PATCH, ROWS, SIDE, VISION, write_projector

WIDTH = 256


def tensors() -> dict[str, torch.Tensor]:
    """As small as the header allows."""
    found = {
        "vision_tower.embeddings.patch_embedding.weight": torch.zeros(INNER, 3, PATCH, PATCH),
        "vision_tower.embeddings.position_embedding.weight": torch.zeros((SIDE // PATCH) ** 2, INNER),
        "multi_modal_projector.mm_input_projection_weight": torch.zeros(INNER, WIDTH),
        "multi_modal_projector.mm_soft_emb_norm.weight": torch.zeros(INNER),
    }
    for layer in range(int(str(VISION["num_hidden_layers"]))):
        found[f"vision_tower.encoder.layers.{layer}.self_attn.q_proj.weight"] = torch.zeros(INNER, INNER)
    return found


def write(path: Path, precision: str = "f32", **changes: Any) -> Path:
    return write_projector(path, tensors(), precision, **changes)


def test_what_a_file_says(tmp_path: Path) -> None:
    found = read_projector(write(tmp_path / "mmproj.gguf", "f16"))
    assert (found.kind, found.side, found.rows, found.width) == ("gemma3", SIDE, ROWS, WIDTH)
    assert found.precision == "f16"
    assert read_projector(write(tmp_path / "other.gguf", rows=2)).rows == 16
    shown = found.fitted(Image.new("RGBA", (300, 20), (10, 20, 30, 0)))
    assert shown.size == (SIDE, SIDE)
    assert shown.getpixel((3, 5)) == (10, 20, 30)  # all of it is seen, whatever its transparency says


def test_rows_of_the_real_size() -> None:
    """Gemma 3: 896 pixels in patches of 14, 4 x 4 of them a row."""
    assert (896 // 14 // LOOKS["gemma3"].merged) ** 2 == 256


@pytest.mark.parametrize("kind", ["mlp", "mlp_norm", "ldp", "ldpv2"])
def test_a_clip_tower_is_refused_with_the_way_that_works(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / "mmproj.gguf", kind=kind)
    with pytest.raises(UsageError, match=r"CLIP tower.*wrongly") as refused:
        read_projector(path)
    assert "folder of the checkpoint" in refused.value.advice


def test_a_class_embedding_is_that_of_a_clip_tower(tmp_path: Path) -> None:
    path = write(tmp_path / "mmproj.gguf", more={"v.class_embd": np.zeros(INNER, np.float32)})
    with pytest.raises(UsageError, match="CLIP tower"):
        read_projector(path)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("qwen2.5vl_merger", "positions in two dimensions"),
        ("qwen3vl_merger", "positions in two dimensions"),
        ("internvl", "tiles"),
        ("idefics3", "tiles"),
        ("pixtral", "sizes of their own"),
        ("gemma4v", "sizes of their own"),
        ("janus_pro", "was not measured"),
        ("something-new", "was not measured"),
    ],
)
def test_other_kinds_are_refused_by_name(tmp_path: Path, kind: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason) as refused:
        read_projector(write(tmp_path / "mmproj.gguf", kind=kind))
    assert kind in refused.value.message
    assert "gemma3" in refused.value.advice


@pytest.mark.parametrize("precision", ["bf16", "q8_0"])
def test_what_is_rounded_more_is_refused(tmp_path: Path, precision: str) -> None:
    with pytest.raises(UsageError, match=precision):
        read_projector(write(tmp_path / "mmproj.gguf", precision))


def test_a_language_model_is_no_projector(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "model.gguf", "llama")
    writer.add_tensor("token_embd.weight", np.zeros((4, 32), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(UsageError, match=r"is a language model \(llama\), not a projector"):
        read_projector(tmp_path / "model.gguf")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"side": 126}, "squares of 126 pixels"),
        ({"side": 224}, r"v.position_embd.weight.*expected \[64, 256\]"),
        ({"rows": 3}, "patches of 14"),
        ({"more": {"mm.soft_emb_norm.weight": np.zeros(3, np.float32)}}, "mm.soft_emb_norm.weight"),
    ],
)
def test_a_file_that_does_not_fit_itself_is_damaged(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        read_projector(write(tmp_path / "mmproj.gguf", **changes))


def test_half_a_file_is_damaged(tmp_path: Path) -> None:
    path = write(tmp_path / "mmproj.gguf")
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(InputError):
        read_projector(path)
