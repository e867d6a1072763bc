"""GGUF headers: against llama.cpp's own reading, and damaged ones."""

from __future__ import annotations

import os
import struct
import time
from pathlib import Path

import gguf
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medbench_local.acquire.conversion.convert import convert_checkpoint
from medbench_local.errors import InputError
from medbench_local.files.gguf_file import GgufFile, read_gguf_file, stored_bytes
from medbench_local.files.gguf_header import read_gguf_header, token_text
from tests.acquire.checkpoints import config, edit_json, write_checkpoint


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("header")
    folder = write_checkpoint(root / "model", config(num_key_value_heads=2, max_position_embeddings=1234))
    edit_json(folder / "tokenizer_config.json", chat_template="{{ messages }}")
    convert_checkpoint(folder, root / "model.gguf")
    return root / "model.gguf"


def test_says_what_the_model_is(model: Path) -> None:
    header = read_gguf_header(model)
    assert (header.architecture, header.file_type) == ("llama", "f16")
    assert (header.context, header.vocabulary, header.chat_template) == (1234, 400, "{{ messages }}")
    assert header.metadata["tokenizer.ggml.model"] == "llama"
    assert header.lists["tokenizer.ggml.tokens"].length == 400
    assert header.size == model.stat().st_size
    assert 16 < header.bits_per_weight < 16.2
    assert header.warnings == ()


def test_tensors_lie_where_the_library_finds_them(model: Path) -> None:
    reader = gguf.GGUFReader(model)
    header = read_gguf_header(model)
    assert header.parameters == sum(int(tensor.n_elements) for tensor in reader.tensors)
    for ours, theirs in zip(header.tensors, reader.tensors, strict=True):
        assert (ours.name, ours.offset, ours.nbytes) == (theirs.name, theirs.data_offset, theirs.n_bytes)
        assert ours.shape == tuple(theirs.shape)


def test_the_text_of_special_tokens_is_what_the_library_reads(model: Path) -> None:
    header = read_gguf_header(model)
    tokens = gguf.GGUFReader(model).fields["tokenizer.ggml.tokens"]
    for name in ("bos", "eos"):
        number = header.metadata[f"tokenizer.ggml.{name}_token_id"]
        assert token_text(header, name) == tokens.contents(number) != ""
    assert token_text(header, "eot") == ""


