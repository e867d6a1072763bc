"""What the engine refuses, and that it goes on afterwards."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medbench_local.engine.base import EngineOptions, GenerateRequest, Pack, ScoreRequest
from medbench_local.engine.bindings import set_fields
from medbench_local.engine.llama import LlamaEngine
from medbench_local.engine.llama_model import Model
from medbench_local.engine.option_scores import log_probabilities
from medbench_local.errors import EngineError
from tests.engine.tiny import write_random_llama

GOOD = ScoreRequest((1, 5, 6), ((7,), (8,)))


def test_log_probabilities_equal_scipy() -> None:
    from scipy.special import log_softmax

    logits = np.random.default_rng(0).normal(0, 30, 32000).astype(np.float32)
    expected = log_softmax(logits.astype(np.float64))
    assert log_probabilities(logits, [3, 7]) == pytest.approx(expected[[3, 7]], abs=1e-12)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_log_probabilities_of_no_numbers(wrong: float) -> None:
    logits = np.zeros(8, np.float32)
    logits[3] = wrong
    with pytest.raises(EngineError, match="not a number"):
        log_probabilities(logits, [3])


def test_a_model_that_gives_nan_is_never_ranked(tmp_path: Path) -> None:
    path = write_random_llama(tmp_path / "nan.gguf", nan=True)
    for mode in ("exact", "fast"):
        with LlamaEngine(path, EngineOptions(mode=mode, n_ctx=256, threads=1)) as engine:
            with pytest.raises(EngineError, match="not a number"):
                engine.score(Pack((), (GOOD, GOOD)))
            with pytest.raises(EngineError, match="not a number"):
                engine.generate(Pack((), (GenerateRequest((1, 5), ()),)))


@pytest.mark.parametrize(
    ("pack", "words"),
    [
        (Pack((), (ScoreRequest((1,) * 256, ((7, 8),)),)), "257 tokens are needed.*256 tokens with"),
        (Pack((), (ScoreRequest((), ((7,),)),)), "without any token"),
        (Pack((), (ScoreRequest((1,), ()),)), "no continuation"),
        (Pack((), (ScoreRequest((1,), ((7,), ())),)), "empty one"),
        (Pack((), (ScoreRequest((1, 512), ((7,),)),)), "512 is not in the vocabulary"),
        (Pack((), (ScoreRequest((1,), ((-1,),)),)), "-1 is not in the vocabulary"),
        (Pack((2,), (GOOD,)), "does not begin with"),
        (Pack((), (GenerateRequest((1,), ()),)), "another kind"),
    ],
)
def test_impossible_packs(models: Path, pack: Pack, words: str) -> None:
    with LlamaEngine(models / "f16.gguf", EngineOptions(n_ctx=256, threads=1)) as engine:
        expected = engine.score(Pack((), (GOOD,)))
        with pytest.raises(EngineError, match=words):
            engine.score(pack)
        assert engine.score(Pack((), (GOOD,))) == expected


def test_a_prompt_that_just_fits(models: Path) -> None:
    with LlamaEngine(models / "f16.gguf", EngineOptions(n_ctx=256, threads=1)) as engine:
        request = ScoreRequest((1,) + (5,) * 254, ((7, 8), (9,)))
        first = engine.score(Pack(request.context[:100], (request,)))
        assert engine.score(Pack((), (request,))) == first


@pytest.mark.parametrize(
    "options",
    [
        EngineOptions(batch_tokens=100),
        EngineOptions(parallel=64),
        EngineOptions(parallel=0),
        EngineOptions(n_ctx=0),
        EngineOptions(threads=0),
    ],
)
def test_impossible_options(models: Path, options: EngineOptions) -> None:
    with pytest.raises(EngineError):
        LlamaEngine(models / "f16.gguf", options)


def test_llama_cpp_says_why_it_cannot_load(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "strange.gguf"
    data = write_random_llama(tmp_path / "good.gguf").read_bytes()
    path.write_bytes(data.replace(b"llama", b"lxama"))
    with pytest.raises(EngineError, match="unknown model architecture: 'lxama'"):
        Model(path)
    assert capfd.readouterr() == ("", "")


def test_a_misspelt_setting_is_refused() -> None:
    import llama_cpp

    with pytest.raises(EngineError, match="use_mmap"):
        set_fields(llama_cpp.llama_model_default_params(), use_mmap=False)


def test_what_was_loaded(models: Path) -> None:
    with LlamaEngine(models / "q4_k_m.gguf", EngineOptions(n_ctx=256, threads=1)) as engine:
        info = engine.info
    assert info.description.startswith("llama")
    assert (info.n_ctx_train, info.bos_text, info.eos_text) == (2048, "<s>", "</s>")
    engine.close()  # twice does no harm
    with pytest.raises(EngineError, match="closed"):
        engine.score(Pack((), (GOOD,)))


def test_it_counts_what_it_decodes(models: Path) -> None:
    """A prefix of 40 tokens once, then 30 and 50 more; a longer prompt makes a new context, which counts on."""
    prefix = (1, *range(300, 339))
    requests = [ScoreRequest(prefix + tuple(range(200, 200 + size)), ((5,), (6,))) for size in (30, 50)]
    with LlamaEngine(models / "f16.gguf", EngineOptions(n_ctx=2048, threads=1)) as engine:
        assert engine.work.tokens == 0
        engine.score(Pack(prefix, tuple(requests)))
        assert engine.work.tokens == 40 + 30 + 50
        first = engine.work
        engine.score(Pack((), (ScoreRequest((5,) * 1500, ((5,),)),)))
        assert engine.work.since(first).tokens == 1500
        engine.generate(Pack((), (GenerateRequest((1, 5, 6), (), 4),)))
        assert engine.work.since(first).tokens == 1500 + 3 + 3, "the last token of a text is not decoded"
        assert engine.work.seconds > first.seconds > 0
        assert engine.work.cpu_seconds > first.cpu_seconds > 0
