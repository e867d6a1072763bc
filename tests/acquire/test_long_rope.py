"""Long rope: llama.cpp changes the frequencies of all prompts with the size of its cache; what is scored is below."""

from __future__ import annotations

import numpy as np

from medbench_local.acquire.conversion.convert import convert_checkpoint
from medbench_local.engine.base import ROWS, EngineOptions, Pack, ScoreRequest
from medbench_local.engine.llama import LlamaEngine
from medbench_local.files.gguf_header import read_gguf_header
from tests.acquire.conftest import Checkpoints

ORIGINAL = 512


def test_the_cache_of_the_longest_prompt_is_within_the_original_context(checkpoints: Checkpoints) -> None:
    path = checkpoints.converted("phi3 long", "f32")
    context = read_gguf_header(path).context
    assert context == ORIGINAL - ROWS
    tokens = tuple(int(i) for i in np.random.default_rng(0).integers(3, 399, context))
    short, long = (ScoreRequest(tokens[:n], ((5,), (9,))) for n in (100, context))
    found = []
    # as a comparison opens it: cells for the longest prompt and its options
    with LlamaEngine(path, EngineOptions(n_ctx=context + ROWS, threads=1)) as engine:
        for request in (short, long, short):
            found.append(engine.score(Pack((), (request,)))[0].logprobs)
    assert found[0] == found[2]
    # nor does it get more where more is asked for
    with LlamaEngine(path, EngineOptions(n_ctx=ORIGINAL + 256, threads=1)) as engine:
        (asked,) = engine.score(Pack((), (short,)))
    assert asked.logprobs == found[0]


def test_it_is_said(checkpoints: Checkpoints) -> None:
    folder = checkpoints.folder("phi3 long")
    (said,) = convert_checkpoint(folder, folder.parent / "long.gguf").warnings
    assert f"more than {ORIGINAL} tokens" in said
    assert f"up to {ORIGINAL - ROWS} tokens" in said
