"""What cannot be shown is said, and a worker process passes pictures on."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medbench_local.engine import residual
from medbench_local.engine.base import (
    Engine,
    EngineOptions,
    GenerateRequest,
    Pack,
    PictureTokens,
    ScoreRequest,
)
from medbench_local.engine.bindings import llama_cpp
from medbench_local.engine.llama import LlamaEngine
from medbench_local.engine.memory import memory_needed
from medbench_local.engine.remote import start_engine
from medbench_local.engine.stop import STOP
from medbench_local.engine.visual_memory import PICTURES_KEPT
from medbench_local.errors import CancelledError, EngineError, InputError
from medbench_local.vision.gated_block import GatedBlocks
from medbench_local.vision.parts import write_vision
from tests.engine.seeing import QUESTION, TAGGED, Seeing, spelled, write_features, write_flamingo, write_llava

LETTERS = ((65,), (66,))


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Seeing:
    return write_llava(tmp_path_factory.mktemp("rows"))


@pytest.fixture(scope="module")
def blocks(tmp_path_factory: pytest.TempPathFactory) -> Seeing:
    return write_flamingo(tmp_path_factory.mktemp("blocks"))


@pytest.fixture(params=["rows", "blocks"])
def model(request: pytest.FixtureRequest, rows: Seeing, blocks: Seeing) -> Seeing:
    return rows if request.param == "rows" else blocks


def prompt(seeing: Seeing, *numbers: int) -> tuple[ScoreRequest, tuple[PictureTokens, ...]]:
    shown = tuple(seeing.shown(number, unit=unit) for unit, number in enumerate(numbers))
    parts = ["You see.\n", *(part for one in shown for part in (one.first, QUESTION))]
    return ScoreRequest(spelled(parts, seeing), LETTERS), shown


def test_a_worker_passes_pictures_on(model: Seeing) -> None:
    request, shown = prompt(model, 0, 1)
    pack = Pack(request.context[:30], (request,), shown)
    generates = Pack((), (GenerateRequest(request.context, (), 6),), shown)
    parts: list[str | int | None] = ["You see.\n", shown[0].first, QUESTION, shown[1].first, QUESTION]
    with model.engine() as here, start_engine(model.gguf, model.options()) as there:
        engines: list[Engine] = [here, there]
        first, second = (engine.score(pack) for engine in engines)
        assert first == second
        assert here.generate(generates) == there.generate(generates)
        assert here.info == there.info
        assert there.tokenize_parts([parts, parts[:3]], special=False) == [
            request.context,
            spelled(parts[:3], model),
        ]
        with pytest.raises(EngineError, match="control token"):
            there.tokenize_parts([["<s>", shown[0].first, "x"]], special=False)


def test_a_worker_in_the_fast_mode_tries_no_repacking(rows: Seeing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medbench_local.engine.remote.repacking_pays", lambda *_: pytest.fail("tried"))
    request, shown = prompt(rows, 0)
    with start_engine(rows.gguf, rows.options(mode="fast")) as engine:
        assert engine.info.numerics["repack"] == "off"
        assert len(engine.score(Pack((), (request,), shown))) == 1


@pytest.mark.parametrize("text", ["<im_patch>", "a <im_start>b", "<s>", "</s>"])
def test_control_tokens_in_a_text_are_refused(rows: Seeing, text: str) -> None:
    with rows.engine() as engine:
        with pytest.raises(EngineError, match="control token"):
            engine.tokenize_parts([["Look: ", None, f"\n{text} it?"]], special=False)
        if text in ("<s>", "</s>"):
            (tokens,) = engine.tokenize_parts([["Look: ", None, f"\n{text} it?"]], special=True)
            assert {"<s>": 1, "</s>": 2}[text] in tokens[5:]
        else:
            with pytest.raises(EngineError, match="control token"):
                engine.tokenize_parts([["Look: ", None, f"\n{text} it?"]], special=True)
        # which a text without pictures may hold
        assert engine.tokenize([text], special=False)[0].count(1) == 1


def test_a_tag_in_a_text_is_no_picture(blocks: Seeing) -> None:
    with blocks.engine() as engine:
        for special in (False, True):
            with pytest.raises(EngineError, match="<image>"):
                engine.tokenize_parts([["Look: ", 402, "What is <image>?"]], special=special)
        (tokens,) = engine.tokenize_parts([[402, "a.<|endofchunk|>", 402, "b"]], special=True)
        assert [token for token in tokens if token >= 400] == [402, 400, 402]


def test_bos_and_places(rows: Seeing, blocks: Seeing, tmp_path: Path) -> None:
    cut = write_llava(tmp_path / "cut", tokens=False, rows=5)
    for seeing in (rows, blocks, cut):
        with seeing.engine() as engine:
            size, first = engine.info.picture_tokens, engine.info.vocabulary
            once, twice = (
                engine.tokenize_parts([["<s>Look: ", first, "a"]], special=True, bos=bos)[0]
                for bos in ("once", "twice")
            )
            assert (1, *once) == twice
            (front,) = engine.tokenize_parts([[first, first + size, "a"]], special=False)
            assert front == spelled([first, first + size, "a"], seeing)
            assert front[0] == 1
            assert engine.tokenize_parts([["just ", "text"]], special=False) == engine.tokenize(
                ["just text"], special=False
            )
            if seeing is cut:
                with pytest.raises(EngineError, match="no tokens for a place"):
                    engine.tokenize_parts([["a", None, "b"]], special=False)


def test_models_that_read_text_only(rows: Seeing) -> None:
    request, shown = prompt(rows, 0)
    with rows.engine(vision="") as engine:
        assert (engine.info.vocabulary, engine.info.picture_tokens) == (403, 0)
        for call in (
            lambda: engine.tokenize_parts([["a"]], special=False),
            lambda: engine.score(Pack((), (request,), shown)),
        ):
            with pytest.raises(EngineError, match="reads text only"):
                call()
        with pytest.raises(EngineError, match="not in the vocabulary"):
            engine.score(Pack((), (request,)))


def test_pictures_of_which_nothing_is_known(model: Seeing) -> None:
    request, shown = prompt(model, 0, 1)
    size = len(range(shown[0].first, shown[1].first))
    with model.engine() as engine:
        with pytest.raises(EngineError, match="Nothing was said"):
            engine.score(Pack((), (request,), shown[:1]))
        for wrong in (replace(shown[0], first=3), replace(shown[0], first=shown[0].first - size)):
            with pytest.raises(EngineError, match="cannot be the first"):
                engine.score(Pack((), (request,), (wrong,)))
        with pytest.raises(EngineError, match="No features"):
            engine.score(Pack((), (request,), (replace(shown[0], features=()),)))
        assert len(engine.score(Pack((), (request,), shown))) == 1


def test_what_only_some_models_can(rows: Seeing) -> None:
    request, shown = prompt(rows, 0, 1)
    with rows.engine() as engine:
        with pytest.raises(EngineError, match="one picture at a place"):
            engine.score(Pack((), (request,), (rows.shown(0, 1, unit=0), shown[1])))
        ends = ScoreRequest(spelled([QUESTION, shown[0].first], rows)[:-1], LETTERS)
        with pytest.raises(EngineError, match="ends in a picture"):
            engine.score(Pack((), (ends,), shown))


@pytest.mark.parametrize("damage", ["absent", "cut", "changed", "shape", "empty"])
def test_features_that_are_missing_or_damaged(model: Seeing, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "features.npy"
    good = Path(model.feature_file(0))
    shutil.copy(good, path)
    if damage == "absent":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(good.read_bytes()[:-40])
    elif damage == "changed":
        content = bytearray(good.read_bytes())
        content[500] ^= 1
        path.write_bytes(content)
    elif damage == "empty":
        path.write_bytes(b"")
    else:
        write_features(path, np.zeros((3, 7), np.float32))
    request, shown = prompt(model, 0)
    with model.engine() as engine:
        with pytest.raises(EngineError, match=r"(?s)features.npy.*Run the same command again"):
            engine.score(Pack((), (request,), (replace(shown[0], features=(str(path),)),)))
        (found,) = engine.score(Pack((), (request,), shown))
        shutil.copy(good, path)
        assert engine.score(Pack((), (request,), (replace(shown[0], features=(str(path),)),))) == [found]


def test_parts_of_another_model(rows: Seeing, blocks: Seeing, tmp_path: Path) -> None:
    def loaded(seeing: Seeing, of: Seeing, **changes: object) -> None:
        weights = {name: tensor.numpy() for name, tensor in of.weights.items()}
        for name, tensor in list(weights.items()):
            if changes.get("blocks") and name.startswith("blocks.3"):
                weights[name.replace("blocks.3", "blocks.4")] = weights.pop(name)
            if changes.get("width") and name.startswith("projector"):
                weights[name] = tensor[:128]
        write_vision(tmp_path / "vision.safetensors", replace(of.parts, **changes), weights)  # type: ignore[arg-type]
        LlamaEngine(
            seeing.gguf, EngineOptions(n_ctx=256, vision=str(tmp_path / "vision.safetensors"))
        ).close()

    with pytest.raises(InputError, match="no control token '<image>'"):
        loaded(rows, blocks)
    with pytest.raises(InputError, match="no control token '<im_start>'"):
        loaded(blocks, rows)
    with pytest.raises(InputError, match="width 128; this one has 256"):
        loaded(rows, rows, width=128)
    with pytest.raises(InputError, match="a block before layer 4 of a model with 4"):
        loaded(blocks, blocks, blocks=(1, 4))
    with pytest.raises(InputError, match="no such file"):
        LlamaEngine(rows.gguf, EngineOptions(n_ctx=256, vision=str(tmp_path / "absent"))).close()


def test_numerics_name_what_decides_bits(rows: Seeing, blocks: Seeing, tmp_path: Path) -> None:
    def numerics(seeing: Seeing, **changes: object) -> dict[str, str]:
        with seeing.engine(**changes) as engine:
            return engine.info.numerics

    first = numerics(blocks)
    assert first["vision_ln_post"] == "paper"
    assert first["flash_attention"] == "off"
    assert first["numpy"].startswith(np.__version__)
    assert first == numerics(blocks, threads=2, n_ctx=512)
    assert first != numerics(blocks, vision_ln_post="original")
    assert numerics(rows) == numerics(rows, vision_ln_post="original")
    changed = tmp_path / "vision.safetensors"
    weights = {name: tensor.numpy() for name, tensor in rows.weights.items()}
    write_vision(changed, rows.parts, {**weights, "projector.0.bias": weights["projector.0.bias"] + 1})
    assert numerics(rows)["vision"] != numerics(rows, vision=str(changed))["vision"]
    assert "vision" not in numerics(rows, vision="")


def test_what_goes_wrong_between_layers_is_raised(blocks: Seeing, monkeypatch: pytest.MonkeyPatch) -> None:
    request, shown = prompt(blocks, 0)
    pack = Pack((), (request,), shown)

    def stopping(_self: object, _block: int, x: object, *_: object) -> object:
        STOP.ask()
        return x

    with blocks.engine() as engine:
        expected = engine.score(pack)
        with monkeypatch.context() as patch:
            patch.setattr(GatedBlocks, "apply", lambda *_: 1 // 0)
            with pytest.raises(ZeroDivisionError):
                engine.score(pack)
            patch.setattr(GatedBlocks, "apply", stopping)
            with pytest.raises(CancelledError):
                engine.score(pack)
        STOP.clear()
        assert engine.score(pack) == expected


def test_a_llama_cpp_that_shows_no_layers_is_refused(blocks: Seeing, monkeypatch: pytest.MonkeyPatch) -> None:
    write = residual.Hook._rewrite_tensor
    other = llama_cpp.ggml_backend_sched_eval_callback(lambda *_: False)
    for name, value, match in (
        ("_rewrite_tensor", lambda *_: None, "showed 0 of the 2 layers"),
        ("callback", property(lambda self: other, lambda self, value: None), "showed 0 of the 2 layers"),
        (
            "_rewrite_tensor",
            lambda self, tensor, block, rewrite: write(
                self, tensor, block, lambda _, x: x * np.float32(1.0001)
            ),
            "does not let gated blocks look",
        ),
        (
            "_rewrite_tensor",
            lambda self, tensor, block, rewrite: write(self, tensor, block, lambda _, x: x),
            "does not let gated blocks look",
        ),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(residual.Hook, name, value, raising=False)
            with pytest.raises(EngineError, match=match):
                blocks.engine()
    blocks.engine().close()


def test_memory_counts_what_is_seen_with(model: Seeing) -> None:
    blind, sees = (
        memory_needed(model.gguf, model.options(vision=vision)) for vision in ("", str(model.vision))
    )
    file = model.vision.stat().st_size
    assert file <= sees.weights - blind.weights <= 2 * file
    assert sees.compute - blind.compute >= PICTURES_KEPT
    exact, reproducible = (
        memory_needed(model.gguf, model.options(mode=mode)) for mode in ("exact", "reproducible")
    )
    assert exact == reproducible


def test_added_tokens_are_control_tokens(blocks: Seeing) -> None:
    with blocks.engine() as engine:
        assert [engine.token_of(text) for text in TAGGED] == [400, 401]
        assert {"<s>", "</s>", "<unk>", *TAGGED} == set(engine._model.control_texts)
        assert (engine.info.vocabulary, engine.info.picture_tokens) == (402, 1)
