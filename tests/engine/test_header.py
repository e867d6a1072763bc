from __future__ import annotations

import contextlib
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medbench_local.engine.base import EngineOptions
from medbench_local.engine.header import read_header
from medbench_local.engine.memory import gigabytes, memory_available, memory_needed
from medbench_local.engine.threads import default_threads
from medbench_local.errors import InputError


def test_the_shape(models: Path) -> None:
    header = read_header(models / "f16.gguf")
    assert (header.architecture, header.layers, header.heads) == ("llama", 2, 4)
    assert (header.width, header.hidden, header.vocabulary) == (256, 512, 512)
    assert header.kv_width == 2 * 2 * (64 + 64)


@pytest.mark.parametrize("mode", ["exact", "fast"])
def test_the_cache_is_what_llama_cpp_allocates(models: Path, mode: str) -> None:
    import re

    from medbench_local.engine.bindings import LOG
    from medbench_local.engine.llama import FIRST_CONTEXT, LlamaEngine

    options = EngineOptions(mode=mode, n_ctx=FIRST_CONTEXT, threads=1)  # type: ignore[arg-type]
    estimate = memory_needed(models / "f16.gguf", options)
    with LlamaEngine(models / "f16.gguf", options):
        said = " ".join(LOG.lines())
    (cache,) = re.findall(r"KV buffer size = +([\d.]+) MiB", said)
    (compute,) = re.findall(r"compute buffer size = +([\d.]+) MiB", said)
    assert estimate.cache == float(cache) * 2**20
    assert float(compute) * 2**20 <= estimate.compute
    assert gigabytes(estimate.total) in str(estimate)


def test_what_this_machine_has() -> None:
    assert memory_available() > 2**20
    assert default_threads() >= 1


def test_missing_and_foreign_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_header(tmp_path / "absent.gguf")
    with pytest.raises(InputError, match="cannot be read"):
        read_header(tmp_path)
    for data in (b"", b"GG", b"PK\3\4 no model", b"GGUF", b"GGUF" + bytes(20)):
        (tmp_path / "bad.gguf").write_bytes(data)
        with pytest.raises(InputError, match=r"bad\.gguf"):
            read_header(tmp_path / "bad.gguf")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 0.999))
def test_a_file_cut_short_is_refused(models: Path, tmp_path: Path, share: float) -> None:
    data = (models / "q4_k_m.gguf").read_bytes()
    (tmp_path / "cut.gguf").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(InputError):
        read_header(tmp_path / "cut.gguf")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(4, 12000), value=st.binary(min_size=1, max_size=8))
def test_a_damaged_header_raises_nothing_else(models: Path, tmp_path: Path, place: int, value: bytes) -> None:
    data = bytearray((models / "q4_k_m.gguf").read_bytes())
    data[place : place + len(value)] = value
    (tmp_path / "damaged.gguf").write_bytes(data)
    with contextlib.suppress(InputError):
        read_header(tmp_path / "damaged.gguf")


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
        read_header(tmp_path / "hostile.gguf")


def test_sizes_equal_the_gguf_package(models: Path) -> None:
    import gguf

    for name in ("f16.gguf", "q4_k_m.gguf"):
        tensors = gguf.GGUFReader(models / name).tensors
        assert read_header(models / name).weights == sum(int(tensor.n_bytes) for tensor in tensors)


def test_a_part_of_a_split_model_that_is_missing(tmp_path: Path) -> None:
    import gguf

    path = tmp_path / "big-00001-of-00002.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_uint16("split.count", 2)
    writer.add_block_count(1)
    writer.add_embedding_length(256)
    writer.add_head_count(2)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(InputError, match=r"00002-of-00002.*is missing"):
        read_header(path)
    (tmp_path / "big-00002-of-00002.gguf").write_bytes(bytes(1000))
    assert read_header(path).weights == 1000
