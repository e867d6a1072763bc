"""LLaVA checkpoints taken apart: merged bit by bit as the script does that comes with them, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from medbench_local.acquire.conversion.checkpoint import CheckpointFolder
from medbench_local.acquire.conversion.convert import convert_checkpoint
from medbench_local.acquire.conversion.pictures.llava import take_apart_difference, take_apart_whole
from medbench_local.acquire.conversion.pictures.taken_apart import TakenApart
from medbench_local.acquire.conversion.vocabulary import read_vocabulary
from medbench_local.errors import AcquireError, InputError, MedbenchError, UsageError
from tests.acquire.checkpoints import edit_json, numbers, write_json, write_weights
from tests.acquire.gguf_content import read_content
from tests.vision_toys import (
    LLAVA_TOKENS,
    State,
    base_state,
    buffers,
    difference,
    edit_config,
    llava_15_state,
    llava_state,
    pieces,
    tower_state,
    write_base,
    write_difference,
    write_exported,
    write_llava_15,
)

ROWS = pieces(None)
BASE = base_state(ROWS)
NORM = "model.norm.weight"


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return write_base(tmp_path / "base", BASE)


def taken(base: Path, delta: Path) -> TakenApart:
    return take_apart_difference(CheckpointFolder(base), CheckpointFolder(delta))


def by_the_script(base: State, delta: State) -> State:
    """What the script that comes with such weights computes, in torch's float16."""
    merged = {name: tensor.clone() for name, tensor in delta.items()}
    for name, tensor in merged.items():
        if name in base and "inv_freq" not in name:
            rows = len(base[name])
            tensor[:rows] += base[name].half()
    return merged


# --- merging


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.bfloat16])
def test_sums_are_those_of_torch_bit_by_bit(tmp_path: Path, dtype: torch.dtype) -> None:
    target = llava_state(BASE, seed=1)
    stored = {name: tensor.to(dtype) for name, tensor in BASE.items()}
    base = write_base(tmp_path / "base", stored)
    delta = write_difference(tmp_path / "delta", BASE, target=target)
    language = taken(base, delta).language
    published = difference(target, BASE)
    merged = by_the_script({name: tensor.to(dtype) for name, tensor in BASE.items()}, published)
    projector = {name for name in merged if "mm_projector" in name}
    assert set(language.tensors) == set(merged) - projector
    for name, tensor in language.tensors.items():
        np.testing.assert_array_equal(numbers(tensor), merged[name].numpy(), err_msg=name)
        assert tensor.dtype == "F16"
    if dtype == torch.float16:
        lost = sum(int((merged[name] != target[name]).sum()) for name in target)
        assert lost < sum(map(torch.numel, target.values())) // 2  # rounding only


@pytest.mark.parametrize("seed", range(3))
def test_any_two_float16_numbers_are_added_as_in_torch(tmp_path: Path, seed: int) -> None:
    """Sums of numbers of very different sizes, subnormal ones and ties included."""
    generator = torch.Generator().manual_seed(seed)

    def wild(shape: torch.Size) -> torch.Tensor:
        bits = torch.randint(0, 1 << 16, shape, generator=generator, dtype=torch.int32).to(torch.int16)
        values = bits.view(torch.float16)
        return torch.where(values.isfinite() & (values.abs() < 30000), values, torch.zeros_like(values))

    name = "model.layers.2.mlp.up_proj.weight"
    one, other = wild(BASE[name].shape), wild(BASE[name].shape)
    base = write_base(tmp_path / "base", BASE | {name: one})
    target = llava_state(BASE, seed=1)
    delta = write_difference(tmp_path / "delta", BASE, target=target)
    state = difference(target, BASE) | {name: other}
    write_weights(delta, {**state, **buffers()}, kind="bin", shards=2)
    ours = numbers(taken(base, delta).language.tensors[name])
    np.testing.assert_array_equal(ours, (one + other).numpy())


