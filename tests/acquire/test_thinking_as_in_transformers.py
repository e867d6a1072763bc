"""What is thought by the converted file of many architectures, token for token against transformers in float32."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from medbench_local.acquire.conversion.convert import convert_checkpoint
from medbench_local.engine.base import EngineOptions, Pack, ThinkRequest, Tokens, Trace
from medbench_local.engine.llama import LlamaEngine
from medbench_local.engine.packs import common_prefix
from tests.acquire.conversion import checkpoints_of
from tests.engine.tiny import write_stories

NAMES = ("qwen2", "qwen3", "gemma3", "olmo2", "phi3")
WRITTEN = 48
SURE = 1e-4
"""Gap of transformers' own two best logits below which either token is right."""


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _prompts() -> list[Tokens]:
    draw = np.random.default_rng(0)
    shared = draw.integers(3, 399, 40)
    return [(1, *map(int, (*shared, *draw.integers(3, 399, size)))) for size in (5, 30)]


def _quiet(number: int, written: int, trace: Trace | None) -> None:
    """Hears nothing."""


def _differs(found: Tokens, expected: list[int], gaps: list[float]) -> int | None:
    """Where the tokens differ for the first time without transformers being undecided; None if nowhere.

    Behind a token of which it is undecided, both write about another text.
    """
    for place, (one, other, gap) in enumerate(zip(found, expected, gaps, strict=True)):
        if one != other:
            return None if gap < SURE else place
    return None


def test_texts_that_differ_are_told() -> None:
    assert _differs((1, 2, 3), [1, 2, 3], [1.0, 1.0, 1.0]) is None
    assert _differs((1, 9, 3), [1, 2, 3], [1.0, 1.0, 1.0]) == 1
    assert _differs((1, 9, 7), [1, 2, 3], [1.0, 1e-5, 1.0]) is None


@pytest.mark.parametrize("name", NAMES)
def test_every_token_is_the_one_of_transformers(tmp_path: Path, name: str) -> None:
    made = replace(checkpoints_of.made()[name], prepare=_less_of_the_same)
    folder = checkpoints_of.write(tmp_path / name, made)
    path = tmp_path / f"{name}.gguf"
    convert_checkpoint(folder, path, file_type="f32")
    traces = _compared(folder, made.config["architectures"][0], path, _prompts())
    assert max(len(set(trace.tokens)) for trace in traces) > 10, "no mere loop"


def _less_of_the_same(model: Any) -> None:
    """Random models with one matrix for tokens in and out mostly write the token that they read."""
    if model.config.tie_word_embeddings:
        model.get_input_embeddings().weight.data *= 0.05


def test_a_trained_llama_tells_the_story_of_transformers(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "weights" / "stories260K"
    path = write_stories(folder, tmp_path / "stories.gguf")
    with LlamaEngine(path, EngineOptions(threads=1)) as engine:
        prompts = engine.tokenize(["Once upon a time", "Lily went to the park with"], special=False)
    _compared(folder, "LlamaForCausalLM", path, prompts)


def _compared(folder: Path, kind: str, path: Path, prompts: list[Tokens]) -> list[Trace]:
    """What the file's model thinks, which is what the checkpoint's writes in transformers."""
    network = (
        getattr(transformers, kind)
        .from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
        .eval()
    )
    expected, gaps = [], []
    for prompt in prompts:
        out = network.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones((1, len(prompt)), dtype=torch.long),
            do_sample=False,
            max_new_tokens=WRITTEN,
            eos_token_id=2,
            pad_token_id=0,
            output_logits=True,
            return_dict_in_generate=True,
        )
        expected.append(out.sequences[0, len(prompt) :].tolist())
        best = [logits[0].float().topk(2).values for logits in out.logits]
        gaps.append([float(two[0] - two[1]) for two in best])
    requests = tuple(ThinkRequest(prompt, (), WRITTEN) for prompt in prompts)
    with LlamaEngine(path, EngineOptions(n_ctx=256, threads=1)) as engine:
        traces = engine.think(Pack(common_prefix(prompts), requests), _quiet)
    for trace, right, sure in zip(traces, expected, gaps, strict=True):
        assert len(right) >= 40
        tokens = (*trace.tokens, 2) if trace.end == "ended" else trace.tokens
        length = min(len(tokens), len(right))
        place = _differs(tokens[:length], right[:length], sure[:length])
        assert place is None, f"token {place}: {tokens[place]} and {right[place]}, {sure[place]} apart"
        assert len(tokens) == len(right) or min(sure) < SURE
    with LlamaEngine(path, EngineOptions(n_ctx=1024, threads=1)) as engine:
        alone = [engine.think(Pack((), (request,)), _quiet)[0] for request in reversed(requests)]
    assert alone[::-1] == traces
    return traces
