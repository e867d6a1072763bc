"""What MODEL may be."""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from medbench_local.acquire.conversion.checkpoint import CheckpointFolder
from medbench_local.acquire.source import (
    HubCheckpoint,
    HubGguf,
    LocalCheckpoint,
    LocalGguf,
    PictureModel,
    resolve_model,
)
from medbench_local.acquire.source_types import Part
from medbench_local.catalog.model import models
from medbench_local.errors import AcquireError, InputError, UsageError
from medbench_local.files.gguf_header import gguf_parts


@pytest.mark.parametrize("name", sorted(models()))
def test_every_name_of_the_catalog(name: str) -> None:
    source = resolve_model(name)
    entry = models()[name]
    assert source.name == name
    assert source.entry == entry
    if entry.embedded:
        assert isinstance(source, LocalCheckpoint)
    else:
        own = source.own if isinstance(source, PictureModel) else source
        assert isinstance(source, PictureModel) == (entry.vision is not None)
        assert isinstance(own, HubCheckpoint)
        assert own.repository == entry.repository


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hf:owner/Some-Model_1.2", HubCheckpoint("Some-Model_1.2", "owner/Some-Model_1.2", "main")),
        ("hf:owner/name@refs/pr/3", HubCheckpoint("name", "owner/name", "refs/pr/3")),
        ("hf:owner/name@0123abc", HubCheckpoint("name", "owner/name", "0123abc")),
        ("gguf:owner/name/file.Q4_K_M.gguf", HubGguf("file.Q4_K_M", "owner/name", "file.Q4_K_M.gguf")),
        ("gguf:o/n/sub/f-00001-of-00002.gguf", HubGguf("f", "o/n", "sub/f-00001-of-00002.gguf")),
    ],
)
def test_the_hub(text: str, expected: HubCheckpoint | HubGguf) -> None:
    assert resolve_model(text) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hf:owner", "hf:owner/name"),
        ("hf:owner/name@../../x", "not a branch"),
        ("hf:../../etc", "does not name a repository"),
        ("gguf:owner/name", "gguf:owner/name/file.gguf"),
        ("gguf:owner/name/../../x.gguf", "not the name of a GGUF file"),
        ("gguf:owner/name/big.Q8_0.gguf-split-a", "join them with cat"),
        ("gguf:owner/name/big.Q8_0.gguf.part1of2", "join them with cat"),
        ("gguf:owner/name/f-00002-of-00003.gguf", "f-00001-of-00003.gguf"),
        ("meditron7b", "Did you mean meditron-7b"),
        ("openbiollm", "openbiollm-8b"),
        ("meta-llama/Llama-2-7b-hf", "The catalog calls it llama-2-7b"),
        ("some/thing", "write hf:some/thing"),
        ("qqqqqq", "`model_names()`"),
        ("", "`model_names()`"),
        ("nowhere/model.gguf", "no file nowhere/model.gguf"),
    ],
)
def test_what_is_not_understood_is_an_error_that_helps(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=re.escape(said)):
        resolve_model(text)


def test_models_with_pictures_are_put_together_of_repositories() -> None:
    source = resolve_model("med-flamingo-9b")
    assert isinstance(source, PictureModel)
    assert source.own == HubCheckpoint(
        "med-flamingo-9b",
        "med-flamingo/med-flamingo",
        entry=source.entry,
        part=Part("torch file", "model.pt"),
    )
    assert source.base == HubCheckpoint("llama-7b", "huggyllama/llama-7b", "main")
    assert source.tower == HubCheckpoint(
        "clip-vit-large-patch14", "openai/clip-vit-large-patch14", part=Part("tower")
    )
    assert (source.kind, source.every) == ("flamingo", 4)
    whole = resolve_model("llava-v1.5-7b", "llama-2-7b")  # it has no base to put another one in the place of
    assert isinstance(whole, PictureModel)
    assert whole.base is None
    for text in ("demo-base", "hf:owner/other"):
        named = resolve_model("llava-med-7b", text)
        assert isinstance(named, PictureModel)
        assert named.base == resolve_model(text)
    for text in ("llava-v0-7b", "gguf:owner/name/x.gguf"):
        with pytest.raises(UsageError, match="is no checkpoint of its own"):
            resolve_model("llava-med-7b", text)


