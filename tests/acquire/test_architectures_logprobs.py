"""Scores through the converted file of every architecture against transformers in float32, in every mode, quantised."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gguf
import numpy as np
import pytest
import torch
import transformers
from numpy.typing import NDArray

from medbench_local.acquire.quantise import quantise
from medbench_local.catalog.quantisation import load_quant
from medbench_local.engine.base import EngineOptions, Pack, ScoreRequest, Tokens
from medbench_local.engine.llama import LlamaEngine
from tests.acquire.conftest import Checkpoints
from tests.acquire.conversion import checkpoints_of

CONTEXT = 512
MADE = checkpoints_of.distinct()
PLAIN = [name for name, made in MADE.items() if not made.again]
"""One or two checkpoints of every architecture."""


def draw(seed: int, count: int) -> Tokens:
    return tuple(int(i) for i in np.random.default_rng(seed).integers(3, 399, count))


PREFIX = draw(0, 150)
"""Longer than any window of the models, and shared by most prompts."""

OPTIONS = (*((token,) for token in range(3, 399, 11)), draw(7, 2), draw(8, 5), draw(9, 8))
REQUESTS = [
    *(ScoreRequest(PREFIX + draw(n, n), OPTIONS) for n in (1, 20, 90)),
    ScoreRequest(PREFIX[:90] + draw(5, 33), OPTIONS),
    ScoreRequest(draw(6, 17), OPTIONS),
    ScoreRequest(PREFIX + draw(70, 70), OPTIONS),
]
PACKS = [Pack(PREFIX, tuple(REQUESTS[:3])), Pack((), tuple(REQUESTS[3:5])), Pack(PREFIX, tuple(REQUESTS[5:]))]
"""Prompts that share the prefix, then a part of it or nothing, then all of it again."""


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """The models are so small that threads would only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def expected(checkpoints: Checkpoints) -> Any:
    """The scores that transformers computes, by the name of the checkpoint; or those with llama.cpp's rounding."""
    found: dict[tuple[str, bool], list[NDArray[np.float64]]] = {}

    def of(name: str, *, emulated: bool = False) -> list[NDArray[np.float64]]:
        if (name, emulated) not in found:
            made = MADE[name]
            kind = getattr(transformers, made.config["architectures"][0])
            dtype = torch.float64 if made.precise else torch.float32
            model = kind.from_pretrained(checkpoints.folder(name), dtype=dtype, attn_implementation="eager")
            if emulated and made.emulate is not None:
                made.emulate(model)
            found[name, emulated] = [_scores(model.eval(), request) for request in REQUESTS]
        return found[name, emulated]

    return of


def _scores(model: Any, request: ScoreRequest) -> NDArray[np.float64]:
    """Every option behind the prompt, each a row of one batch; those of one token need no row of their own."""
    longest = max(map(len, request.continuations))
    long = [option for option in request.continuations if len(option) > 1]
    rows = [request.context + option + (0,) * (longest - len(option)) for option in long]
    with torch.no_grad():
        logits = model(torch.tensor(rows), use_cache=False).logits[:, len(request.context) - 1 :]
    logprobs = logits.double().log_softmax(-1).numpy()
    sums = []
    for option in request.continuations:
        row = logprobs[long.index(option) if len(option) > 1 else 0]
        sums.append(sum(float(row[i, token]) for i, token in enumerate(option)))
    return np.array(sums)


def _found(engine: LlamaEngine) -> list[NDArray[np.float64]]:
    return [np.array(score.logprobs) for pack in PACKS for score in engine.score(pack)]


@pytest.mark.parametrize("name", MADE)
def test_every_mode(checkpoints: Checkpoints, expected: Any, name: str) -> None:
    # F32 holds the same numbers; with BF16 weights llama.cpp rounds the activations to BF16 as well
    path = checkpoints.converted(name, "f32")
    for mode, tolerance in (
        ("exact", MADE[name].tolerance),
        ("reproducible", MADE[name].noise),
        ("fast", MADE[name].noise),
    ):
        if mode != "exact" and name not in PLAIN:
            continue
        options = EngineOptions(mode=mode, n_ctx=CONTEXT, threads=1)  # type: ignore[arg-type]
        with LlamaEngine(path, options) as engine:
            found = _found(engine)
            again = engine.score(PACKS[0])
        for one, other in zip(found, expected(name), strict=True):
            np.testing.assert_allclose(one, other, rtol=0, atol=tolerance, err_msg=mode)
        if mode == "exact" and MADE[name].emulate is not None:
            for one, other in zip(found, expected(name, emulated=True), strict=True):
                np.testing.assert_allclose(one, other, rtol=0, atol=MADE[name].emulated, err_msg="emulated")
        if mode != "fast":  # whatever was scored in between
            assert [score.logprobs for score in again] == [tuple(one) for one in found[: len(again)]]


@pytest.mark.parametrize("name", PLAIN)
def test_quantised(checkpoints: Checkpoints, name: str) -> None:
    source = checkpoints.converted(name)
    full = {tensor.name: tensor for tensor in gguf.GGUFReader(source).tensors}
    for quant in ("q8_0", "q4_k_m"):
        path = source.with_name(f"{source.stem}.{quant}.gguf")
        made = quantise(source, load_quant(quant), path)
        assert made.file_type == quant
        tensors = gguf.GGUFReader(path).tensors
        assert {tensor.name for tensor in tensors} == full.keys()
        for tensor in tensors:
            given = gguf.quants.dequantize(full[tensor.name].data, full[tensor.name].tensor_type)
            if tensor.tensor_type == gguf.GGMLQuantizationType.Q8_0:
                rule = gguf.quants.quantize(given, gguf.GGMLQuantizationType.Q8_0)
                assert np.array_equal(tensor.data, rule), tensor.name
            else:
                stored = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
                assert np.abs(stored - given).max() <= 0.2 * np.abs(given).max(), tensor.name
        with LlamaEngine(path, EngineOptions(n_ctx=CONTEXT, threads=1)) as engine:
            assert all(np.isfinite(one).all() for one in _found(engine))