def test_the_gguf_is_that_of_the_merged_model(tmp_path: Path, base: Path) -> None:
    target = llava_state(BASE, seed=1)
    delta = write_difference(tmp_path / "delta", BASE, target=target, rms_norm_eps=1e-5)
    merged = by_the_script(BASE, difference(target, BASE))
    plain = {name: tensor for name, tensor in merged.items() if "mm_projector" not in name}
    by_hand = write_base(tmp_path / "merged", plain, rms_norm_eps=1e-5)
    write_json(by_hand / "added_tokens.json", {text: ROWS + i for i, text in enumerate(LLAVA_TOKENS)})
    convert_checkpoint(taken(base, delta).language, tmp_path / "ours.gguf")
    convert_checkpoint(by_hand, tmp_path / "theirs.gguf")
    ours, theirs = read_content(tmp_path / "ours.gguf"), read_content(tmp_path / "theirs.gguf")
    assert ours.tensors == theirs.tensors
    # the difference's own configuration counts; added tokens are control tokens here
    assert ours.value("llama.attention.layer_norm_rms_epsilon") == pytest.approx(1e-5)
    assert {key for key, value in ours.metadata.items() if theirs.metadata.get(key) != value} <= {
        "tokenizer.ggml.token_type",
        "tokenizer.ggml.unknown_token_id",
    }


def test_the_projector_is_taken_whole(tmp_path: Path, base: Path) -> None:
    target = llava_state(BASE, seed=1)
    found = taken(base, write_difference(tmp_path / "delta", BASE, target=target))
    assert set(found.tensors) == {"projector.0.weight", "projector.0.bias"}
    for half in ("weight", "bias"):
        theirs = target[f"model.mm_projector.{half}"].numpy()
        np.testing.assert_array_equal(numbers(found.tensors[f"projector.0.{half}"]), theirs)
    parts = found.parts
    assert (parts.begin, parts.patch, parts.end) == ("<im_start>", "<im_patch>", "<im_end>")
    assert (parts.layer, parts.crop, parts.aspect, parts.projector) == (-2, "floor", "crop", "linear")


def test_without_tokens_around_a_picture_its_patches_stand_alone(tmp_path: Path, base: Path) -> None:
    target = llava_state(BASE, seed=1, tokens=1)
    found = taken(base, write_difference(tmp_path / "d", BASE, target=target, mm_use_im_start_end=False))
    assert (found.parts.begin, found.parts.patch, found.parts.end) == ("", "<im_patch>", "")


# --- added tokens


def tokens_of(found: TakenApart) -> list[str]:
    rows = found.language.tensors["model.embed_tokens.weight"].shape[0]
    vocabulary = read_vocabulary(found.language.tokenizer, rows, found.language.config)
    assert all(token.type == 3 for token in vocabulary.tokens[ROWS:] if not token.text.startswith("[PAD4"))
    return [token.text for token in vocabulary.tokens[ROWS:]]


@pytest.mark.parametrize(
    "order",
    [
        ("<im_patch>", "<im_start>", "<im_end>"),
        ("<im_patch>", "<im_start>", "<im_end>", "[PAD]"),
        ("[PAD]", "<im_patch>", "<im_start>", "<im_end>"),
        ("<im_end>", "<im_start>", "<im_patch>"),
    ],
)
@pytest.mark.parametrize("where", ["added_tokens.json", "tokenizer_config.json"])
def test_ids_come_from_the_files(tmp_path: Path, base: Path, order: tuple[str, ...], where: str) -> None:
    added = {text: ROWS + i for i, text in enumerate(order)}
    delta = write_difference(
        tmp_path / "delta",
        BASE,
        target=llava_state(BASE, seed=1, tokens=len(order)),
        added=added if where == "added_tokens.json" else {},
    )
    if where == "tokenizer_config.json":
        decoder = {str(i): {"content": text, "special": False} for text, i in added.items()}
        edit_json(delta / where, added_tokens_decoder={"1": {"content": "<s>", "special": True}, **decoder})
    assert tokens_of(taken(base, delta)) == list(order)


def test_without_the_files_three_rows_have_the_usual_order_and_four_are_asked_about(
    tmp_path: Path, base: Path
) -> None:
    three = write_difference(tmp_path / "three", BASE, target=llava_state(BASE, seed=1), added={})
    assert tokens_of(taken(base, three)) == list(LLAVA_TOKENS)
    four = write_difference(tmp_path / "four", BASE, target=llava_state(BASE, seed=1, tokens=4), added={})
    with pytest.raises(
        InputError, match=r"4 rows more than the base's 400.*which of them are these 3"
    ) as caught:
        taken(base, four)
    assert "added_tokens.json" in caught.value.advice


