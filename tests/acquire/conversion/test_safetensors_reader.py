"""Safetensors headers: against the safetensors library, and hostile ones."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

from medbench_local.acquire.conversion.safetensors_reader import read_safetensors
from medbench_local.errors import InputError
from tests.acquire.checkpoints import config, numbers, tensors


def write(path: Path, header: Any, data: bytes = b"", *, length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    return path


def entry(begin: int, end: int, *, dtype: Any = "F32", shape: Any = None) -> dict[str, Any]:
    return {
        "dtype": dtype,
        "shape": [(end - begin) // 4] if shape is None else shape,
        "data_offsets": [begin, end],
    }


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_reads_what_the_library_wrote(tmp_path: Path, dtype: torch.dtype) -> None:
    state = tensors(config(), dtype)
    save_file(state, tmp_path / "model.safetensors")
    found = {tensor.name: tensor for tensor in read_safetensors(tmp_path / "model.safetensors")}
    with safe_open(tmp_path / "model.safetensors", "pt") as library:
        assert found.keys() == set(library.keys())
        for name, tensor in found.items():
            expected = library.get_tensor(name).contiguous()
            assert tensor.shape == tuple(expected.shape)
            assert numbers(tensor).tobytes() == expected.view(torch.uint8).numpy().tobytes()


HOSTILE: dict[str, tuple[Any, bytes, str]] = {
    "overlap": ({"a": entry(0, 8), "b": entry(4, 12)}, bytes(12), "overlaps"),
    "same place": ({"a": entry(0, 8), "b": entry(0, 8)}, bytes(8), "overlaps"),
    "gap": ({"a": entry(0, 4), "b": entry(8, 12)}, bytes(12), "gap"),
    "truncated": ({"a": entry(0, 8)}, bytes(7), "truncated"),
    "too long": ({"a": entry(0, 8)}, bytes(9), "belong to no tensor"),
    "wrong size": ({"a": entry(0, 8, shape=[3])}, bytes(8), "12 bytes"),
    "negative": ({"a": entry(-8, 0, shape=[2])}, bytes(8), "not two positions"),
    "backwards": ({"a": {"dtype": "F32", "shape": [0], "data_offsets": [8, 4]}}, bytes(8), "0 bytes"),
    "huge shape": ({"a": entry(0, 8, shape=[1 << 61, 1 << 61])}, bytes(8), "bytes"),
    "shape of floats": ({"a": entry(0, 8, shape=[2.0])}, bytes(8), "list of sizes"),
    "shape of truths": ({"a": entry(0, 4, shape=[True])}, bytes(4), "list of sizes"),
    "unknown type": ({"a": entry(0, 8, dtype="F33")}, bytes(8), "unknown type"),
    "type no text": ({"a": entry(0, 8, dtype=["F32"])}, bytes(8), "unknown type"),
    "no dictionary": ({"a": [1]}, b"", "expected dtype"),
    "a key missing": ({"a": {"dtype": "F32", "shape": []}}, b"", "expected dtype"),
    "a list": ([], b"", "JSON object"),
    "no JSON": (b"{", b"", "not valid JSON"),
    "not UTF-8": (b'{"\xff": 1}', b"", "not UTF-8"),
    "deep": (b"[" * 100_000, b"", "not valid JSON"),
    "name twice": (b'{"a": {}, "a": {}}', b"", "given twice"),
}


@pytest.mark.parametrize(("header", "data", "says"), HOSTILE.values(), ids=HOSTILE)
def test_refuses_hostile_headers(tmp_path: Path, header: Any, data: bytes, says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        read_safetensors(write(tmp_path / "model.safetensors", header, data))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("length", [3, 1 << 20, 1 << 40, (1 << 64) - 1])
def test_refuses_header_lengths_beyond_the_file(tmp_path: Path, length: int) -> None:
    with pytest.raises(InputError):
        read_safetensors(write(tmp_path / "model.safetensors", {"a": entry(0, 4)}, bytes(4), length=length))


@pytest.mark.parametrize("size", range(9))
def test_refuses_short_files(tmp_path: Path, size: int) -> None:
    (tmp_path / "short").write_bytes(bytes([255]) * size)
    with pytest.raises(InputError):
        read_safetensors(tmp_path / "short")


SIZES = st.one_of(st.integers(-3, 20), st.just(1 << 63), st.floats(), st.booleans(), st.none())
ENTRIES = st.one_of(
    st.fixed_dictionaries(
        {
            "dtype": st.sampled_from(["F32", "F16", "BF16", "I8", "X", None]),
            "shape": st.lists(SIZES, max_size=3),
            "data_offsets": st.lists(SIZES, max_size=3),
        }
    ),
    st.none(),
    st.lists(st.integers()),
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.text(max_size=4), ENTRIES, max_size=4), st.binary(max_size=40))
def test_any_header_is_read_within_the_file_or_refused(
    tmp_path_factory: pytest.TempPathFactory, header: dict[str, Any], data: bytes
) -> None:
    path = write(tmp_path_factory.getbasetemp() / "any.safetensors", header, data)
    try:
        found = read_safetensors(path)
    except InputError:
        return
    size = path.stat().st_size
    assert all(0 <= tensor.offset <= tensor.offset + tensor.nbytes <= size for tensor in found)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "bytes.safetensors"
    path.write_bytes(data)
    with pytest.raises(InputError):
        read_safetensors(path)
