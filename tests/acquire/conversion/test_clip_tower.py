"""Towers: the vision half of CLIP models in the forms in which they are published."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from medbench_local.acquire.conversion.pictures.clip_tower import read_clip_folder
from medbench_local.acquire.conversion.pictures.taken_apart import write_tower_file
from medbench_local.errors import InputError, MedbenchError
from medbench_local.vision.tower import Tower, TowerConfig, read_tower_config
from tests.acquire.checkpoints import edit_json, write_json
from tests.vision_toys import SIZE, preprocessor, tower_state, vision_config, write_tower


@pytest.mark.parametrize("newer", [False, True])
@pytest.mark.parametrize("kind", ["safetensors", "bin"])
@pytest.mark.parametrize("flat", [False, True])
def test_every_form_gives_one_file(tmp_path: Path, newer: bool, kind: Any, flat: bool) -> None:
    usual, other = (
        write_tower(tmp_path / "usual"),
        write_tower(tmp_path / "x", newer=newer, kind=kind, flat=flat),
    )
    for folder, name in ((usual, "one"), (other, "two")):
        write_tower_file(tmp_path / name, read_clip_folder(folder))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_what_transformers_saves_is_read(tmp_path: Path) -> None:
    """A tower saved by whatever release of transformers is installed, and a whole model."""
    from transformers import CLIPConfig, CLIPModel, CLIPVisionModel

    theirs = CLIPVisionModel.from_pretrained(write_tower(tmp_path / "toy"))
    theirs.save_pretrained(tmp_path / "alone")
    config = CLIPConfig(
        vision_config=vision_config(),
        text_config={
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "vocab_size": 10,
        },
        projection_dim=32,
    )
    whole = CLIPModel(config)
    alone = getattr(theirs, "vision_model", theirs)  # releases differ
    whole.vision_model.load_state_dict(alone.state_dict())
    whole.save_pretrained(tmp_path / "whole")
    pixels = torch.randn(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = theirs(pixels).last_hidden_state[0].numpy()
    for name in ("alone", "whole"):
        write_json(tmp_path / name / "preprocessor_config.json", preprocessor(newer=True))
        write_tower_file(tmp_path / f"{name}.safetensors", read_clip_folder(tmp_path / name))
        ours = Tower.open(tmp_path / f"{name}.safetensors").encode(pixels[0].numpy())
        np.testing.assert_allclose(ours, expected, atol=2e-5)


def test_the_record_has_what_the_files_say(tmp_path: Path) -> None:
    folder = write_tower(tmp_path / "x", tower_state(dtype=torch.float16))
    edit_json(folder / "preprocessor_config.json", image_mean=[0.1, 0.2, 0.3], image_std=[1, 2, 3])
    write_tower_file(tmp_path / "t", read_clip_folder(folder))
    assert read_tower_config(tmp_path / "t") == TowerConfig(
        image_size=SIZE,
        patch_size=14,
        hidden_size=48,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=192,
        layer_norm_eps=1e-5,
        hidden_act="quick_gelu",
        mean=(0.1, 0.2, 0.3),
        std=(1.0, 2.0, 3.0),
        size=SIZE,
    )


def test_what_a_configuration_leaves_out_is_what_transformers_assumes(tmp_path: Path) -> None:
    from transformers import CLIPVisionConfig

    folder = write_tower(tmp_path / "x")
    edit_json(folder / "config.json", vision_config={"model_type": "clip_vision_model"})
    edit_json(folder / "preprocessor_config.json", size=224, crop_size=224)
    found, theirs = read_clip_folder(folder).config, CLIPVisionConfig()
    for key in (
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
        "image_size",
        "patch_size",
        "hidden_act",
        "layer_norm_eps",
    ):
        assert getattr(found, key) == getattr(theirs, key), key


WRONG: dict[str, tuple[Callable[[Path], None], str]] = {
    "another class": (
        lambda f: edit_json(f / "config.json", architectures=["SiglipModel"]),
        "is no tower that can be used",
    ),
    "another type": (
        lambda f: edit_json(f / "config.json", vision_config={"model_type": "siglip_vision_model"}),
        "'siglip_vision_model', not a CLIP",
    ),
    "no object": (lambda f: edit_json(f / "config.json", vision_config=[]), "key 'vision_config'"),
    "a text for a number": (
        lambda f: edit_json(f / "config.json", vision_config=vision_config() | {"hidden_size": "48"}),
        "key 'hidden_size'",
    ),
    "another function": (
        lambda f: edit_json(f / "config.json", vision_config=vision_config() | {"hidden_act": "relu"}),
        "hidden_act 'relu'",
    ),
    "another size than the tower takes": (
        lambda f: edit_json(f / "preprocessor_config.json", size=70, crop_size=70),
        "cut to 70 pixels, the tower takes 56",
    ),
    "another crop than size": (
        lambda f: edit_json(f / "preprocessor_config.json", size=64),
        "resized to 64 pixels and cut to 56",
    ),
    "stretched": (
        lambda f: edit_json(f / "preprocessor_config.json", size={"height": 56, "width": 56}),
        "key 'size'.*shortest_edge",
    ),
    "no square": (
        lambda f: edit_json(f / "preprocessor_config.json", crop_size={"height": 56, "width": 70}),
        "key 'crop_size'",
    ),
    "not bicubic": (lambda f: edit_json(f / "preprocessor_config.json", resample=2), "resample 2"),
    "not cropped": (
        lambda f: edit_json(f / "preprocessor_config.json", do_center_crop=False),
        "do_center_crop False",
    ),
    "another scale": (
        lambda f: edit_json(f / "preprocessor_config.json", rescale_factor=0.5),
        "rescale_factor 0.5 is not 1/255",
    ),
    "two colours": (
        lambda f: edit_json(f / "preprocessor_config.json", image_mean=[0.5, 0.5]),
        "key 'image_mean': expected three numbers",
    ),
    "no preparation": (lambda f: (f / "preprocessor_config.json").unlink(), r"preprocessor_config\.json"),
}


@pytest.mark.parametrize(("change", "says"), WRONG.values(), ids=WRONG)
def test_what_is_not_computed_is_refused(tmp_path: Path, change: Callable[[Path], None], says: str) -> None:
    folder = write_tower(tmp_path / "x")
    change(folder)
    with pytest.raises(MedbenchError, match=says):
        read_clip_folder(folder)


@pytest.mark.parametrize(
    ("name", "tensor", "says"),
    [
        ("vision_model.encoder.layers.3.mlp.fc1.bias", None, "no tensors encoder.layers.3.mlp.fc1.bias"),
        ("vision_model.extra", torch.ones(3), "unknown tensors extra"),
        (
            "vision_model.embeddings.position_embedding.weight",
            torch.ones(5, 48),
            r"shape \[5, 48\], expected \[17, 48\]",
        ),
    ],
)
def test_weights_that_contradict_the_configuration_are_refused(
    tmp_path: Path, name: str, tensor: torch.Tensor | None, says: str
) -> None:
    state = {key: value for key, value in tower_state().items() if key != name}
    folder = write_tower(tmp_path / "x", state | ({} if tensor is None else {name: tensor}))
    with pytest.raises(InputError, match=says) as caught:
        write_tower_file(tmp_path / "t", read_clip_folder(folder))
    assert str(folder) in caught.value.message