def test_folders_and_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "my model (v2)"
    folder.mkdir()
    with pytest.raises(UsageError, match=r"holds no config.json"):
        resolve_model(str(folder))
    (folder / "config.json").write_text("{}")
    assert resolve_model(str(folder)) == LocalCheckpoint("my-model-v2", folder)
    monkeypatch.chdir(folder)
    assert resolve_model(".").name == "my-model-v2"

    (tmp_path / "m-00001-of-00002.gguf").touch()
    with pytest.raises(UsageError, match="m-00002-of-00002"):
        resolve_model(str(tmp_path / "m-00001-of-00002.gguf"))
    (tmp_path / "m-00002-of-00002.gguf").touch()
    source = resolve_model(str(tmp_path / "m-00001-of-00002.gguf"))
    assert source == LocalGguf("m", tmp_path / "m-00001-of-00002.gguf")
    with pytest.raises(UsageError, match=r"config.json is one file of a checkpoint, not a model"):
        resolve_model(str(folder / "config.json"))
    (tmp_path / "notes").write_text("hello")
    with pytest.raises(UsageError, match=r"neither a .gguf file nor"):
        resolve_model(str(tmp_path / "notes"))


def test_a_folder_with_an_adapter_is_a_model_and_its_weights_alone_are_none(tmp_path: Path) -> None:
    content = '{"peft_type": "LORA", "base_model_name_or_path": "lab/base-7b"}'
    (tmp_path / "adapter_config.json").write_text(content)
    assert resolve_model(str(tmp_path), "demo-base") == LocalCheckpoint(
        tmp_path.name, tmp_path, adapter_base="demo-base"
    )
    with pytest.raises(AcquireError, match="LoRA adapter of lab/base-7b"):
        _ = CheckpointFolder(tmp_path).tensors


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://huggingface.co/owner/name", HubCheckpoint("name", "owner/name")),
        ("https://huggingface.co/owner/name/", HubCheckpoint("name", "owner/name")),
        (
            "http://www.huggingface.co/owner/name?library=transformers#usage",
            HubCheckpoint("name", "owner/name"),
        ),
        ("hf.co/owner/name", HubCheckpoint("name", "owner/name")),
        ("huggingface.co/owner/name/tree/main", HubCheckpoint("name", "owner/name")),
        ("hf:https://huggingface.co/owner/name", HubCheckpoint("name", "owner/name")),
        ("hf:owner/name/", HubCheckpoint("name", "owner/name")),
        ("hf://owner/name@v2", HubCheckpoint("name", "owner/name", "v2")),
        (
            "https://huggingface.co/owner/name/tree/refs%2Fpr%2F3",
            HubCheckpoint("name", "owner/name", "refs/pr/3"),
        ),
        (
            "https://huggingface.co/owner/name/tree/refs/pr/3",
            HubCheckpoint("name", "owner/name", "refs/pr/3"),
        ),
        ("https://huggingface.co/owner/name/commit/0123abc", HubCheckpoint("name", "owner/name", "0123abc")),
        ("https://huggingface.co/owner/name/blob/v1/config.json", HubCheckpoint("name", "owner/name", "v1")),
        (
            "https://huggingface.co/o/n-GGUF/resolve/main/m.q8_0.gguf?download=true",
            HubGguf("m.q8_0", "o/n-GGUF", "m.q8_0.gguf"),
        ),
        ("https://huggingface.co/o/n/blob/v1/sub/m.gguf", HubGguf("m", "o/n", "sub/m.gguf", "v1")),
        ("gguf:https://hf.co/o/n/blob/main/m.gguf", HubGguf("m", "o/n", "m.gguf")),
        ("https://mirror.example:8443/hf/owner/name/tree/v1", HubCheckpoint("name", "owner/name", "v1")),
        ("https://huggingface.co/owner/name/discussions", HubCheckpoint("name", "owner/name")),
    ],
)
def test_addresses_of_the_hub(
    monkeypatch: pytest.MonkeyPatch, text: str, expected: HubCheckpoint | HubGguf
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "https://user:pw@mirror.example:8443/hf/")
    assert resolve_model(text) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("https://huggingface.co/datasets/owner/name", "is a data set, not a model"),
        ("https://huggingface.co/spaces/owner/name", "is a space, not a model"),
        ("https://huggingface.co/gpt2", "names no owner and model"),
        (
            "https://me:secret@example.org/owner/name",
            "'https://example.org/owner/name' is no address of the hub",
        ),
        ("https://huggingface.co/owner/name/tree/main/sub", "from the top of a repository"),
        ("https://huggingface.co/owner/name/blob/main/sub/config.json", "from the top of a repository"),
        ("https://huggingface.co/owner/name/tree/..%2F..", "not a branch"),
        ("https://huggingface.co/o/n/resolve/main/m-00002-of-00003.gguf", "m-00001-of-00003.gguf"),
        ("hf:owner/name/m.gguf", "Write gguf:owner/name/m.gguf"),
    ],
)
def test_addresses_of_other_things_say_what_they_are(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=re.escape(said)) as caught:
        resolve_model(text)
    assert "secret" not in str(caught.value)


