"""A model with the file of its projector: beside it in a folder, or named."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file

from medbench_local.acquire.inventory import plan_model
from medbench_local.acquire.picture_parts import ProjectorFiles, refuse_other_precision
from medbench_local.acquire.prepare import PreparedModel, prepare_model
from medbench_local.acquire.source import LocalCheckpoint, LocalGguf, resolve_model
from medbench_local.catalog.model import models
from medbench_local.catalog.quantisation import load_quant
from medbench_local.errors import InputError, UsageError
from medbench_local.files.hashes import hash_file
from medbench_local.progress import Silent
from tests.engine.gemma3_pictures import Seeing, write_projector, write_seeing
from tests.vision.test_projector_file import write as small_projector


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> Seeing:
    return write_seeing(tmp_path_factory.mktemp("gemma3"))


def prepared(
    text: str, home: Path, quant: str = "full", projector: str | Path | None = None
) -> PreparedModel:
    source = resolve_model(text, projector=projector)
    return prepare_model(source, quant=load_quant(quant), home=home)


def test_a_folder_that_holds_both(seeing: Seeing, tmp_path: Path) -> None:
    source = resolve_model(str(seeing.gguf.parent))
    assert isinstance(source, LocalGguf)
    assert (source.name, source.path, source.projector) == ("pair", seeing.gguf, seeing.projector)
    found = prepared(str(seeing.gguf.parent), tmp_path, "q8_0")
    assert isinstance(found.vision, ProjectorFiles)
    assert found.vision.vision == seeing.projector
    assert found.vision.vision_sha256 == hash_file(seeing.projector, Silent())
    assert (found.vision.projector.precision, found.vision.projector.rows) == ("f32", 4)
    assert found.quantised.file_type == "q8_0"  # of the text half alone
    assert [file.path for file in found.files] == ["model.gguf", "mmproj.gguf"]


def test_a_file_beside_its_projector(seeing: Seeing, tmp_path: Path) -> None:
    assert resolve_model(str(seeing.gguf)).projector is None  # type: ignore[union-attr]
    assert prepared(str(seeing.gguf), tmp_path).vision is None
    found = prepared(str(seeing.gguf), tmp_path, projector=seeing.projector)
    assert isinstance(found.vision, ProjectorFiles)


def test_a_checkpoint_whose_text_half_is_converted(seeing: Seeing, tmp_path: Path) -> None:
    source = resolve_model(str(seeing.folder), projector=seeing.projector)
    assert isinstance(source, LocalCheckpoint)
    found = prepared(str(seeing.folder), tmp_path, projector=seeing.projector)
    assert isinstance(found.vision, ProjectorFiles)
    assert "mmproj.gguf" in [file.path for file in found.files]
    plan = plan_model(source, load_quant("full"), home=tmp_path)
    assert plan.full_here


def test_a_name_of_the_catalog_takes_one(seeing: Seeing) -> None:
    source = resolve_model("medgemma-4b", projector=seeing.projector)
    assert source.projector == seeing.projector  # type: ignore[union-attr]
    for name in ("medgemma-4b", "gemma-3-4b-it"):
        entry = models()[name]
        assert entry.takes_projector
        assert "mmproj=" in entry.reads
        assert "mmproj=" in entry.notes
    assert not models()["llava-v0-7b"].takes_projector
    assert models()["llama-2-7b"].reads == "text"


def test_a_checkpoint_makes_its_own(seeing: Seeing, tmp_path: Path) -> None:
    found = prepared(str(seeing.folder), tmp_path, projector="own").vision
    assert isinstance(found, ProjectorFiles)
    assert (found.projector.precision, found.projector.rows) == ("f16", 4)
    written = found.vision.stat().st_mtime_ns
    again = prepared(str(seeing.folder), tmp_path, "q8_0", projector="own").vision
    assert isinstance(again, ProjectorFiles)
    assert (again.vision, again.vision.stat().st_mtime_ns) == (found.vision, written)
    assert prepared(str(seeing.folder), tmp_path).vision is None, "text only unless it is asked for"
    with pytest.raises(UsageError, match="no checkpoint"):
        resolve_model(str(seeing.gguf), projector="own")
    with pytest.raises(UsageError, match="text only"):
        resolve_model("llama-2-7b", projector="own")
    assert resolve_model("medgemma-4b", projector="own").projector == "own"  # type: ignore[union-attr]


def test_the_projector_of_another_width_is_refused(seeing: Seeing, tmp_path: Path) -> None:
    tensors = load_file(seeing.folder / "model.safetensors")
    name = "multi_modal_projector.mm_input_projection_weight"
    tensors[name] = tensors[name][:, :128].contiguous()
    other = write_projector(tmp_path / "mmproj.gguf", tensors, width=128)
    with pytest.raises(InputError, match=r"makes rows of 128 numbers, model\.gguf has 256"):
        prepared(str(seeing.gguf), tmp_path, projector=other)


def test_what_is_no_projector_is_refused(seeing: Seeing, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There is no file"):
        resolve_model(str(seeing.gguf), projector=tmp_path / "none.gguf")
    with pytest.raises(UsageError, match="is a language model"):
        resolve_model(str(seeing.gguf), projector=seeing.gguf)


def test_a_folder_with_a_clip_projector_is_refused(seeing: Seeing, tmp_path: Path) -> None:
    shutil.copyfile(seeing.gguf, tmp_path / "llava.gguf")
    small_projector(tmp_path / "mmproj.gguf", kind="mlp")
    with pytest.raises(UsageError, match="CLIP tower") as refused:
        resolve_model(str(tmp_path))
    assert "folder of the checkpoint" in refused.value.advice
    assert resolve_model(str(tmp_path / "llava.gguf"))  # text only


def test_a_folder_with_several_asks_which(seeing: Seeing, tmp_path: Path) -> None:
    for name in ("a.gguf", "b.gguf"):
        shutil.copyfile(seeing.gguf, tmp_path / name)
    small_projector(tmp_path / "mmproj-f16.gguf")
    with pytest.raises(UsageError, match=r"2 language models and 1 projectors.*a\.gguf, b\.gguf") as refused:
        resolve_model(str(tmp_path))
    assert "mmproj=" in refused.value.advice


def test_precisions_are_not_mixed_within_a_pair(seeing: Seeing, tmp_path: Path) -> None:
    one = prepared(str(seeing.folder), tmp_path, projector=seeing.projector).vision
    narrow = small_projector(tmp_path / "mmproj.gguf", "f16")
    other = prepared(str(seeing.gguf), tmp_path, projector=narrow).vision
    with pytest.raises(UsageError, match=r"two precisions.*f32.*f16"):
        refuse_other_precision(one, other)
    refuse_other_precision(one, one)
    refuse_other_precision(one, None)
