"""The record and the tensors of ``vision.safetensors`` are held to each other."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from medbench_local.errors import DiskFullError, InputError
from medbench_local.vision.parts import VisionFile, read_parts, write_vision
from medbench_local.vision.tensor_file import write_tensors
from tests.vision.models import flamingo, flamingo_tensors, llava, llava_tensors, saved_vision


@pytest.mark.parametrize(
    "parts", [llava(), llava(projector="mlp2x_gelu", begin="", patch="", end="", aspect="pad"), flamingo()]
)
def test_what_is_written_is_read(tmp_path: Path, parts: Any) -> None:
    path = saved_vision(tmp_path, parts)
    assert read_parts(path) == parts
    file = VisionFile.open(path)
    for name, value in load_file(path).items():
        assert np.array_equal(file.tensor(name), value)


def test_sizes_are_what_the_shapes_say(tmp_path: Path) -> None:
    file = VisionFile.open(saved_vision(tmp_path, flamingo()))
    assert file.resampler_layers == 2
    assert {name: file.sizes[name] for name in ("tower", "resampler inner", "block inner", "block ff")} == {
        "tower": 48,
        "resampler inner": 128,
        "block inner": 128,
        "block ff": 192,
    }


def test_more_than_ten_layers_are_counted(tmp_path: Path) -> None:
    parts = flamingo(blocks=(3, 7, 11))
    path = saved_vision(tmp_path, parts, flamingo_tensors(parts, layers=12))
    assert VisionFile.open(path).resampler_layers == 12


CHANGES: dict[str, tuple[dict[str, tuple[int, ...] | None], str]] = {
    "a gate is missing": ({"blocks.3.attn_gate": None}, "no tensors blocks.3.attn_gate"),
    "a layer is missing": (
        {f"resampler.layers.0.1.{name}": None for name in ("0.weight", "0.bias", "1.weight", "3.weight")},
        "no tensors resampler.layers.0.1.0.bias, .*1.3.weight",
    ),
    "another block": ({"blocks.5.attn_gate": (1,)}, "unknown tensors blocks.5.attn_gate"),
    "embeddings of frames": ({"resampler.frame_embs": (8, 48)}, "unknown tensors resampler.frame_embs"),
    "latents": ({"resampler.latents": (64, 48)}, r"shape \[64, 48\], expected \[8, 48\]"),
    "other width": ({"blocks.1.ff.0.weight": (65,)}, r"shape \[65\], expected \[64\]"),
    "other tower": ({"blocks.1.attn.to_kv.weight": (256, 49)}, r"expected \[256, 48\]"),
    "keys without values": ({"blocks.1.attn.to_kv.weight": (128, 48)}, r"expected \[256, 48\]"),
    "another axis": ({"blocks.1.attn_gate": (1, 1)}, r"expected \[1\]"),
    "odd heads": (
        {f"blocks.{k}.attn.{name}.weight": shape for k in (1, 3)
         for name, shape in (("to_q", (100, 64)), ("to_kv", (200, 48)), ("to_out", (64, 100)))},
        "block inner of 100 is no multiple of 64",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_tensors_that_do_not_fit_are_refused(tmp_path: Path, name: str) -> None:
    changes, says = CHANGES[name]
    tensors = flamingo_tensors(flamingo())
    for changed, shape in changes.items():
        tensors.pop(changed, None)
        if shape is not None:
            tensors[changed] = np.zeros(shape, "f4")
    path = saved_vision(tmp_path, flamingo(), tensors)
    with pytest.raises(InputError, match=says) as caught:
        VisionFile.open(path)
    assert str(path) in caught.value.message
    assert "\n" not in str(caught.value)


def test_a_projector_of_another_width_is_refused(tmp_path: Path) -> None:
    tensors = llava_tensors(llava()) | {"projector.0.bias": np.zeros(65, "f4")}
    with pytest.raises(InputError, match=r"projector.0.bias': shape \[65\], expected \[64\]"):
        read_parts(saved_vision(tmp_path, llava(), tensors))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"kind": "blip"}, "key 'kind'"),
        ({"layer": "last"}, "key 'layer'"),
        ({"tower_sha256": "ABC"}, "64 hexadecimal digits"),
        ({"rows": 0}, "0 rows"),
        ({"blocks": [3, 1]}, "ascending"),
        ({"blocks": [0, 4]}, "from 1"),
        ({"blocks": []}, "ascending"),
        ({"tag": ""}, "a flamingo model has a tag"),
        ({"projector": "linear"}, "a flamingo model has a tag"),
        ({"colour": "red"}, "key 'colour'"),
    ],
)
def test_a_record_that_makes_no_sense_is_refused(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    path = tmp_path / "vision.safetensors"
    record = json.dumps({**asdict(flamingo()), **changes})
    save_file(flamingo_tensors(flamingo()), path, {"medbench_local": record})
    with pytest.raises(InputError, match=says):
        read_parts(path)


def test_a_key_that_is_missing_is_named(tmp_path: Path) -> None:
    record = asdict(llava())
    del record["crop"]
    path = tmp_path / "vision.safetensors"
    save_file(llava_tensors(llava()), path, {"medbench_local": json.dumps(record)})
    with pytest.raises(InputError, match="key 'crop'"):
        read_parts(path)


@pytest.mark.parametrize("changes", [{"projector": ""}, {"tag": "<image>"}, {"blocks": (1,)}, {"width": 0}])
def test_parts_that_make_no_sense_cannot_be_made(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        llava(**changes)


def test_only_floats_are_written(tmp_path: Path) -> None:
    tensors: dict[str, NDArray[Any]] = {"projector.0.weight": np.zeros((2, 2), "f8")}
    with pytest.raises(ValueError, match=r"projector\.0\.weight"):
        write_vision(tmp_path / "vision.safetensors", llava(), tensors)
    assert list(tmp_path.iterdir()) == []


class Computed(Mapping[str, NDArray[Any]]):
    """Tensors that are made when they are asked for."""

    def __init__(self, tensors: Mapping[str, NDArray[Any]]) -> None:
        self.tensors, self.asked = tensors, 0

    def __getitem__(self, name: str) -> NDArray[Any]:
        self.asked += 1
        return np.asfortranarray(self.tensors[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)


def test_tensors_may_be_computed_and_mixed(tmp_path: Path) -> None:
    """Odd counts of narrow numbers before wide ones: each stays where its width divides its place."""
    tensors: dict[str, NDArray[Any]] = {
        "projector.0.bias": np.arange(5, dtype="f2"),
        "projector.0.weight": np.arange(35, dtype="f4").reshape(5, 7),
    }
    parts, path, computed = llava(width=5), tmp_path / "vision.safetensors", Computed(tensors)
    write_vision(path, parts, computed)
    assert computed.asked == 4
    file = VisionFile.open(path)
    assert all(np.array_equal(load_file(path)[name], value) for name, value in tensors.items())
    assert file.stored("projector.0.weight").stored.flags.aligned
    assert file.tensor("projector.0.bias").dtype == np.float32
    assert np.shares_memory(file.tensor("projector.0.weight"), file.stored("projector.0.weight").stored)


def test_nothing_is_begun_on_a_disk_without_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 100})())
    with pytest.raises(DiskFullError):
        write_tensors(tmp_path / "a.safetensors", llava(), llava_tensors(llava()))
    assert list(tmp_path.iterdir()) == []