def _safetensors(name: str) -> bytes:
    header = json.dumps({name: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(4)


OTHER_FILES: dict[str, tuple[bytes, str, str]] = {
    "optimizer.pt": (b"PK", "the state of a training", "the trained model"),
    "training_args.bin": (b"PK", "the state of a training", "the trained model"),
    "pytorch_model.bin": (b"PK", "a file of weights", "the folder that holds it"),
    "model.safetensors": (_safetensors("model.norm.weight"), "a file of weights", "the folder that holds it"),
    "my-lora.safetensors": (_safetensors("x.lora_A.weight"), "part of an adapter", "adapter_config.json"),
    "adapter_model.bin": (b"PK", "part of an adapter", "adapter_config.json"),
    "imatrix.dat": (b"1234", "an importance matrix", "imatrix: FILE"),
    "model.zip": (b"PK", "an archive", "Unpack it"),
    "model.tar.gz": (b"xx", "an archive", "Unpack it"),
    "ggml-model-q4_0.bin": (b"tjgg", "in the GGML format of before August 2023", "GGUF only"),
    "model.q8_0": (b"GGUF1234", "a GGUF file without that ending", "Rename it to model.q8_0.gguf"),
    "consolidated.00.pth": (b"PK", "weights in their publisher's own format", "-hf"),
    "tf_model.h5": (b"xx", "a model of another framework", "transformers"),
}


@pytest.mark.parametrize("name", OTHER_FILES)
def test_files_of_another_kind_are_named(tmp_path: Path, name: str) -> None:
    content, kind, advice = OTHER_FILES[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=re.escape(f"{name} is {kind}, not a model")) as caught:
        resolve_model(str(tmp_path / name))
    assert advice in caught.value.advice


def test_a_pointer_given_as_a_model_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n")
    with pytest.raises(InputError, match="pointer of Git LFS"):
        resolve_model(str(tmp_path / "model.bin"))


def test_a_folder_without_a_model_says_where_models_are(tmp_path: Path) -> None:
    (tmp_path / "checkpoint-20").mkdir()
    (tmp_path / "checkpoint-20" / "config.json").write_text("{}")
    with pytest.raises(UsageError, match=r"holds no config\.json") as caught:
        resolve_model(str(tmp_path))
    assert "checkpoint-20" in caught.value.advice


def test_a_name_of_the_catalog_wins_over_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "meditron-7b"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    assert isinstance(resolve_model("meditron-7b"), HubCheckpoint)
    assert isinstance(resolve_model("./meditron-7b"), LocalCheckpoint)


@given(
    st.text(max_size=40) | st.text(max_size=30).map("hf:".__add__) | st.text(max_size=30).map("gguf:".__add__)
)
@example("~nobody-of-that-name")
def test_any_text_gives_a_source_with_a_safe_name_or_a_usage_error(text: str) -> None:
    try:
        name = resolve_model(text).name
    except UsageError:
        return
    assert name
    assert not set(name) & set('/\\:*?"<>| \0\n')


def test_parts_of_a_split_gguf() -> None:
    assert gguf_parts("a.gguf") == ("a.gguf",)
    assert gguf_parts("d/a-00001-of-00003.gguf") == tuple(f"d/a-0000{i}-of-00003.gguf" for i in (1, 2, 3))