def test_a_file_that_shrank_since_is_noticed_when_a_token_is_read(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(model.read_bytes())
    header = read_gguf_header(path)
    path.write_bytes(model.read_bytes()[:300])
    with pytest.raises(InputError, match="beyond the end"):
        token_text(header, "eos")


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Every file that is read from now on."""
    found: list[Path] = []

    def counted(path: Path) -> GgufFile:
        found.append(path)
        return read_gguf_file(path)

    monkeypatch.setattr("medbench_local.files.gguf_header.read_gguf_file", counted)
    return found


def age(path: Path, seconds: float = 60) -> None:
    at = time.time() - seconds
    os.utime(path, (at, at))


def test_a_header_is_read_once(model: Path, tmp_path: Path, reads: list[Path]) -> None:
    path = write(tmp_path / "a.gguf")
    age(path)
    assert read_gguf_header(path) is read_gguf_header(path)
    assert reads == [path]
    write(path, pre=False)
    age(path, 50)
    assert read_gguf_header(path).warnings
    assert reads == [path] * 2


def test_a_header_that_may_still_change_unnoticed_is_read_again(tmp_path: Path, reads: list[Path]) -> None:
    path = write(tmp_path / "a.gguf")
    read_gguf_header(path)
    read_gguf_header(path)
    assert reads == [path] * 2


def test_a_part_that_changes_is_noticed(tmp_path: Path, reads: list[Path]) -> None:
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "llama", split_max_tensors=1)
    for i in range(2):
        writer.add_tensor(f"blk.{i}.attn_q.weight", np.ones((4, 32), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    first, second = (tmp_path / f"m-0000{number}-of-00002.gguf" for number in (1, 2))
    age(first)
    age(second)
    read_gguf_header(first)
    read_gguf_header(first)
    assert reads == [first, second]
    second.unlink()
    with pytest.raises(InputError, match="is missing"):
        read_gguf_header(first)


@pytest.mark.parametrize(("kind", "nbytes"), [("f32", 4096), ("bf16", 2048), ("q8_0", 1088), ("q4_k", 576)])
def test_stored_bytes(kind: str, nbytes: int) -> None:
    assert stored_bytes((256, 4), kind) == nbytes


def write(path: Path, *, pre: bool = True, file_type: int = 1, quantised: bool = False) -> Path:
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_file_type(file_type)
    writer.add_tokenizer_model("gpt2")
    if pre:
        writer.add_tokenizer_pre("llama-bpe")
    if quantised:
        data = gguf.quants.quantize(np.ones((4, 64), np.float32), gguf.GGMLQuantizationType.Q8_0)
        writer.add_tensor("output.weight", data, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    else:
        writer.add_tensor("output.weight", np.ones((4, 64), np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_a_missing_pre_tokenizer_is_warned_of(tmp_path: Path) -> None:
    assert read_gguf_header(write(tmp_path / "a.gguf")).warnings == ()
    (warning,) = read_gguf_header(write(tmp_path / "b.gguf", pre=False)).warnings
    assert "tokenizer.ggml.pre" in warning


def test_a_file_that_calls_itself_lossless_is_not_believed(tmp_path: Path) -> None:
    assert read_gguf_header(write(tmp_path / "a.gguf")).file_type == "f16"
    assert read_gguf_header(write(tmp_path / "b.gguf", quantised=True)).file_type == "q8_0"
    assert read_gguf_header(write(tmp_path / "c.gguf", file_type=15, quantised=True)).file_type == "q4_k_m"
    assert read_gguf_header(write(tmp_path / "d.gguf", file_type=999)).file_type == "f16"


def test_split_models_are_read_whole(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "llama", split_max_tensors=1)
    for i in range(3):
        writer.add_tensor(f"blk.{i}.attn_q.weight", np.ones((4, 32), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    header = read_gguf_header(tmp_path / "m-00001-of-00003.gguf")
    assert (len(header.tensors), header.parameters) == (3, 384)
    with pytest.raises(InputError, match="parts"):
        read_gguf_header(tmp_path / "m-00002-of-00003.gguf")
    (tmp_path / "m-00003-of-00003.gguf").unlink()
    with pytest.raises(InputError, match=r"00003-of-00003.*missing"):
        read_gguf_header(tmp_path / "m-00001-of-00003.gguf")


def test_a_whole_model_with_the_name_of_a_part_is_refused(model: Path, tmp_path: Path) -> None:
    for name in ("m-00001-of-00002.gguf", "m-00002-of-00002.gguf"):
        (tmp_path / name).write_bytes(model.read_bytes())
    with pytest.raises(InputError, match="one of 2 parts") as refused:
        read_gguf_header(tmp_path / "m-00001-of-00002.gguf")
    assert "name it m.gguf" in str(refused.value.advice)
    alone = tmp_path / "m-00001-of-00001.gguf"
    alone.write_bytes(model.read_bytes())
    assert read_gguf_header(alone).tensors


def test_truncation_is_noticed_wherever_it_is(model: Path, tmp_path: Path) -> None:
    whole = model.read_bytes()
    bad = tmp_path / "bad.gguf"
    for size in [0, 3, 10, 23, 24, 40, 200, 5000, len(whole) // 2, len(whole) - 32]:
        bad.write_bytes(whole[:size])
        with pytest.raises(InputError):
            read_gguf_header(bad)
    for no_file in (tmp_path / "absent.gguf", tmp_path, Path()):
        with pytest.raises(InputError, match="cannot be read"):
            read_gguf_header(no_file)


def _head(tensors: int = 0, keys: int = 0, version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, tensors, keys)


def _text(text: bytes) -> bytes:
    return struct.pack("<Q", len(text)) + text


ARCHITECTURE = _text(b"general.architecture") + struct.pack("<I", 8) + _text(b"llama")


def _tensor(name: bytes, shape: tuple[int, ...], kind: int, offset: int) -> bytes:
    return _text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


HOSTILE = {
    "other magic": (b"GGML" + bytes(40), "not a model in GGUF"),
    "version": (_head(version=9) + bytes(40), "version 9"),
    "big endian": (b"GGUF" + struct.pack(">I", 3) + bytes(40), "big-endian"),
    "countless keys": (_head(keys=1 << 60) + bytes(40), "implausible"),
    "countless tensors": (_head(tensors=1 << 60) + bytes(40), "implausible"),
    "endless text": (_head(keys=1) + struct.pack("<Q", 1 << 63) + bytes(40), "implausible"),
    "text beyond": (_head(keys=1) + struct.pack("<Q", 100) + bytes(40), "beyond the end"),
    "no UTF-8": (_head(keys=1) + _text(b"\xff\xff") + bytes(40), "UTF-8"),
    "key twice": (_head(keys=2) + ARCHITECTURE * 2, "given twice"),
    "unknown type": (_head(keys=1) + _text(b"k") + struct.pack("<I", 77) + bytes(40), "unknown type 77"),
    "list of lists": (
        _head(keys=1) + _text(b"k") + struct.pack("<IIQ", 9, 9, 1) + bytes(40),
        "unknown type 9",
    ),
    "endless list": (_head(keys=1) + _text(b"k") + struct.pack("<IIQ", 9, 4, 1 << 23) + bytes(40), "beyond"),
    "no architecture": (_head() + bytes(40), "general.architecture"),
    "tensor type": (_head(1, 1) + ARCHITECTURE + _tensor(b"t", (32,), 99, 0) + bytes(200), "unknown type 99"),
    "tensor rows": (_head(1, 1) + ARCHITECTURE + _tensor(b"t", (31,), 8, 0) + bytes(200), "cannot store"),
    "dimensions": (_head(1, 1) + ARCHITECTURE + _tensor(b"t", (1,) * 5, 0, 0) + bytes(200), "5 dimensions"),
    "tensor beyond": (
        _head(1, 1) + ARCHITECTURE + _tensor(b"t", (32,), 0, 64) + bytes(100),
        "beyond the end",
    ),
    "tensor far beyond": (
        _head(1, 1) + ARCHITECTURE + _tensor(b"t", (32,), 0, 1 << 61) + bytes(100),
        "beyond",
    ),
    "huge tensor": (_head(1, 1) + ARCHITECTURE + _tensor(b"t", (1 << 40,) * 4, 0, 0) + bytes(100), "beyond"),
    "tensor twice": (_head(2, 1) + ARCHITECTURE + _tensor(b"t", (8,), 0, 0) * 2 + bytes(100), "same name"),
    "alignment": (
        _head(0, 2) + ARCHITECTURE + _text(b"general.alignment") + struct.pack("<II", 4, 0) + bytes(40),
        "alignment",
    ),
}


@pytest.mark.parametrize(("data", "says"), HOSTILE.values(), ids=HOSTILE)
def test_refuses_damaged_headers(tmp_path: Path, data: bytes, says: str) -> None:
    (tmp_path / "bad.gguf").write_bytes(data)
    with pytest.raises(InputError, match=says) as caught:
        read_gguf_header(tmp_path / "bad.gguf")
    assert "\n" not in str(caught.value)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 599), st.integers(0, 255)), min_size=1, max_size=4))
def test_mutated_headers_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "mutated.gguf"
    data = bytearray(write(path).read_bytes())
    for at, value in changes:
        data[at % len(data)] = value
    path.write_bytes(data)
    try:
        header = read_gguf_header(path)
    except InputError:
        return
    assert all(t.offset + t.nbytes <= len(data) for t in header.tensors)
