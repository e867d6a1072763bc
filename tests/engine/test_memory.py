"""How much memory is needed, against what llama.cpp takes, and what this machine has."""

from __future__ import annotations

import os
import re
import shutil
import time
from pathlib import Path

import pytest

from medbench_local.engine.base import EngineOptions, GenerateRequest, Pack
from medbench_local.engine.memory import (
    gigabytes,
    memory_available,
    memory_needed,
    refuse_what_does_not_fit,
)
from medbench_local.engine.remote import start_engine
from medbench_local.engine.threads import default_threads
from medbench_local.errors import DoesNotFitError
from medbench_local.files import gguf_header
from medbench_local.files.gguf_file import GgufFile, read_gguf_file
from tests.engine.tiny import Shape, write_random


@pytest.fixture(scope="module")
def shapes(models: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("shapes")
    return {
        "llama": models / "f16.gguf",
        "windows": write_random(folder / "gemma2.gguf", Shape("gemma2", head=128, window=48)),
        "wide heads": write_random(
            folder / "gemma3.gguf", Shape("gemma3", head=256, heads=8, kv_heads=8, window=100)
        ),
    }


@pytest.mark.parametrize("mode", ["exact", "reproducible", "fast"])
@pytest.mark.parametrize("name", ["llama", "windows", "wide heads"])
def test_the_cache_is_what_llama_cpp_allocates(shapes: dict[str, Path], mode: str, name: str) -> None:
    from medbench_local.engine.bindings import LOG
    from medbench_local.engine.llama import FIRST_CONTEXT, LlamaEngine

    options = EngineOptions(mode=mode, n_ctx=FIRST_CONTEXT, threads=1)  # type: ignore[arg-type]
    estimate = memory_needed(shapes[name], options)
    with LlamaEngine(shapes[name], options):
        said = " ".join(LOG.lines())
    # one cache for layers that see everything, one for those with a window, which is as long
    caches = re.findall(r"KV buffer size = +([\d.]+) MiB", said)
    assert estimate.cache == sum(map(float, caches)) * 2**20
    # what is left beside the process, and little more
    allocated, process = _computing([said]), 150 * 2**20
    assert allocated <= estimate.compute - process <= 2.5 * allocated
    assert gigabytes(estimate.total) in str(estimate)


def test_generation_in_the_reproducible_mode_needs_what_the_exact_mode_needs(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from medbench_local.engine.bindings import LOG
    from medbench_local.engine.llama import FIRST_CONTEXT, LlamaEngine

    path, options = models / "f16.gguf", EngineOptions("reproducible", n_ctx=FIRST_CONTEXT, threads=1)
    said: list[str] = []
    monkeypatch.setattr(LOG, "_listener", said.append)
    with LlamaEngine(path, options) as engine:
        taken = [_computing(said)]
        engine.generate(Pack((), (GenerateRequest((1, 70), (), 1),)))
        taken.append(_computing(said))
    scoring, generating = (memory_needed(path, options, generates=generates) for generates in (False, True))
    assert 0 < taken[1] - taken[0] <= generating.compute - scoring.compute
    assert generating.cache == scoring.cache


def _computing(lines: list[str]) -> float:
    """Bytes of llama.cpp's buffer to compute in, as it said last."""
    return float(re.findall(r"compute buffer size = +([\d.]+) MiB", " ".join(lines))[-1]) * 2**20


def test_what_this_machine_has() -> None:
    assert memory_available() > 2**20
    assert default_threads() >= 1


def test_planning_and_loading_read_the_header_once(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.gguf"
    shutil.copy(models / "f16.gguf", path)
    os.utime(path, (time.time() - 60,) * 2)
    reads: list[Path] = []

    def counted(path: Path) -> GgufFile:
        reads.append(path)
        return read_gguf_file(path)

    monkeypatch.setattr(gguf_header, "read_gguf_file", counted)
    options = EngineOptions(n_ctx=gguf_header.read_gguf_header(path).context, threads=1)
    refuse_what_does_not_fit([("model", path)], options, force=False)
    for _ in range(2):
        with start_engine(path, options):
            pass
    assert reads == [path]


def test_what_does_not_fit_is_refused_by_name(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medbench_local.engine.memory.memory_available", lambda: 1000)
    with pytest.raises(DoesNotFitError, match="model needs about"):
        refuse_what_does_not_fit([("model", models / "f16.gguf")], EngineOptions(), force=False)
    refuse_what_does_not_fit([("model", models / "f16.gguf")], EngineOptions(), force=True)
