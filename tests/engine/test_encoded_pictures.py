"""Pictures through llama.cpp's own code (Gemma 3 with SigLIP) against transformers in float32."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil
from transformers.models.gemma3.processing_gemma3 import Gemma3Processor

from medbench_local.engine.base import Pack, PictureTokens, ScoreRequest, Tokens
from medbench_local.engine.llama import LlamaEngine
from medbench_local.engine.llama_model import Model
from medbench_local.engine.mtmd import PictureEncoder
from medbench_local.engine.picture_encoding import encode_with_llama_cpp
from medbench_local.engine.remote import start_engine
from medbench_local.errors import EngineError, InputError
from medbench_local.progress import Silent
from medbench_local.tasks.picture import Picture
from medbench_local.vision.features import read_features
from medbench_local.vision.projector_file import read_projector
from tests.acquire.conversion.checkpoints_of.gemma2 import gelu_of_ggml
from tests.engine.gemma3_pictures import (
    MARKS,
    ROWS,
    SIDE,
    Seeing,
    fitted,
    normalised,
    picture,
    pieces,
    write_projector,
    write_seeing,
)

RELATIVE = {"f32": 4e-4, "f16": 8e-4}
"""Of rows: ggml looks GELU up in a table of float16, 3e-4; rounded weights add to it."""

LOGPROBS = {"f32": 2e-3, "f16": 3e-3}
"""Of whole models; looking back only within a picture moves them by 2e-2 to 5e-2."""

QUESTION = "Question: A man has chest pain that radiates to the left arm. What is the next best step?"


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> Seeing:
    return write_seeing(tmp_path_factory.mktemp("gemma3"))


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> list[Picture]:
    folder = tmp_path_factory.mktemp("pictures")
    return [picture(folder, number) for number in range(4)]


@pytest.fixture(scope="module")
def features(
    seeing: Seeing, shown: list[Picture], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    home = tmp_path_factory.mktemp("home")
    return encode_with_llama_cpp(seeing.projector, seeing.gguf, shown, home, Silent(), seeing.options())


def prompt(*pictures: int) -> list[Any]:
    """Parts of a conversation: the pictures of each turn before its question; the last answer is open."""
    parts: list[Any] = []
    for number, first in enumerate(pictures):
        parts += [
            "<start_of_turn>user\n",
            first,
            f"{QUESTION} ({number})<end_of_turn>\n<start_of_turn>model\n",
        ]
        parts.append("B. Immediate ECG<end_of_turn>\n" if number < len(pictures) - 1 else "")
    return parts


OPTIONS = tuple((token,) for token in range(8, 398, 13))


def test_pictures_are_stretched_as_transformers_does_it(seeing: Seeing, shown: list[Picture]) -> None:
    from PIL import Image

    processor = Gemma3ImageProcessorPil(
        size={"height": SIDE, "width": SIDE}, image_mean=[0.5] * 3, image_std=[0.5] * 3
    )
    ours = read_projector(seeing.projector)
    for one in shown:
        opened = Image.open(one.path)
        theirs = np.asarray(processor(opened, return_tensors="np")["pixel_values"][0])
        mine = normalised(np.asarray(ours.fitted(opened)))[0].numpy()
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-6)


def test_the_header_says_how_many_rows(seeing: Seeing) -> None:
    found = read_projector(seeing.projector)
    assert (found.kind, found.side, found.rows, found.width, found.precision) == (
        "gemma3",
        SIDE,
        ROWS,
        256,
        "f32",
    )


@pytest.mark.parametrize("precision", ["f32", "f16"])
def test_rows_are_those_of_transformers(
    seeing: Seeing, shown: list[Picture], tmp_path: Path, precision: str
) -> None:
    path = write_projector(
        tmp_path / "mmproj.gguf", load_file(seeing.folder / "model.safetensors"), precision
    )
    files = encode_with_llama_cpp(path, seeing.gguf, shown, tmp_path, Silent(), seeing.options())
    errors = []
    for one in shown:
        wanted = seeing.rows(normalised(fitted(one)))
        found = read_features(files[one.sha256])
        assert found.shape == wanted.shape == (ROWS, 256)
        errors.append(float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted)))
    assert max(errors) < RELATIVE[precision]
    assert {path.suffix for path in files.values()} == {".npy"}


def test_rows_do_not_depend_on_threads(
    seeing: Seeing, shown: list[Picture], features: dict[str, Path], tmp_path: Path
) -> None:
    again = encode_with_llama_cpp(
        seeing.projector, seeing.gguf, shown, tmp_path, Silent(), seeing.options(threads=2)
    )
    for sha256, path in features.items():
        assert again[sha256].read_bytes() == path.read_bytes()


def test_whole_models_say_what_transformers_say(
    seeing: Seeing, shown: list[Picture], features: dict[str, Path]
) -> None:
    with LlamaEngine(seeing.gguf, seeing.options()) as engine:
        info = engine.info
        assert info.picture_tokens == ROWS
        firsts = [info.vocabulary + ROWS * number for number in range(len(shown))]
        table = tuple(
            PictureTokens(first, (str(features[one.sha256]),))
            for first, one in zip(firsts, shown, strict=True)
        )
        prompts = [prompt(firsts[n]) for n in range(4)] + [prompt(firsts[1], firsts[2], firsts[3])]
        tokens = engine.tokenize_parts(prompts, special=True)
        requests = tuple(ScoreRequest(one, OPTIONS) for one in tokens)
        found = engine.score(Pack((), requests, table))
        prefix = tokens[0][:8]
        split = engine.score(Pack(prefix, requests, table))
    by_first = {first: fitted(one) for first, one in zip(firsts, shown, strict=True)}
    errors = []
    for scores, context in zip(found, tokens, strict=True):
        wanted = seeing.logprobs(context, by_first)
        errors.append(np.abs(np.array(scores.logprobs) - wanted[[option[0] for option in OPTIONS]]).max())
    assert max(errors) < LOGPROBS["f32"]
    assert [one.logprobs for one in split] == [one.logprobs for one in found]
    # a picture makes a difference
    assert np.abs(np.array(found[0].logprobs) - np.array(found[1].logprobs)).max() > 0.05


def _tokens_of_transformers(text: str) -> Tokens:
    """By SentencePiece, text by text between control tokens, of what Gemma3Processor would hand to its tokenizer."""
    from sentencepiece import SentencePieceProcessor

    spelling = SentencePieceProcessor(model_proto=pieces())
    import re

    found = [1]
    for part in re.split("(" + "|".join(map(re.escape, MARKS)) + ")", text):
        found += [spelling.PieceToId(part)] if part in MARKS else spelling.encode(part)
    return tuple(found)


def _of_processor() -> str:
    """What transformers' processor of Gemma 3 puts in the place of a picture."""
    tokens = SimpleNamespace(
        boi_token_id=5,
        boi_token="<start_of_image>",
        eoi_token="<end_of_image>",
        image_token="<image_soft_token>",
    )
    processor = Gemma3Processor.__new__(Gemma3Processor)
    with suppress(Exception):  # the rest of it wants a whole tokenizer
        processor.__init__(None, tokens, image_seq_length=ROWS)
    return str(processor.full_image_sequence)


