"""Checkpoints of Flamingos taken apart: both forms of their names, and everything that must not pass unseen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch

from medbench_local.acquire.conversion.checkpoint import CheckpointFolder
from medbench_local.acquire.conversion.convert import convert_checkpoint
from medbench_local.acquire.conversion.pictures.flamingo import take_apart_flamingo
from medbench_local.acquire.conversion.pictures.taken_apart import TakenApart
from medbench_local.acquire.conversion.vocabulary import read_vocabulary
from medbench_local.errors import InputError
from tests.acquire.checkpoints import numbers, write_json
from tests.acquire.gguf_content import read_content
from tests.vision_toys import (
    LAYERS,
    State,
    base_state,
    buffers,
    flamingo_state,
    pieces,
    write_base,
    write_flamingo,
)

ROWS = pieces(None)
BASE = base_state(ROWS)
STATE = flamingo_state(BASE, seed=3)
EMBEDDING = "lang_encoder.model.embed_tokens.weight"
LIST, INSIDE = "lang_encoder.gated_cross_attn_layers", "lang_encoder.model.layers"


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return write_base(tmp_path / "base", BASE)


def taken(base: Path, state: State, *, every: int = 4, **form: Any) -> TakenApart:
    path = write_flamingo(base.parent / "checkpoint" / "model.pt", state, **form)
    return take_apart_flamingo(path, CheckpointFolder(base), every)


def expected(state: State) -> State:
    """What is to be found, under its names."""
    found = {}
    for name, tensor in state.items():
        if name != EMBEDDING:
            inner = name.replace("perceiver.", "resampler.").replace(f"{LIST}.", "blocks.")
            found[inner] = tensor
    return found


@pytest.mark.parametrize("names", ["list", "layers", "both"])
@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_every_form_is_read(
    base: Path, names: Literal["list", "layers", "both"], wrapped: bool, prefix: str
) -> None:
    found = taken(base, STATE, names=names, wrapped=wrapped, prefix=prefix)
    wanted = expected(STATE)
    assert set(found.tensors) == set(wanted)
    for name, tensor in found.tensors.items():
        np.testing.assert_array_equal(numbers(tensor), wanted[name].numpy(), err_msg=name)
    parts = found.parts
    assert (parts.blocks, parts.latents, parts.tag, parts.layer) == ((3, 7), 8, "<image>", -1)
    assert (parts.crop, parts.aspect, parts.width) == ("bankers", "crop", 64)
    assert found.warnings == ()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("base_type", [torch.float16, torch.float32, torch.bfloat16])
def test_the_language_model_is_the_base_with_rows_for_its_tokens(
    tmp_path: Path, dtype: torch.dtype, base_type: torch.dtype
) -> None:
    stored = {name: tensor.to(base_type) for name, tensor in BASE.items()}
    base = write_base(tmp_path / "base", stored)
    state = flamingo_state(stored, seed=3, dtype=dtype)
    language = taken(base, state).language
    embedding = language.tensors["model.embed_tokens.weight"]
    assert embedding.shape == (ROWS + 3, 64)
    values = numbers(embedding)
    ours = (
        torch.from_numpy(np.array(values)).view(torch.bfloat16)
        if embedding.dtype == "BF16"
        else torch.from_numpy(np.array(values))
    )
    torch.testing.assert_close(
        ours[:ROWS].float(), stored["model.embed_tokens.weight"].float(), rtol=0, atol=0
    )
    torch.testing.assert_close(ours[ROWS:].float(), state[EMBEDDING][ROWS:].float(), rtol=0, atol=0)
    for begin, end in ((0, 3), (ROWS - 2, ROWS + 2), (ROWS + 1, ROWS + 3), (ROWS - 3, ROWS)):
        np.testing.assert_array_equal(embedding.rows(begin, end), values[begin:end])
    output = numbers(language.tensors["lm_head.weight"])
    assert output.shape == (ROWS + 3, 64)
    assert not output[ROWS:].any()
    others = {
        name: tensor
        for name, tensor in language.tensors.items()
        if name not in ("lm_head.weight", embedding.name)
    }
    assert set(others) == {*BASE, *buffers()} - {"lm_head.weight", embedding.name}


def test_rows_that_float16_holds_leave_the_embedding_as_it_is(base: Path, tmp_path: Path) -> None:
    state = dict(STATE)
    state[EMBEDDING] = STATE[EMBEDDING].half().float()
    language = taken(base, state).language
    assert language.tensors["model.embed_tokens.weight"].dtype == "F16"
    assert taken(base, STATE).language.tensors["model.embed_tokens.weight"].dtype == "F32"
    convert_checkpoint(language, tmp_path / "x.gguf")
    written = read_content(tmp_path / "x.gguf")
    assert written.value("tokenizer.ggml.tokens")[ROWS:] == ["<|endofchunk|>", "<image>", "<PAD>"]


def test_a_base_that_can_pad_has_two_tokens_more(base: Path) -> None:
    write_json(base / "added_tokens.json", {"[PAD]": ROWS})  # beyond its rows: it does not count
    language = taken(base, flamingo_state(BASE, seed=3, tokens=2)).language
    vocabulary = read_vocabulary(language.tokenizer, ROWS + 2, language.config)
    assert [token.text for token in vocabulary.tokens[ROWS:]] == ["<|endofchunk|>", "<image>"]
    assert {token.type for token in vocabulary.tokens[ROWS:]} == {3}


def test_what_is_not_needed_is_ignored(base: Path) -> None:
    more = {
        "vision_encoder.visual.conv1.weight": torch.ones(2, 2),
        f"{INSIDE}.0.decoder_layer.self_attn.rotary_emb.inv_freq": torch.ones(8),
        f"{INSIDE}.0.decoder_layer.mlp.up_proj.weight": BASE["model.layers.0.mlp.up_proj.weight"].float(),
        "lang_encoder.old_decoder_blocks.1.input_layernorm.weight": BASE[
            "model.layers.1.input_layernorm.weight"
        ],
        "lang_encoder.model.norm.weight": BASE["model.norm.weight"].float(),
        "lang_encoder.lm_head.weight": torch.cat([BASE["lm_head.weight"], torch.zeros(3, 64).half()]),
    }
    found = taken(base, STATE | more)
    assert found.warnings == ()
    assert set(found.tensors) == set(expected(STATE))


def test_a_copy_of_the_language_model_that_differs_is_told_of(base: Path) -> None:
    name = f"{INSIDE}.0.decoder_layer.mlp.up_proj.weight"
    found = taken(base, STATE | {name: BASE["model.layers.0.mlp.up_proj.weight"] + 1})
    assert name in found.warnings[0]
    assert "those of the latter are used" in found.warnings[0]


def without(*names: str) -> Callable[[State], State]:
    return lambda state: {name: tensor for name, tensor in state.items() if name not in names}


def with_more(name: str, tensor: torch.Tensor) -> Callable[[State], State]:
    return lambda state: state | {name: tensor}


REFUSED: dict[str, tuple[Callable[[State], State], str]] = {
    "no embedding": (
        without(EMBEDDING),
        r"missing: lang_encoder\.model\.embed_tokens\.weight \(without it the tokens <image> and <\|endofchunk",
    ),
    "half a block": (
        without(f"{LIST}.7.ff_gate", f"{LIST}.7.attn.to_kv.weight"),
        r"missing: blocks\.7\.ff_gate, blocks\.7\.attn\.to_kv\.weight",
    ),
    "half a layer": (
        without("perceiver.layers.0.0.to_q.weight", "perceiver.norm.bias"),
        r"missing: resampler\.norm\.bias, resampler\.layers\.0\.0\.to_q\.weight",
    ),
    "no latents": (without("perceiver.latents"), r"missing: resampler\.latents"),
    "of videos": (with_more("perceiver.frame_embs", torch.ones(2, 2)), r"unknown: perceiver\.frame_embs"),
    "of media": (
        with_more("perceiver.media_time_embs", torch.ones(2, 1, 2)),
        r"unknown: perceiver\.media_time_embs",
    ),
    "something else": (
        with_more("lang_encoder.adapter.weight", torch.ones(2)),
        r"unknown: lang_encoder\.adapter",
    ),
    "a block with more": (
        with_more(f"{LIST}.3.attn.to_q.bias", torch.ones(128)),
        r"unknown: lang_encoder\.gated_cross_attn_layers\.3\.attn\.to_q\.bias",
    ),
    "both at once": (
        lambda state: without(EMBEDDING)(state) | {"x": torch.ones(1)},
        "unknown: x; missing: lang_encoder",
    ),
    "no flamingo": (
        lambda _: {"model.weight": torch.ones(2, 2)},
        r"unknown: model\.weight; missing: .* and \d+ more",
    ),
    "other rows": (
        lambda state: (
            state
            | {
                EMBEDDING: torch.cat(
                    [state[EMBEDDING][:7], state[EMBEDDING][7:8] + 0.01, state[EMBEDDING][8:]]
                )
            }
        ),
        r"row 7 is not that of the language model .*base: it was trained with another one",
    ),
    "rows of another model": (
        lambda state: state | {EMBEDDING: state[EMBEDDING].flip(0)},
        "row 0 is not that of the language model",
    ),
    "too many rows": (
        lambda state: state | {EMBEDDING: torch.cat([state[EMBEDDING], torch.ones(1, 64)])},
        r"shape \[404, 64\]; the language model .* has \[400, 64\]",
    ),
    "no rows of its own": (
        lambda state: state | {EMBEDDING: state[EMBEDDING][:ROWS]},
        r"shape \[400, 64\]; the language model",
    ),
    "another width": (
        lambda state: state | {EMBEDDING: torch.ones(403, 32)},
        r"shape \[403, 32\]; the language model",
    ),
}


@pytest.mark.parametrize(("change", "says"), REFUSED.values(), ids=REFUSED)
def test_what_is_unknown_missing_or_wrong_is_refused(
    base: Path, change: Callable[[State], State], says: str
) -> None:
    with pytest.raises(InputError, match=says):
        taken(base, change(STATE))


def test_blocks_at_other_places_are_refused(base: Path) -> None:
    with pytest.raises(InputError, match=r"before the layers \[3, 7\], expected \[1, 3, 5, 7\]"):
        taken(base, STATE, every=2)
    moved = {name.replace(f"{LIST}.7.", f"{LIST}.{LAYERS}."): tensor for name, tensor in STATE.items()}
    with pytest.raises(
        InputError, match=rf"before the layers \[3, {LAYERS}\]; the language model has {LAYERS}"
    ):
        taken(base, moved, every=0)
    moved = {name.replace(f"{LIST}.7.", f"{LIST}.5."): tensor for name, tensor in STATE.items()}
    assert taken(base, moved, every=0).parts.blocks == (3, 5)
    with pytest.raises(InputError, match=r"expected \[3, 7\]"):
        taken(base, moved)


def test_two_names_of_one_tensor_must_agree(base: Path) -> None:
    other = {
        name.replace(f"{LIST}.", f"{INSIDE}.").replace(".7.", ".7.gated_cross_attn_layer."): tensor + 0
        for name, tensor in STATE.items()
        if name.startswith(f"{LIST}.7.")
    }
    assert taken(base, STATE | other).warnings == ()
    name = f"{INSIDE}.7.gated_cross_attn_layer.ff.1.weight"
    other[name] = other[name].clone()
    other[name][-1, -1] += 1
    with pytest.raises(InputError, match=r"gated_cross_attn_layer\.ff\.1\.weight.*holds other numbers than"):
        taken(base, STATE | other)


def test_a_file_that_asks_for_more_than_tensors_is_not_executed(base: Path, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return (open, (str(tmp_path / "written"), "w"))

    path = tmp_path / "evil.pt"
    torch.save({"model_state_dict": STATE, "optimizer_state_dict": Evil()}, path)
    with pytest.raises(InputError, match="refers to"):
        take_apart_flamingo(path, CheckpointFolder(base))
    assert not (tmp_path / "written").exists()


def test_only_headers_and_the_embedding_are_read(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from medbench_local.acquire.conversion import tensor

    read: list[str] = []
    plain = tensor.StoredTensor.rows

    def told(self: tensor.StoredTensor, begin: int, end: int) -> Any:
        read.append(self.name)
        return plain(self, begin, end)

    monkeypatch.setattr(tensor.StoredTensor, "rows", told)
    taken(base, STATE, names="both")
    assert set(read) <= {EMBEDDING, "model.embed_tokens.weight"}
