"""Which files make a checkpoint, whatever else lies beside them."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medbench_local.acquire.layout import Layout, choose_files, is_weights
from medbench_local.errors import AcquireError, InputError, MedbenchError

SHARDS = [f"model-0000{i}-of-00003.safetensors" for i in (1, 2, 3)]


def nothing_local(name: str) -> Path:
    raise AssertionError(f"{name} was asked for")


def test_safetensors_before_bin_and_never_both() -> None:
    names = ["config.json", "model.safetensors", "pytorch_model.bin", "consolidated.safetensors", "README.md"]
    assert choose_files(names, nothing_local, place="x").files == ("config.json", "model.safetensors")
    names.remove("model.safetensors")
    assert choose_files(names, nothing_local, place="x").files == ("config.json", "pytorch_model.bin")


def test_shards_are_those_of_the_index(tmp_path: Path) -> None:
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": SHARDS[2], "b": SHARDS[0], "c": SHARDS[2]}}))
    names = ["config.json", index.name, *SHARDS, "pytorch_model.bin"]
    chosen = choose_files(names, lambda name: tmp_path / name, place="x").files
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
            chosen = choose_files(["config.json", index.name, *present], lambda name: index, place="x").files
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


@pytest.mark.parametrize("beside", [[], ["config.json"], ["tokenizer.model", "optimizer.pt", "README.md"]])
@pytest.mark.parametrize("stored", ["adapter_model.safetensors", "adapter_model.bin"])
def test_an_adapter_is_its_own_files(beside: list[str], stored: str) -> None:
    names = ["adapter_config.json", stored, "tokenizer.json", "chat_template.jinja", *beside]
    layout = choose_files(names, nothing_local, place="owner/name")
    wanted = {"adapter_config.json", stored, "tokenizer.json", "chat_template.jinja"} | (
        {"tokenizer.model"} & {*beside}
    )
    assert (set(layout.files), layout.adapter) == (wanted, True)


def test_an_adapter_without_its_weights_is_none() -> None:
    with pytest.raises(AcquireError, match=r"neither adapter_model.safetensors nor adapter_model.bin"):
        choose_files(["adapter_config.json", "config.json"], nothing_local, place="x")


def test_what_an_adapter_beside_whole_weights_means_has_to_be_said() -> None:
    names = ["config.json", "adapter_config.json", "adapter_model.safetensors", "model.safetensors"]
    with pytest.raises(AcquireError, match="nothing tells whether the adapter is merged") as caught:
        choose_files(names, nothing_local, place="x")
    assert 'adapter_base="none"' in caught.value.advice
    whole = choose_files(names, nothing_local, place="x", adapter_base="none")
    assert whole == Layout(("config.json", "model.safetensors"), either=True)
    merged = choose_files(names, nothing_local, place="x", adapter_base="hf:owner/base")
    assert merged == Layout(("adapter_config.json", "adapter_model.safetensors"), adapter=True, either=True)
    names.remove("adapter_model.safetensors")
    assert choose_files(names, nothing_local, place="x").files == ("config.json", "model.safetensors")


SHARDED = ["model.safetensors.index.json", *SHARDS]
TWO_SETS: dict[str, tuple[list[str], str]] = {
    "a file beside the shards it was made from": (["model.safetensors", *SHARDED], "model.safetensors"),
    "without their index": (["model.safetensors", *SHARDS], "model.safetensors"),
    "in PyTorch's format": (
        ["pytorch_model.bin", "pytorch_model.bin.index.json", "pytorch_model-00001-of-00001.bin"],
        "pytorch_model.bin",
    ),
}


@pytest.mark.parametrize(("names", "read"), TWO_SETS.values(), ids=TWO_SETS)
def test_of_two_sets_of_weights_that_of_transformers_is_read_and_said(names: list[str], read: str) -> None:
    layout = choose_files(["config.json", *names], nothing_local, place="owner/name")
    assert layout.files == ("config.json", read)
    assert len(layout.warnings) == 1
    assert f"two sets of weights, {read} and" in layout.warnings[0]


@pytest.mark.parametrize(
    "beside",
    [
        [
            "optimizer.pt",
            "scheduler.pt",
            "rng_state.pth",
            "training_args.bin",
            "trainer_state.json",
            "scaler.pt",
        ],
        ["model.fp16.safetensors", "model.fp16.safetensors.index.json"],
        ["pytorch_model.bin", "pytorch_model.fp16.bin", "tf_model.h5", "flax_model.msgpack", "model.onnx"],
        ["original/consolidated.00.pth", "consolidated.safetensors", "consolidated.00.pth", "params.json"],
        [
            "pytorch_model_fsdp_0/__0_0.distcp",
            "global_step500/mp_rank_00_model_states.pt",
            "zero_to_fp32.py",
            "latest",
        ],
        [
            "checkpoint-500/model.safetensors",
            "checkpoint-500/config.json",
            "checkpoint-500/adapter_config.json",
        ],
        ["model.Q4_K_M.gguf", "imatrix.dat", "mmproj.gguf"],
        ["adapter_model.safetensors"],
        ["model.safetensors.index.json"],
    ],
)
def test_other_weights_beside_the_main_file_are_left_alone(beside: list[str]) -> None:
    layout = choose_files(["config.json", "model.safetensors", *beside], nothing_local, place="x")
    assert layout == Layout(("config.json", "model.safetensors"))


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (SHARDS, tuple(SHARDS)),
        (["model.fp16.safetensors", "training_args.bin"], ("model.fp16.safetensors",)),
        ([SHARDS[0], "pytorch_model.bin"], ("pytorch_model.bin",)),
    ],
)
def test_weights_without_an_index_or_by_another_name(names: list[str], chosen: tuple[str, ...]) -> None:
    assert choose_files(["config.json", *names], nothing_local, place="x").files == ("config.json", *chosen)


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (SHARDS[:2], "00003-of-00003.*missing"),
        (
            [*SHARDS, "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"],
            "several sets of weights",
        ),
        (["model.fp16.safetensors", "model.fp32.safetensors"], "several sets of weights"),
    ],
)
def test_weights_that_cannot_be_told_are_refused(names: list[str], says: str) -> None:
    with pytest.raises(InputError, match=says):
        choose_files(["config.json", *names], nothing_local, place="x")


NO_WEIGHTS: dict[str, tuple[list[str], str]] = {
    "fsdp": (["pytorch_model_fsdp_0/__0_0.distcp"], "accelerate merge-weights"),
    "deepspeed": (["zero_to_fp32.py", "latest"], "zero_to_fp32.py"),
    "the publisher's": (["consolidated.00.pth", "params.json"], "-hf"),
    "another framework's": (["tf_model.h5"], "another framework"),
    "training only": (["optimizer.pt", "trainer_state.json"], "state of a training"),
    "in folders": (
        ["checkpoint-90/config.json", "checkpoint-500/config.json"],
        "checkpoint-500, checkpoint-90",
    ),
    "gguf": (["m.q8_0.gguf"], "m.q8_0.gguf"),
}


@pytest.mark.parametrize(("names", "says"), NO_WEIGHTS.values(), ids=NO_WEIGHTS)
@pytest.mark.parametrize("config", [[], ["config.json"]])
def test_what_is_there_in_place_of_weights_is_named(names: list[str], says: str, config: list[str]) -> None:
    with pytest.raises(AcquireError, match=r"holds no (config.json|weights)") as caught:
        choose_files([*config, *names], nothing_local, place="x")
    assert says in caught.value.advice