def test_around_a_picture_stands_what_the_processor_writes(seeing: Seeing) -> None:
    soft = MARKS.index("<image_soft_token>") + 3
    with LlamaEngine(seeing.gguf, seeing.options()) as engine:
        first = engine.info.vocabulary + 3 * ROWS
        prompts: list[list[Any]] = [
            prompt(first),
            prompt(first, first + ROWS),
            ["Look: ", first, " What is it?"],
            [first, "\n\nWell?"],
        ]
        for parts in prompts:
            (found,) = engine.tokenize_parts([parts], special=True)
            text = "".join(_of_processor() if isinstance(part, int) else part for part in parts)
            assert tuple(min(token, engine.info.vocabulary) for token in found) == tuple(
                engine.info.vocabulary if token == soft else token for token in _tokens_of_transformers(text)
            )
            assert [token for token in found if token >= engine.info.vocabulary] == [
                part + row for part in parts if isinstance(part, int) for row in range(ROWS)
            ]


def test_a_question_cannot_show_pictures(seeing: Seeing) -> None:
    with LlamaEngine(seeing.gguf, seeing.options()) as engine:
        first = engine.info.vocabulary
        for text in ("Is <start_of_image> a token?", "And <end_of_image>?"):
            for special in (True, False):
                with pytest.raises(EngineError, match="control token"):
                    engine.tokenize_parts([[first, text]], special=special)
        with pytest.raises(EngineError, match="no picture is shown"):
            engine.tokenize_parts([["Look: ", None, "."]], special=True)


def test_a_picture_is_decoded_whole_or_not_at_all(
    seeing: Seeing, shown: list[Picture], features: dict[str, Path]
) -> None:
    with LlamaEngine(seeing.gguf, seeing.options()) as engine:
        first = engine.info.vocabulary
        table = (PictureTokens(first, (str(features[shown[0].sha256]),)),)
        (tokens,) = engine.tokenize_parts([prompt(first)], special=True)
        whole = engine.score(Pack((), (ScoreRequest(tokens, OPTIONS),), table))
        inside = tokens.index(first) + 2
        again = engine.score(Pack(tokens[:inside], (ScoreRequest(tokens, OPTIONS),), table))
        assert again == whole
        part = tuple(token for token in tokens if token < first or token > first + 1)
        with pytest.raises(EngineError, match="cannot be decoded without the others"):
            engine.score(Pack((), (ScoreRequest(part, OPTIONS),), table))
        assert engine.score(Pack((), (ScoreRequest(tokens, OPTIONS),), table)) == whole


