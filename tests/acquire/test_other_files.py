"""GGUF files that llama.cpp's tools make and that hold no language model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFWriter

from medbench_local.acquire.prepare import prepare_model
from medbench_local.acquire.source import resolve_model
from medbench_local.catalog.quantisation import load_quant
from medbench_local.errors import InputError


def _adapter(writer: GGUFWriter) -> None:
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")


def _old_projector(writer: GGUFWriter) -> None:
    writer.add_bool("clip.has_vision_encoder", True)


KINDS: dict[str, tuple[str, Callable[[GGUFWriter], object], str, str]] = {
    "adapter": ("llama", _adapter, "is an adapter, not a model", "adapter_config.json"),
    "projector": (
        "clip",
        lambda writer: writer.add_type("mmproj"),
        "is the projector",
        "the language model's GGUF",
    ),
    "old projector": ("clip", _old_projector, "is the projector", "the language model's GGUF"),
}


@pytest.mark.parametrize(("architecture", "describe", "says", "advice"), KINDS.values(), ids=KINDS)
def test_other_kinds_of_gguf_are_named(
    tmp_path: Path, architecture: str, describe: Callable[[GGUFWriter], object], says: str, advice: str
) -> None:
    path = tmp_path / "file.gguf"
    writer = GGUFWriter(path, architecture)
    describe(writer)
    writer.add_tensor("blk.0.attn_q.weight", np.zeros((4, 32), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(InputError, match=says) as caught:
        prepare_model(resolve_model(str(path)), quant=load_quant("full"), home=tmp_path / "home")
    assert advice in caught.value.advice


def test_an_importance_matrix_and_a_vocabulary_are_no_models(tmp_path: Path) -> None:
    for name, says in (
        ("imatrix", "holds an importance matrix"),
        ("vocab", "holds a vocabulary and no weights"),
    ):
        path = tmp_path / f"{name}.gguf"
        writer = GGUFWriter(path, "llama")
        if name == "imatrix":  # llama-imatrix names no architecture
            writer.kv_data[0].pop("general.architecture")
            writer.add_type("imatrix")
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        with pytest.raises(InputError, match=says):
            prepare_model(resolve_model(str(path)), quant=load_quant("full"), home=tmp_path / "home")