@pytest.mark.parametrize(
    ("added", "says"),
    [
        (
            {"<im_patch>": 400, "<im_start>": 401, "<im_end>": 403},
            r"'<im_end>' has the ids \[403\]; the embedding has rows up to 402",
        ),
        ({"<im_patch>": 400, "<im_start>": 401}, "'<im_end>' is not among the added tokens"),
        ({"<im_patch>": 400, "<im_start>": 400, "<im_end>": 402}, "given twice"),
        ({"<im_patch>": "400"}, "not a token id"),
    ],
)
def test_ids_that_contradict_the_rows_are_refused(
    tmp_path: Path, base: Path, added: dict[str, int], says: str
) -> None:
    delta = write_difference(tmp_path / "d", BASE, target=llava_state(BASE, seed=1), added=added)
    with pytest.raises(InputError, match=says):
        taken(base, delta)


def test_tokens_that_the_base_s_tokenizer_adds_beyond_its_rows_do_not_count(
    tmp_path: Path, base: Path
) -> None:
    write_json(base / "added_tokens.json", {"[PAD]": ROWS})
    assert tokens_of(
        taken(base, write_difference(tmp_path / "d", BASE, target=llava_state(BASE, seed=1)))
    ) == list(LLAVA_TOKENS)


# --- what is refused


def without(name: str) -> Callable[[State], State]:
    return lambda state: {key: value for key, value in state.items() if key != name}


def with_more(**more: torch.Tensor) -> Callable[[State], State]:
    return lambda state: state | {name.replace("__", "."): tensor for name, tensor in more.items()}


WRONG_WEIGHTS: dict[str, tuple[Callable[[State], State], str]] = {
    "a tensor is missing": (without("model.layers.3.mlp.up_proj.weight"), "no difference to it"),
    "an unknown one": (with_more(model__extra__weight=torch.ones(2, 2).half()), "nothing to add it to"),
    "a tower": (
        with_more(model__vision_tower__vision_model__x=torch.ones(2, 2).half()),
        "nothing to add it to",
    ),
    "no projector": (without("model.mm_projector.weight"), "the projector: its tensors are projector.0.bias"),
    "another width": (
        with_more(model__mm_projector__weight=torch.ones(63, 48).half()),
        "makes 63 numbers, the language model takes 64",
    ),
    "an input that is not the tower's": (
        with_more(model__mm_projector__weight=torch.ones(64, 47).half()),
        "says 48, the projector takes 47",
    ),
    "another shape": (with_more(lm_head__weight=torch.ones(403, 63).half()), r"shape \[403, 63\]"),
    "a whole model": (
        lambda state: by_the_script(BASE, state),
        "these are the weights of a model, not differences to another one",
    ),
}


@pytest.mark.parametrize(("change", "says"), WRONG_WEIGHTS.values(), ids=WRONG_WEIGHTS)
def test_weights_that_do_not_fit_are_refused(
    tmp_path: Path, base: Path, change: Callable[[State], State], says: str
) -> None:
    target = llava_state(BASE, seed=1)
    delta = write_difference(tmp_path / "delta", BASE, target=target)
    write_weights(delta, change(difference(target, BASE)), kind="bin", shards=2)
    with pytest.raises(InputError, match=says):
        taken(base, delta)


def scaled(factor: float) -> State:
    return {name: tensor * factor for name, tensor in BASE.items()}


WRONG_BASES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "larger": (
        lambda folder: write_base(folder, {**BASE, "model.embed_tokens.weight": torch.ones(ROWS, 96).half()}),
        r"shape \[400, 96\]; the difference .* has \[403, 64\] and belongs to another model",
    ),
    "more tokens": (
        lambda folder: write_base(folder, {**BASE, "model.embed_tokens.weight": torch.ones(404, 64).half()}),
        r"shape \[404, 64\]",
    ),
    "another model": (
        lambda folder: write_base(folder, {**BASE, NORM: torch.full((64,), 0.0).half()}),
        "these are the weights of a model, not differences",
    ),
    "one token more": (
        lambda folder: write_base(
            folder, {n: torch.cat([t, t[:1]]) if t.shape[0] == ROWS else t for n, t in BASE.items()}
        ),
        "is not among the added tokens",
    ),
}


@pytest.mark.parametrize(("write", "says"), WRONG_BASES.values(), ids=WRONG_BASES)
def test_another_base_is_refused(tmp_path: Path, write: Callable[[Path], Path], says: str) -> None:
    delta = write_difference(tmp_path / "delta", BASE, target=llava_state(BASE, seed=1))
    with pytest.raises(InputError, match=says):
        taken(write(tmp_path / "other"), delta)


