"""The projector file of a Gemma 3 checkpoint against llama.cpp's own converter."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from medbench_local.acquire.conversion.checkpoint import CheckpointFolder
from medbench_local.acquire.conversion.pictures.siglip_projector import write_projector_file
from medbench_local.errors import InputError, UnsupportedArchitectureError
from medbench_local.vision.projector_file import read_projector
from tests.acquire.checkpoints import edit_json, write_weights
from tests.acquire.conversion.official_converter import convert_officially
from tests.acquire.gguf_content import read_content
from tests.engine.gemma3_pictures import ROWS, SIDE, write_seeing


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_seeing(tmp_path_factory.mktemp("gemma3")).folder


def written(folder: Path, output: Path) -> Path:
    write_projector_file(CheckpointFolder(folder), output)
    return output


def changed(
    folder: Path, target: Path, change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]
) -> Path:
    shutil.copytree(folder, target, ignore=shutil.ignore_patterns("pair"))
    write_weights(target, change(load_file(folder / "model.safetensors")))
    return target


def _with_names(tensors: dict[str, torch.Tensor], new: Callable[[str], str]) -> dict[str, torch.Tensor]:
    return {new(name): tensor for name, tensor in tensors.items()}


KINDS = (torch.float32, torch.bfloat16)


@pytest.fixture(scope="module")
def official(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[torch.dtype, tuple[Path, Path]]:
    """The checkpoint in each type of weights, and what the official converter writes of it."""
    root = tmp_path_factory.mktemp("official")

    def written_as(kind: torch.dtype) -> Path:
        return changed(folder, root / str(kind), lambda all: {name: t.to(kind) for name, t in all.items()})

    found = {kind: (written_as(kind), root / f"{kind}.gguf") for kind in KINDS}
    convert_officially([(*paths, "f16") for paths in found.values()], "--mmproj")
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_file_as_the_official_converter_writes(
    official: dict[torch.dtype, tuple[Path, Path]], tmp_path: Path, kind: torch.dtype
) -> None:
    source, output = official[kind]
    theirs = read_content(output)
    ours = read_content(written(source, tmp_path / "ours.gguf"))
    assert ours.tensors.keys() == theirs.tensors.keys()
    for name, tensor in theirs.tensors.items():
        assert ours.tensors[name] == tensor, name
    own_words = {"general.name", "general.size_label", "general.basename"}
    keys = theirs.metadata.keys() - own_words
    assert ours.metadata.keys() - own_words == keys
    for key in keys:
        assert ours.value(key) == theirs.value(key), key


def test_every_layout_becomes_the_same_file(folder: Path, tmp_path: Path) -> None:
    """As transformers 5 saves it, and as transformers has it in memory; how pictures are prepared need not be said."""
    wanted = written(folder, tmp_path / "wanted.gguf").read_bytes()
    saved, held = "vision_tower.", "model.vision_tower.vision_model."
    for number, prefix in enumerate((saved, held)):

        def renamed(name: str, prefix: str = prefix) -> str:
            name = name.replace("vision_tower.vision_model.", prefix)
            return f"model.{name}" if prefix == held and name.startswith("multi_modal") else name

        other = changed(
            folder,
            tmp_path / str(number),
            lambda all, new=renamed: _with_names(all, new),  # type: ignore[misc]
        )
        (other / "preprocessor_config.json").unlink()  # which is not fetched with a model
        assert written(other, tmp_path / f"{number}.gguf").read_bytes() == wanted


def test_it_is_one_that_can_be_used(folder: Path, tmp_path: Path) -> None:
    found = read_projector(written(folder, tmp_path / "ours.gguf"))
    assert (found.kind, found.side, found.rows, found.width, found.precision) == (
        "gemma3",
        SIDE,
        ROWS,
        256,
        "f16",
    )


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("mm_tokens_per_image", 5, "mm_tokens_per_image"),
        ("vision_config", {"hidden_size": 64}, "vision_config.intermediate_size"),
        ("architectures", ["LlamaForCausalLM"], "projector file can be made of"),
    ],
)
def test_what_makes_no_sense_is_refused(
    folder: Path, tmp_path: Path, key: str, value: object, said: str
) -> None:
    other = changed(folder, tmp_path / "other", dict)
    edit_json(other / "config.json", **{key: value})
    with pytest.raises((InputError, UnsupportedArchitectureError), match=said):
        written(other, tmp_path / "x.gguf")


def test_a_part_that_is_missing_or_unknown_is_named(folder: Path, tmp_path: Path) -> None:
    gone = "vision_tower.vision_model.encoder.layers.2.mlp.fc1.weight"
    other = changed(folder, tmp_path / "gone", lambda all: {n: t for n, t in all.items() if n != gone})
    with pytest.raises(InputError, match=r"v\.blk\.2\.ffn_up\.weight"):
        written(other, tmp_path / "x.gguf")
    more = {"vision_tower.vision_model.ears.weight": torch.ones(2, 2)}
    other = changed(folder, tmp_path / "more", lambda all: all | more)
    with pytest.raises(InputError, match=r"ears\.weight.*not part"):
        written(other, tmp_path / "x.gguf")


def test_pictures_that_are_prepared_otherwise_are_refused(folder: Path, tmp_path: Path) -> None:
    other = changed(folder, tmp_path / "other", dict)
    edit_json(other / "preprocessor_config.json", do_pan_and_scan=True)
    with pytest.raises(UnsupportedArchitectureError, match="cut up"):
        written(other, tmp_path / "x.gguf")