def test_every_way_gives_equal_bits(seeing: Seeing, shown: list[Picture], features: dict[str, Path]) -> None:
    """In a worker, with other modes and threads, behind a shared prefix with pictures, in another order."""

    def run(engine: Any, order: list[int], prefix: int) -> list[Any]:
        first = engine.info.vocabulary
        table = tuple(
            PictureTokens(first + ROWS * n, (str(features[one.sha256]),)) for n, one in enumerate(shown)
        )
        shared = [first, first + ROWS]
        prompts = [prompt(*shared, first + ROWS * n) for n in (2, 3)]
        tokens = engine.tokenize_parts(prompts, special=True)
        requests = tuple(ScoreRequest(tokens[n], OPTIONS) for n in order)
        scores = engine.score(Pack(tokens[0][:prefix], requests, table))
        return [scores[order.index(n)].logprobs for n in range(len(prompts))]

    with LlamaEngine(seeing.gguf, seeing.options()) as engine:
        wanted = run(engine, [0, 1], 0)
        for prefix in (20, 60, 90, 130):
            assert run(engine, [1, 0], prefix) == wanted
    for changes in ({"threads": 2}, {"mode": "reproducible"}, {"n_ctx": 1024, "batch_tokens": 256}):
        with LlamaEngine(seeing.gguf, seeing.options(**changes)) as engine:
            assert run(engine, [0, 1], 60) == wanted
    with start_engine(seeing.gguf, seeing.options()) as worker:
        assert run(worker, [0, 1], 60) == wanted


def test_kept_rows_are_not_computed_again(
    seeing: Seeing, shown: list[Picture], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = seeing.options()
    some = encode_with_llama_cpp(seeing.projector, seeing.gguf, shown[:2], tmp_path, Silent(), options)
    times = {path: path.stat().st_mtime_ns for path in some.values()}
    everything = encode_with_llama_cpp(seeing.projector, seeing.gguf, shown, tmp_path, Silent(), options)
    assert len(everything) == 4
    assert {path: path.stat().st_mtime_ns for path in some.values()} == times
    moved = tmp_path / "renamed.gguf"
    shutil.copyfile(seeing.projector, moved)
    monkeypatch.setattr("medbench_local.engine.picture_encoding.start_process", None)
    assert encode_with_llama_cpp(moved, seeing.gguf, shown, tmp_path, Silent(), options) == everything


def test_a_damaged_picture_is_named_before_any_is_encoded(
    seeing: Seeing, shown: list[Picture], tmp_path: Path
) -> None:
    path = tmp_path / "half.png"
    path.write_bytes(shown[0].path.read_bytes()[:-200])
    import hashlib

    half = Picture(hashlib.sha256(path.read_bytes()).hexdigest(), path.name, path)
    with pytest.raises(InputError, match=r"half\.png"):
        encode_with_llama_cpp(
            seeing.projector, seeing.gguf, [*shown, half], tmp_path, Silent(), seeing.options()
        )
    assert not list(tmp_path.rglob("*.npy"))


def test_another_number_of_rows_is_refused(seeing: Seeing) -> None:
    from dataclasses import replace

    model = Model(seeing.gguf, vocab_only=True)
    wrong = replace(read_projector(seeing.projector), rows=16)
    with pytest.raises(EngineError, match=r"makes 4 rows .*; 16 are expected"):
        PictureEncoder(wrong, model, threads=1, gpu=False)
    model.close()


def test_a_tower_that_sees_nothing_is_refused(seeing: Seeing, shown: list[Picture], tmp_path: Path) -> None:
    tensors = load_file(seeing.folder / "model.safetensors")
    blind = {
        name: tensor * (0 if "patch_embedding.weight" in name or "position" in name else 1)
        for name, tensor in tensors.items()
    }
    path = write_projector(tmp_path / "mmproj.gguf", blind)
    with pytest.raises(EngineError, match="sees nothing"):
        encode_with_llama_cpp(path, seeing.gguf, shown, tmp_path, Silent(), seeing.options())


def test_nothing_but_ggml_s_rounding_is_different(
    seeing: Seeing, shown: list[Picture], features: dict[str, Path]
) -> None:
    """Patches and their weights are rounded to float16 (ggml_conv_2d), GELU is looked up in a table of float16."""
    other = Seeing(seeing.folder)
    gelu_of_ggml(other.torch_model)
    table = next(module.act_fn for module in other.torch_model.modules() if hasattr(module, "act_fn"))
    for module in other.torch_model.modules():
        if hasattr(module, "activation_fn"):
            del module.activation_fn
            module.activation_fn = table
    patches = other.torch_model.model.vision_tower.embeddings.patch_embedding.weight
    patches.data = patches.data.half().float()
    for one in shown:
        wanted = other.rows(normalised(fitted(one)).half().float())
        found = read_features(features[one.sha256])
        assert np.linalg.norm(found - wanted) / np.linalg.norm(wanted) < 3e-5
