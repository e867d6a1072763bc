"""What stands in for a tokenizer counts no fewer tokens than real vocabularies have, in every format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medbench_local.catalog.model import models
from medbench_local.engine.base import EngineOptions, Pack
from medbench_local.engine.llama import LlamaEngine
from medbench_local.progress import Silent
from medbench_local.prompts.prompt_style import candidates, prompt_style_for
from medbench_local.prompts.rendering import render
from medbench_local.study.allowance import FEWEST_LETTERS, USUAL_LETTERS, Allowance
from medbench_local.tasks.load import locate_task

TASKS = ("medqa", "medqa-4", "medmcqa", "pubmedqa", "mmlu-anatomy", "mmlu-professional-medicine")


@pytest.mark.parametrize("vocabulary", ["spm", "bpe"])
def test_never_below_the_truth(shared_data: Path, vocabulary: str) -> None:
    path = shared_data / "weights" / f"ggml-vocab-llama-{vocabulary}.gguf"
    most = Allowance(letters=FEWEST_LETTERS, runs=False)
    usual = Allowance(letters=USUAL_LETTERS, runs=True)
    drawn = np.random.default_rng(0)
    with LlamaEngine(path, EngineOptions(vocabulary_only=True)) as engine:
        for name in TASKS:
            found = locate_task(
                name, data_dir=shared_data, offline=True, progress=Silent(), splits=("validation", "test")
            )
            task = found.read(Silent())
            questions = task.questions("test")
            for model in ("llama-2-7b", "meditron-7b", "llama-3-8b-instruct"):
                style = prompt_style_for(models()[model])
                for candidate in candidates(style, 0):
                    rows = drawn.choice(len(questions), 20, replace=False)
                    asked = [render(style, task.id, questions[row], (), candidate.format) for row in rows]
                    texts = [prompt.text for prompt in asked]
                    special = asked[0].special
                    true, bound, expected = (
                        sum(map(len, one.tokenize(texts, special=special))) for one in (engine, most, usual)
                    )
                    assert true <= bound, f"{name}, {model}, format {candidate.format}"
                    assert 0.75 * true < expected < bound


def test_signs_and_other_scripts() -> None:
    most, usual = Allowance(letters=3, runs=False), Allowance(letters=6, runs=True)
    assert [len(one.tokenize(["###"], special=False)[0]) for one in (most, usual)] == [4, 2]
    assert [len(one.tokenize(["dose 125"], special=False)[0]) for one in (most, usual)] == [6, 5]
    (tokens,) = most.tokenize(["ä"], special=False, bos="twice")
    assert len(tokens) == 2 + 2, "two bytes"
    assert most.token_of("A") == most.tokenize(["A"], special=False)[0][1]
    assert most.text_sizes([tokens]) == [len("ä".encode())]
    assert most.spell([tokens]) == ["ä"]


def test_pictures_take_their_place() -> None:
    counter = Allowance(letters=6, runs=True, place=5)
    first = counter.info.vocabulary
    (tokens,) = counter.tokenize_parts([("look", first, None)], special=False)
    assert tokens[2:7] == tuple(range(first, first + 5))


def test_nothing_is_computed() -> None:
    with pytest.raises(TypeError, match="without a model"):
        Allowance(letters=6, runs=True).score(Pack((), ()))