def test_a_sum_that_is_noise_is_refused(tmp_path: Path, base: Path) -> None:
    """Differences to a model whose weights are far larger."""
    target = llava_state(BASE, seed=1)
    delta = write_difference(tmp_path / "delta", BASE, target=target)
    state = difference(target, BASE)
    state["model.embed_tokens.weight"][:ROWS] = target["model.embed_tokens.weight"][:ROWS] * 30
    write_weights(delta, state, kind="bin", shards=2)
    with pytest.raises(InputError, match="is not the model that these are differences to"):
        taken(base, delta)


def test_a_sum_beyond_float16_is_refused(tmp_path: Path) -> None:
    name = "model.layers.2.mlp.up_proj.weight"
    state = dict(BASE)
    state[name] = BASE[name].clone()
    state[name][3, 3] = 40000.0
    base = write_base(tmp_path / "base", state)
    target = llava_state(BASE, seed=1)
    delta = write_difference(tmp_path / "delta", BASE, target=target)
    published = difference(target, BASE)
    published[name][3, 3] = 40000.0
    write_weights(delta, published, kind="bin", shards=2)
    with pytest.raises(AcquireError, match=r"up_proj\.weight has values beyond the range of f16"):
        convert_checkpoint(taken(base, delta).language, tmp_path / "x.gguf")


WRONG_CONFIG: dict[str, tuple[dict[str, object], str]] = {
    "not said": ({"mm_use_im_start_end": None}, "key 'mm_use_im_start_end': missing"),
    "nonsense": ({"mm_use_im_start_end": "yes"}, "expected true or false"),
    "biomedclip": (
        {"mm_vision_tower": "microsoft/BiomedCLIP-PubMedBERT_256"},
        "another one than OpenAI's CLIP",
    ),
    "siglip": ({"mm_vision_tower": "google/siglip-so400m"}, "another one than OpenAI's CLIP"),
    "a layer that is none": ({"mm_vision_select_layer": "last"}, "expected the number of a layer"),
    "with the whole": ({"mm_vision_select_feature": "cls_patch"}, "mm_vision_select_feature 'cls_patch'"),
    "tiles": ({"image_aspect_ratio": "anyres"}, "image_aspect_ratio 'anyres'"),
    "spatial": ({"mm_patch_merge_type": "spatial_unpad"}, "mm_patch_merge_type"),
    "no projector": ({"use_mm_proj": False}, "key 'use_mm_proj'"),
    "another projector": ({"mm_projector_type": "mlp2x_gelu"}, "the tensors are those of 'linear'"),
    "another class": ({"architectures": ["LlavaQwenForCausalLM"]}, "is no LLaVA that can be used"),
}


@pytest.mark.parametrize(("changes", "says"), WRONG_CONFIG.values(), ids=WRONG_CONFIG)
def test_configurations_that_are_not_computed_are_refused(
    tmp_path: Path, base: Path, changes: dict[str, object], says: str
) -> None:
    delta = write_difference(tmp_path / "delta", BASE, target=llava_state(BASE, seed=1))
    edit_config(delta, **changes)
    with pytest.raises((MedbenchError, UsageError), match=says):
        taken(base, delta)


def test_another_layer_is_taken_with_a_warning(tmp_path: Path, base: Path) -> None:
    delta = write_difference(
        tmp_path / "d", BASE, target=llava_state(BASE, seed=1), mm_vision_select_layer=-3
    )
    found = taken(base, delta)
    assert found.parts.layer == -3
    assert "models of this kind take -2" in found.warnings[0]


# --- whole models


def whole(folder: Path) -> TakenApart:
    return take_apart_whole(CheckpointFolder(folder))


