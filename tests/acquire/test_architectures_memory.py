"""The memory a converted model is said to need, against what llama.cpp takes: heads and experts of any size."""

from __future__ import annotations

import re

import pytest

from medbench_local.engine.base import EngineOptions
from medbench_local.engine.bindings import LOG
from medbench_local.engine.llama import FIRST_CONTEXT, LlamaEngine
from medbench_local.engine.memory import PROCESS, memory_needed
from medbench_local.files.gguf_header import read_gguf_header
from tests.acquire.conftest import Checkpoints


@pytest.mark.parametrize("name", ["qwen3", "phi3", "mixtral", "qwen2moe", "qwen3moe"])
@pytest.mark.parametrize("mode", ["exact", "reproducible"])
def test_memory(checkpoints: Checkpoints, name: str, mode: str) -> None:
    path = checkpoints.converted(name)
    options = EngineOptions(mode=mode, n_ctx=FIRST_CONTEXT, threads=1)  # type: ignore[arg-type]
    estimate = memory_needed(path, options)
    with LlamaEngine(path, options):
        said = " ".join(LOG.lines())
    (cache,) = re.findall(r"KV buffer size = +([\d.]+) MiB", said)
    (compute,) = re.findall(r"compute buffer size = +([\d.]+) MiB", said)
    assert estimate.cache == float(cache) * 2**20
    found = float(compute) * 2**20
    assert found <= estimate.compute - PROCESS <= 3 * found


def test_a_token_asks_some_experts(checkpoints: Checkpoints) -> None:
    width, inner, layers = 256, 256, 2
    dense = read_gguf_header(checkpoints.converted("qwen3"))
    assert dense.asked == dense.parameters
    header = read_gguf_header(checkpoints.converted("qwen3moe"))
    assert header.parameters - header.asked == layers * 3 * (6 - 3) * width * inner
