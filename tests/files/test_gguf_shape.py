"""Shapes of models from their headers: damaged ones, and what the gguf package reads."""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medbench_local.errors import InputError
from medbench_local.files.gguf_header import read_gguf_header
from medbench_local.files.gguf_shape import ModelShape, model_shape


def shape(path: Path) -> ModelShape:
    return model_shape(read_gguf_header(path))


def test_the_shape(models: Path) -> None:
    found = shape(models / "f16.gguf")
    assert (found.heads, found.width, found.hidden, found.vocabulary) == (4, 256, 512, 512)
    assert found.kv_width == 2 * 2 * (64 + 64)


def test_missing_and_foreign_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        shape(tmp_path / "absent.gguf")
    with pytest.raises(InputError, match="cannot be read"):
        shape(tmp_path)
    for data in (b"", b"GG", b"PK\3\4 no model", b"GGUF", b"GGUF" + bytes(20)):
        (tmp_path / "bad.gguf").write_bytes(data)
        with pytest.raises(InputError, match=r"bad\.gguf"):
            shape(tmp_path / "bad.gguf")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 0.999))
def test_a_file_cut_short_is_refused(models: Path, tmp_path: Path, share: float) -> None:
    data = (models / "q4_k_m.gguf").read_bytes()
    (tmp_path / "cut.gguf").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(InputError):
        shape(tmp_path / "cut.gguf")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(4, 12000), value=st.binary(min_size=1, max_size=8))
def test_a_damaged_header_raises_nothing_else(models: Path, tmp_path: Path, place: int, value: bytes) -> None:
    data = bytearray((models / "q4_k_m.gguf").read_bytes())
    data[place : place + len(value)] = value
    (tmp_path / "damaged.gguf").write_bytes(data)
    with contextlib.suppress(InputError):
        shape(tmp_path / "damaged.gguf")


def _patched(data: bytes, after: bytes, skip: int, form: str, value: int) -> bytes:
    changed = bytearray(data)
    struct.pack_into(form, changed, data.index(after) + len(after) + skip, value)
    return bytes(changed)


@pytest.mark.parametrize(
    ("after", "skip", "form", "value"),
    [
        (b"GGUF", 0, "<I", 1),
        (b"GGUF", 4, "<Q", 1 << 62),
        (b"GGUF", 12, "<Q", 1 << 62),
        (b"GGUF", 20, "<Q", 1 << 60),
        (b"tokenizer.ggml.tokens", 8, "<Q", 1 << 60),
        (b"tokenizer.ggml.scores", 8, "<Q", 1 << 60),
        (b"tokenizer.ggml.scores", 4, "<I", 9),
        (b"llama.block_count", 4, "<I", 0),
        (b"blk.0.attn_q.weight", 0, "<I", 1 << 30),
        (b"blk.0.attn_q.weight", 4, "<Q", 1 << 62),
        (b"blk.0.attn_q.weight", 20, "<I", 99),
        (b"blk.0.attn_q.weight", 24, "<Q", 1 << 62),
    ],
)
def test_no_length_is_believed(
    models: Path, tmp_path: Path, after: bytes, skip: int, form: str, value: int
) -> None:
    data = (models / "q4_k_m.gguf").read_bytes()
    (tmp_path / "hostile.gguf").write_bytes(_patched(data, after, skip, form, value))
    with pytest.raises(InputError, match=r"hostile\.gguf, (byte|key|tensor) "):
        shape(tmp_path / "hostile.gguf")


def test_sizes_equal_the_gguf_package(models: Path) -> None:
    import gguf

    for name in ("f16.gguf", "q4_k_m.gguf"):
        tensors = gguf.GGUFReader(models / name).tensors
        assert shape(models / name).weights == sum(int(tensor.n_bytes) for tensor in tensors)


def test_a_part_of_a_split_model_that_is_missing(tmp_path: Path) -> None:
    import gguf
    import numpy as np

    first, second = (tmp_path / f"big-0000{number}-of-00002.gguf" for number in (1, 2))
    writer = gguf.GGUFWriter(tmp_path / "big.gguf", "llama", split_max_tensors=1)
    writer.add_block_count(1)
    writer.add_embedding_length(256)
    writer.add_head_count(2)
    for i, rows in enumerate((3, 5)):
        writer.add_tensor(f"blk.{i}.attn_q.weight", np.ones((rows, 32), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert shape(first).weights == 4 * 32 * (3 + 5)
    whole = second.read_bytes()
    second.write_bytes(bytes(len(whole)))
    with pytest.raises(InputError, match=r"00002-of-00002.*not a model in GGUF"):
        shape(first)
    second.unlink()
    with pytest.raises(InputError, match=r"00002-of-00002.*is missing"):
        shape(first)


def test_weights_there_must_be(tmp_path: Path) -> None:
    import gguf

    writer = gguf.GGUFWriter(tmp_path / "empty.gguf", "llama")
    writer.add_block_count(1)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    with pytest.raises(InputError, match=r"empty\.gguf: holds no tensors"):
        shape(tmp_path / "empty.gguf")


def test_a_number_for_each_layer(models: Path, tmp_path: Path) -> None:
    """Layers with heads of their own, as in the header of such models."""
    import gguf
    import numpy as np

    writer = gguf.GGUFWriter(tmp_path / "layers.gguf", "llama")
    writer.add_block_count(3)
    writer.add_embedding_length(64)
    writer.add_head_count([4, 4, 8])
    writer.add_head_count_kv([1, 0, 2])
    writer.add_feed_forward_length([10, 30, 20])
    writer.add_key_length(16)
    writer.add_value_length(8)
    writer.add_tensor("token_embd.weight", np.ones((5, 64), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    found = shape(tmp_path / "layers.gguf")
    assert (found.heads, found.hidden, found.kv_width) == (8, 30, (1 + 0 + 2) * (16 + 8))