@pytest.mark.parametrize("mistral", [False, True])
@pytest.mark.parametrize("tower", [None, tower_state(seed=11)], ids=["alone", "with its tower"])
def test_llava_15_is_taken_apart(tmp_path: Path, mistral: bool, tower: State | None) -> None:
    found = whole(write_llava_15(tmp_path / "x", BASE, mistral=mistral, tower=tower))
    state = llava_15_state(ROWS, keys=2 if mistral else 4)
    assert set(found.tensors) == {
        f"projector.{layer}.{half}" for layer in (0, 2) for half in ("weight", "bias")
    }
    np.testing.assert_array_equal(
        numbers(found.tensors["projector.2.bias"]), state["model.mm_projector.2.bias"].numpy()
    )
    for name, tensor in found.language.tensors.items():
        np.testing.assert_array_equal(numbers(tensor), state[name].numpy(), err_msg=name)
    assert len(found.language.tensors) == len(state) - 4
    assert set(found.tower) == {name.removeprefix("vision_model.") for name in tower or {}}
    parts = found.parts
    assert (parts.projector, parts.aspect, parts.begin, parts.patch) == ("mlp2x_gelu", "pad", "", "")
    convert_checkpoint(found.language, tmp_path / "x.gguf")
    written = read_content(tmp_path / "x.gguf")
    assert written.value("llama.rope.freq_base") == (1000000.0 if mistral else 10000.0)
    assert written.value("llama.attention.head_count_kv") == (2 if mistral else 4)


def test_a_merged_llava_of_the_first_release_keeps_its_tokens(tmp_path: Path) -> None:
    """What the script leaves in a folder is a model too."""
    target = llava_state(BASE, seed=1)
    folder = write_difference(tmp_path / "merged", BASE, target=target)
    write_weights(folder, target, kind="bin", shards=2)
    found = whole(folder)
    assert (found.parts.begin, found.parts.patch, found.parts.projector) == (
        "<im_start>",
        "<im_patch>",
        "linear",
    )
    (folder / "added_tokens.json").unlink()
    with pytest.raises(InputError, match="token <im_patch>: no added token with a row"):
        whole(folder)


@pytest.mark.parametrize("newer", [False, True])
def test_exported_names_are_read(tmp_path: Path, newer: bool) -> None:
    state, tower = llava_15_state(ROWS), tower_state()
    found = whole(write_exported(tmp_path / "x", state, tower, newer=newer))
    own = whole(write_llava_15(tmp_path / "y", BASE))
    assert found.parts.projector == own.parts.projector
    for mine, theirs in ((found.tensors, own.tensors), (found.language.tensors, own.language.tensors)):
        assert set(mine) == set(theirs)
        for name in mine:
            np.testing.assert_array_equal(numbers(mine[name]), numbers(theirs[name]), err_msg=name)
    assert {f"vision_model.{name}" for name in found.tower} == set(tower)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"vision_feature_select_strategy": "full"}, "vision_feature_select_strategy 'full'"),
        ({"projector_hidden_act": "relu"}, "projector_hidden_act 'relu'"),
        ({"text_config": None}, "key 'text_config'"),
        ({"vision_feature_layer": [-2, -5]}, "expected the number of a layer"),
    ],
)
def test_exported_configurations_that_are_not_computed_are_refused(
    tmp_path: Path, changes: dict[str, object], says: str
) -> None:
    folder = write_exported(tmp_path / "x", llava_15_state(ROWS), tower_state())
    edit_config(folder, **changes)
    with pytest.raises(MedbenchError, match=says):
        whole(folder)


def test_an_exported_configuration_that_says_little_is_filled_as_in_transformers(tmp_path: Path) -> None:
    folder = write_exported(tmp_path / "x", llava_15_state(ROWS), tower_state())
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    text = {key: config["text_config"][key] for key in ("model_type", "vocab_size", "rms_norm_eps")}
    edit_config(folder, text_config=text)
    with pytest.raises(InputError, match="makes 64 numbers, the language model takes 4096"):
        whole(folder)
    sizes = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    edit_config(folder, text_config=text | {key: config["text_config"][key] for key in sizes})
    assert convert_checkpoint(whole(folder).language, tmp_path / "x.gguf").warnings == ()


def test_differences_are_not_taken_for_a_model(tmp_path: Path) -> None:
    folder = write_difference(tmp_path / "delta", BASE, target=llava_state(BASE, seed=1))
    with pytest.raises(InputError, match="these are differences to the weights of another model") as caught:
        whole(folder)
    assert "`base=`" in caught.value.advice


def test_a_difference_keeps_its_memory_small(tmp_path: Path, base: Path) -> None:
    """Tensors are views: nothing but headers and a few rows is read to take a model apart."""
    delta = write_difference(tmp_path / "delta", BASE, target=llava_state(BASE, seed=1))
    found = taken(base, delta)
    shutil.rmtree(delta)
    with pytest.raises(OSError, match="No such file"):
        numbers(found.language.tensors["model.layers.0.mlp.up_proj.weight"])
