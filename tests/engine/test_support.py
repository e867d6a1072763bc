"""What the header of a GGUF file tells of files that are no models, and of what llama.cpp computes wrongly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from medbench_local.engine.base import ROWS, EngineOptions, GenerateRequest, Pack, ScoreRequest
from medbench_local.engine.llama import LlamaEngine
from medbench_local.engine.remote import start_engine
from medbench_local.engine.support import exact_limit, refuse_unsupported
from medbench_local.errors import EngineError, InputError, MedbenchError, UnsupportedArchitectureError
from medbench_local.files.gguf_header import read_gguf_header
from tests.engine.tiny import Shape, write_random


def _header(
    path: Path, architecture: str, keys: dict[str, Any], tensors: tuple[str, ...] = ("a.weight",)
) -> Path:
    """A file with keys ("general.…", or else of the architecture) and tensors of four numbers."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_context_length(4096)
    for key, value in keys.items():
        name = key if key.startswith(("general.", "adapter.", "clip.")) else f"{architecture}.{key}"
        if isinstance(value, str):
            writer.add_string(name, value)
        elif isinstance(value, bool):
            writer.add_bool(name, value)
        elif isinstance(value, list):
            writer.add_array(name, value)
        else:
            writer.add_uint32(name, value)
    for tensor in tensors:
        writer.add_tensor(tensor, np.ones(4, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "adapter": ("llama", {"general.type": "adapter", "adapter.type": "lora"}, "is an adapter, not a model"),
    "adapter of before": ("llama", {"adapter.type": "lora"}, "is an adapter, not a model"),
    "projector": ("clip", {"clip.has_vision_encoder": True}, "the projector of a vision model"),
    "projector by type": ("llama", {"general.type": "mmproj"}, "the projector of a vision model"),
    "importance matrix": ("llama", {"general.type": "imatrix"}, "an importance matrix, not a model"),
    "encoder": ("bert", {}, r"\(bert\) makes embeddings"),
    "encoder and decoder": ("t5", {}, r"\(t5\) reads with an encoder"),
    "embeddings of a decoder": (
        "qwen3",
        {"pooling_type": 3},
        r"\(qwen3\) makes embeddings.*qwen3\.pooling_type",
    ),
    "reranker": ("qwen3", {"classifier.output_labels": ["yes", "no"]}, r"\(qwen3\) makes embeddings.*ranks"),
    "to both sides": (
        "llama",
        {"attention.causal": False},
        r"attends to later tokens.*llama\.attention\.causal",
    ),
    "diffusion": ("llada", {}, r"\(llada\) writes all tokens .*diffusion"),
    "pictures": ("flux", {}, r"\(flux\) makes pictures"),
    "speech": ("qwen3tts", {}, "writes sound"),
    "draft": ("eagle3", {}, "drafts tokens for another model"),
    "gpt-oss": ("gpt-oss", {"attention.sliding_window": 128}, r"\(gpt-oss\) is computed .*truncate: false"),
    "dynamic rope": ("llama", {"rope.scaling.type": "dynamic"}, r"'dynamic'.*llama\.rope\.scaling\.type"),
    "a constant that is not read": ("qwen2vl", {}, r"\(qwen2vl\) is computed .*another constant"),
    "yarn of one's own": (
        "qwen2",
        {"rope.scaling.type": "yarn", "rope.scaling.yarn_beta_fast": 16},
        r"yarn with beta_fast 16 .*llama\.cpp takes 32",
    ),
    "unknown state": ("rwkv7", {"wkv.head_size": 64}, r"\(rwkv7\) keeps a running state"),
    "unknown hybrid": ("kimi-linear", {"kda.head_dim": 64}, r"\(kimi-linear\) keeps a running state"),
}


@pytest.mark.parametrize(("architecture", "keys", "says"), REFUSED.values(), ids=REFUSED)
def test_refused(tmp_path: Path, architecture: str, keys: dict[str, Any], says: str) -> None:
    path = _header(tmp_path / "given.gguf", architecture, keys)
    with pytest.raises(MedbenchError, match=rf"given\.gguf,? ?:? ?.*{says}") as found:
        refuse_unsupported(read_gguf_header(path))
    assert found.value.advice
    with pytest.raises(type(found.value), match=says):
        start_engine(path, EngineOptions())


def test_a_vocabulary_alone_is_refused(tmp_path: Path) -> None:
    path = _header(tmp_path / "vocabulary.gguf", "llama", {}, ())
    with pytest.raises(InputError, match=r"vocabulary\.gguf: holds a vocabulary and no weights"):
        refuse_unsupported(read_gguf_header(path))


@pytest.mark.parametrize(
    ("architecture", "keys"),
    [
        ("llama", {"general.type": "model"}),
        ("qwen3", {"pooling_type": 0}),
        ("qwen2", {"rope.scaling.type": "yarn"}),
        ("qwen35", {"ssm.conv_kernel": 4}),
        ("gemma3", {"attention.sliding_window": 512}),
    ],
)
def test_not_refused(tmp_path: Path, architecture: str, keys: dict[str, Any]) -> None:
    refuse_unsupported(read_gguf_header(_header(tmp_path / "model.gguf", architecture, keys)))


@pytest.mark.parametrize(
    ("architecture", "keys", "tensors", "tokens", "context"),
    [
        ("phi3", {"attention.sliding_window": 2047}, (), 2047, 0),
        ("phi3", {"attention.sliding_window": 0}, (), None, 0),
        ("qwen2", {"attention.sliding_window": 1024}, (), 1024, 0),
        ("llama", {"attention.sliding_window": 4096}, (), None, 0),  # its whole context
        ("gemma2", {"attention.sliding_window": 1024}, (), None, 0),
        ("exaone4", {"attention.sliding_window": 1024, "block_count": 64}, (), None, 0),
        ("exaone4", {"attention.sliding_window": 1024, "block_count": 30}, (), 1024, 0),
        ("phi3", {"rope.scaling.original_context_length": 2048}, ("rope_factors_long.weight",), 1920, 2048),
        ("phi3", {"rope.scaling.original_context_length": 2100}, ("rope_factors_long.weight",), 1920, 2048),
        ("phi3", {}, ("rope_factors_long.weight",), 3968, 4096),
        (
            "phi3",
            {"rope.scaling.original_context_length": 2048, "attention.sliding_window": 1000},
            ("rope_factors_long.weight",),
            1000,
            2048,
        ),
    ],
)
def test_how_far_it_is_right(
    tmp_path: Path,
    architecture: str,
    keys: dict[str, Any],
    tensors: tuple[str, ...],
    tokens: int | None,
    context: int,
) -> None:
    path = _header(tmp_path / "model.gguf", architecture, keys, ("a.weight", *tensors))
    limit = exact_limit(read_gguf_header(path))
    if tokens is None:
        assert limit is None
    else:
        assert limit is not None
        assert (limit.tokens, limit.context) == (tokens, context)


def _tokens(length: int) -> tuple[int, ...]:
    return (1, *(int(t) for t in np.random.default_rng(length).integers(3, 500, length - 1)))


def test_prompts_beyond_an_ignored_window_are_refused(tmp_path: Path) -> None:
    path = write_random(tmp_path / "window.gguf", Shape(window=48))
    with LlamaEngine(path, EngineOptions(n_ctx=512, threads=1)) as engine:
        assert engine.info.exact_up_to == 48
        engine.score(Pack((), (ScoreRequest(_tokens(47), ((5, 6),)),)))
        for request in (ScoreRequest(_tokens(48), ((5, 6),)), ScoreRequest(_tokens(49), ((5,),))):
            with pytest.raises(EngineError, match=r"49 tokens.* up to 48 only: .* last 48 tokens"):
                engine.score(Pack((), (request,)))
        with pytest.raises(EngineError, match="up to 48 only"):
            engine.generate(Pack((), (GenerateRequest(_tokens(40), (), 10),)))


def test_a_long_prompt_does_not_change_the_positions_of_short_ones(tmp_path: Path) -> None:
    path = write_random(tmp_path / "long.gguf", Shape(original=512))
    short, long = (Pack((), (ScoreRequest(_tokens(length), ((5,), (6,))),)) for length in (60, 512 - ROWS))
    with LlamaEngine(path, EngineOptions(n_ctx=2048, threads=1)) as engine:
        before = engine.score(short)
        engine.score(long)
        assert engine.score(short) == before
        with pytest.raises(EngineError, match=r"up to 384 only: .* more than 512 tokens"):
            engine.score(Pack((), (ScoreRequest(_tokens(512 - ROWS), ((5, 6),)),)))
    # What would be if nothing held the context: other factors for the same prompt.
    plain = write_random(tmp_path / "plain.gguf", Shape())
    with LlamaEngine(plain, EngineOptions(n_ctx=2048, threads=1)) as engine:
        assert engine.score(short)[0].logprobs == pytest.approx(before[0].logprobs, abs=1e-4)


def test_too_short_an_original_context_is_refused(tmp_path: Path) -> None:
    path = write_random(tmp_path / "tiny.gguf", Shape(original=100))
    with pytest.raises(UnsupportedArchitectureError, match="for prompts of any length"):
        LlamaEngine(path, EngineOptions(threads=1))
