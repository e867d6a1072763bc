"""Folders with a GGUF and a projector: those that llama.cpp computes wrongly are refused with the way that works."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFWriter

from medbench_local.acquire.source import LocalCheckpoint, resolve_model
from medbench_local.errors import InputError, UsageError
from medbench_local.vision.projector_file import read_projector


def write_gguf(path: Path, architecture: str, keys: dict[str, str], tensors: tuple[str, ...]) -> Path:
    writer = GGUFWriter(path, architecture)
    for key, value in keys.items():
        writer.add_string(key, value)
    for name in tensors:
        writer.add_tensor(name, np.zeros((2, 2), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


CLIP = ("v.class_embd", "mm.0.weight")
KINDS: dict[str, tuple[str, dict[str, str], tuple[str, ...], bool]] = {
    "llava": ("clip", {"general.type": "mmproj", "clip.projector_type": "mlp"}, CLIP, True),
    "older": ("clip", {"clip.projector_type": "mlp"}, CLIP, True),
    "oldest": ("clip", {}, CLIP, True),
    "newer": ("clip", {"clip.vision.projector_type": "ldpv2"}, CLIP, True),
    "gemma": ("clip", {"clip.projector_type": "gemma3"}, ("v.patch_embd.weight",), False),
    "another with a class": ("clip", {"clip.projector_type": "internvl"}, CLIP, False),
    "a language model": ("llama", {}, ("token_embd.weight",), False),
}


@pytest.mark.parametrize("kind", KINDS)
def test_projectors_behind_a_clip_tower_are_known(tmp_path: Path, kind: str) -> None:
    architecture, keys, tensors, clip = KINDS[kind]
    path = write_gguf(tmp_path / "x.gguf", architecture, keys, tensors)
    with pytest.raises((UsageError, InputError)) as refused:  # none of them is whole
        read_projector(path)
    assert ("CLIP tower" in str(refused.value)) == clip


def test_a_folder_with_one_is_refused_with_the_way_that_works(tmp_path: Path) -> None:
    write_gguf(tmp_path / "llava-v1.5-7b-Q4_K.gguf", "llama", {}, ("token_embd.weight",))
    path = write_gguf(tmp_path / "mmproj-model-f16.gguf", "clip", {"clip.projector_type": "mlp"}, CLIP)
    with pytest.raises(
        UsageError, match=r"a projector behind a CLIP tower, which llama\.cpp computes wrongly"
    ) as caught:
        resolve_model(str(tmp_path))
    assert str(path) in caught.value.message
    assert "folder of the checkpoint" in caught.value.advice
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    assert resolve_model(str(tmp_path)) == LocalCheckpoint(tmp_path.name, tmp_path)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    for name in ("a.gguf", "b.gguf"):
        (tmp_path / name).write_bytes(b"GGUFnonsense")
    with pytest.raises(InputError, match=r"a\.gguf"):
        resolve_model(str(tmp_path))
