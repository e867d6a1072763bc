"""Which files make a checkpoint, whatever else lies beside them."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medbench_local.acquire.layout import choose_files, is_weights
from medbench_local.errors import AcquireError, InputError, MedbenchError

SHARDS = [f"model-0000{i}-of-00003.safetensors" for i in (1, 2, 3)]


def nothing_local(name: str) -> Path:
    raise AssertionError(f"{name} was asked for")


def test_safetensors_before_bin_and_never_both() -> None:
    names = ["config.json", "model.safetensors", "pytorch_model.bin", "consolidated.safetensors", "README.md"]
    assert choose_files(names, nothing_local, place="x") == ("config.json", "model.safetensors")
    names.remove("model.safetensors")
    assert choose_files(names, nothing_local, place="x") == ("config.json", "pytorch_model.bin")


def test_shards_are_those_of_the_index(tmp_path: Path) -> None:
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": SHARDS[2], "b": SHARDS[0], "c": SHARDS[2]}}))
    names = ["config.json", index.name, *SHARDS, "pytorch_model.bin"]
    chosen = choose_files(names, lambda name: tmp_path / name, place="x")
    assert chosen == ("config.json", index.name, SHARDS[0], SHARDS[2])
    assert [name for name in chosen if is_weights(name)] == [SHARDS[0], SHARDS[2]]


def test_subfolders_are_no_part_of_it() -> None:
    with pytest.raises(AcquireError, match="no weights"):
        choose_files(["config.json", "original/model.safetensors"], nothing_local, place="owner/name")


@given(
    st.dictionaries(st.text(max_size=5), st.sampled_from([*SHARDS, "../x.safetensors", "y"]) | st.integers())
    | st.lists(st.integers())
    | st.none(),
    st.sets(st.sampled_from(SHARDS)),
)
def test_any_index_gives_present_shards_or_an_input_error(weight_map: object, present: set[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        index = Path(folder) / "model.safetensors.index.json"
        index.write_text(json.dumps({"weight_map": weight_map}))
        try:
            chosen = choose_files(["config.json", index.name, *present], lambda name: index, place="x")
        except InputError:
            return
    assert set(chosen[2:]) <= present


@given(st.binary(max_size=60))
def test_any_bytes_as_an_index(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        index = Path(folder) / "index.json"
        index.write_bytes(content)
        with pytest.raises(MedbenchError):
            choose_files(["config.json", "model.safetensors.index.json"], lambda name: index, place="x")


@pytest.mark.parametrize("beside", [[], ["config.json"], ["model.safetensors"]])
def test_an_adapter_is_named_with_its_base(tmp_path: Path, beside: list[str]) -> None:
    path = tmp_path / "adapter_config.json"
    path.write_text('{"peft_type": "LORA", "base_model_name_or_path": "lab/base\\n-7b"}')
    names = [path.name, "adapter_model.safetensors", "tokenizer.json", *beside]
    with pytest.raises(
        AcquireError, match=r"^owner/name is a LoRA adapter of lab/base -7b, not a whole"
    ) as caught:
        choose_files(names, lambda name: tmp_path / name, place="owner/name")
    assert "merge_and_unload" in caught.value.advice
    path.write_text('{"peft_type": "PREFIX_TUNING"}')
    with pytest.raises(AcquireError, match=r"is an adapter \(PREFIX_TUNING\), not"):
        choose_files(names, lambda name: tmp_path / name, place="owner/name")


def test_an_adapter_beside_a_whole_model_is_left_alone() -> None:
    names = ["config.json", "adapter_config.json", "adapter_model.safetensors", "model.safetensors"]
    assert choose_files(names, nothing_local, place="x") == ("config.json", "model.safetensors")
