"""Log-probabilities and greedy texts against transformers in float32, on a real trained checkpoint."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medbench_local.engine.base import EngineOptions, GenerateRequest, Pack, ScoreRequest, Tokens
from medbench_local.engine.llama import LlamaEngine
from medbench_local.engine.packs import MOST_SHARED, common_prefix, shared_beginning
from medbench_local.scoring.continuations import continued_after
from medbench_local.scoring.rules.constrained import letter_request, letter_tokens
from medbench_local.scoring.rules.label import label_requests
from tests.scoring.tokenizing import tokenizer

TOLERANCE = 3e-4
NOISE = 0.15  # of F16 caches and flash attention on this model: 0.073 was seen


@pytest.fixture(scope="module")
def engine(stories: Path) -> Iterator[LlamaEngine]:
    with LlamaEngine(stories, EngineOptions(n_ctx=768, threads=1)) as engine:
        yield engine


@pytest.fixture(scope="module")
def reference(shared_data: Path) -> Iterator[Any]:
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # many small steps: threads would only wait for each other
    folder = shared_data / "weights" / "stories260K"
    yield transformers.LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def requests(engine: LlamaEngine, shared_data: Path) -> list[ScoreRequest]:
    """Real questions with a shared instruction, by letters and by the options' texts, apart or with a shared start."""
    path = shared_data / "mmlu" / "hf_form" / "test" / "medical_genetics_test.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if len(row["question"]) < 200][:6]
    found = []
    for row in rows:
        choices = [row[f"choice{i}"] for i in range(4)]
        prompt = f"Answer the following question.\n\nQuestion: {row['question']}\nAnswer:"
        (tokens,) = engine.tokenize([prompt], special=False)
        found.append(letter_request(tokens, letter_tokens(engine, 4)))
        found += label_requests(tokenizer(engine), [(prompt,)], [[f" {choice}" for choice in choices]])
        texts = engine.tokenize([f"{prompt} one of the {choice}" for choice in choices], special=False)
        found.append(continued_after(tokens, texts))
    return found


def _logprobs(reference: Any, context: Tokens, continuation: Tokens) -> float:
    import torch

    tokens = torch.tensor([context + continuation])
    with torch.no_grad():
        rows = reference(tokens).logits[0].double().log_softmax(-1)
    return sum(float(rows[len(context) - 1 + i, token]) for i, token in enumerate(continuation))


def test_scores_equal_transformers(engine: LlamaEngine, reference: Any, requests: list[ScoreRequest]) -> None:
    prefix = common_prefix([request.context for request in requests])
    assert len(prefix) > 10
    assert any(len(tokens) > 5 for request in requests for tokens in request.continuations)
    assert sum(shared_beginning(request.continuations) > 2 for request in requests) == 6
    found = engine.score(Pack(prefix, tuple(requests)))
    for request, scores in zip(requests, found, strict=True):
        expected = [_logprobs(reference, request.context, tokens) for tokens in request.continuations]
        assert np.allclose(scores.logprobs, expected, rtol=0, atol=TOLERANCE)
        assert scores.mass == pytest.approx(np.exp(expected).sum(), rel=1e-3)


def test_very_long_and_many_continuations(engine: LlamaEngine, reference: Any) -> None:
    generator = np.random.default_rng(0)
    draw = [tuple(int(t) for t in generator.integers(3, 500, n)) for n in (20, 150, 60, 90, 1, 2)]
    request = ScoreRequest((1, *draw[0]), (draw[1], draw[2], draw[3], draw[4], *[draw[5]] * 70))
    (scores,) = engine.score(Pack((), (request,)))
    for index in (0, 1, 2, 3, 4, 73):
        expected = _logprobs(reference, request.context, request.continuations[index])
        assert scores.logprobs[index] == pytest.approx(expected, abs=2e-3)  # sums near -1000


@pytest.mark.parametrize(("shared", "options"), [(3, 4), (30, 80), (100, 3)])
def test_a_shared_beginning_is_scored_with_every_continuation(
    engine: LlamaEngine, reference: Any, shared: int, options: int
) -> None:
    generator = np.random.default_rng(1)
    draw = [tuple(int(t) for t in generator.integers(3, 500, n)) for n in (20, shared, 40, *[1] * options)]
    context, common = (1, *draw[0]), draw[1]
    tails = [(*draw[2], 9), *draw[4:]]
    request = ScoreRequest(context, tuple(common + tail for tail in tails))
    (scores,) = engine.score(Pack((), (request,)))
    for index in (0, 1, options - 1):
        expected = _logprobs(reference, context, request.continuations[index])
        assert scores.logprobs[index] == pytest.approx(expected, abs=2e-3)
    # What follows the shared tokens has the very bits it has behind a prompt that ends with them, unless there are
    # too many of them to be decoded once.
    (beginning,) = engine.score(Pack((), (ScoreRequest(context, (common,)),)))
    (following,) = engine.score(Pack((), (ScoreRequest(context + common, tuple(tails)),)))
    whole = [beginning.logprobs[0] + tail for tail in following.logprobs]
    assert scores.logprobs == pytest.approx(whole, abs=1e-11 if shared <= MOST_SHARED else 1e-4)


def test_fast_mode_agrees_within_its_noise(
    engine: LlamaEngine, stories: Path, requests: list[ScoreRequest]
) -> None:
    pack = Pack(common_prefix([request.context for request in requests]), tuple(requests))
    expected = engine.score(pack)
    for parallel in (1, 3, 16):
        options = EngineOptions(mode="fast", n_ctx=2048, threads=1, parallel=parallel)
        with LlamaEngine(stories, options) as fast:
            found = fast.score(pack)
        for one, other in zip(found, expected, strict=True):
            assert np.allclose(one.logprobs, other.logprobs, rtol=0, atol=NOISE)


def test_greedy_texts_equal_transformers(engine: LlamaEngine, reference: Any) -> None:
    import torch

    starts = ["Once upon a time", "Lily and Tom", "The dog was", "One day, a big bear", "Sara had a"]
    contexts = engine.tokenize(starts, special=False)
    requests = tuple(GenerateRequest(context, (), 24) for context in contexts)
    for context, text in zip(contexts, engine.generate(Pack((), requests)), strict=True):
        whole = reference.generate(
            torch.tensor([context]), max_new_tokens=24, do_sample=False, pad_token_id=0
        )[0].tolist()
        pieces = b"".join(engine._model.piece(token) for token in whole[len(context) :])
        assert text == pieces.decode("utf-8")
