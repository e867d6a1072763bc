from __future__ import annotations

import contextlib
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
    from medbench_local.engine.llama import LlamaEngine

    options = EngineOptions(mode=mode, n_ctx=2048, threads=1)  # type: ignore[arg-type]
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
