"""LLaVA checkpoints as their users have them, loaded with transformers and torch, not by our own conversion.

* as transformers saves them (``LlavaForConditionalGeneration``): that class.
* LLaVA 1.5 in its own layout, with a projector of two matrices: the same class, its tensors under other names.
* the first LLaVA and LLaVA-Med, with a projector of one matrix: `LlavaOfParts`; whole, or as a difference to a base,
  to which it is added as the script that comes with it does, in float16.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from medbench_local.acquire.picture_folders import DIFFERENCE_OR_WHOLE, EXPORTED, refuse_other_tower
from medbench_local.errors import InputError, UnsupportedArchitectureError, UsageError
from medbench_local.files.json_objects import read_json_object
from medbench_local.reference.picture_model import (
    Eye,
    LlavaClass,
    LlavaOfParts,
    PictureModel,
    Seeing,
    Sight,
    processor_in,
)
from medbench_local.reference.tokens import Tokenizer, read_tokenizer
from medbench_local.reference.torch_weights import added_tokens, weights_in
from medbench_local.reference.transformers_model import DType, libraries, loaded

PATCH, START, END = "<im_patch>", "<im_start>", "<im_end>"

_PROJECTOR = "model.mm_projector."
_TOWER = "model.vision_tower.vision_tower."
_BUFFERS = re.compile(r".*\.(?:inv_freq|position_ids)")
_GROWN = ("model.embed_tokens.weight", "lm_head.weight")
_NORM = "model.norm.weight"
_LANGUAGE = {"LlamaConfig": "LlamaForCausalLM", "MistralConfig": "MistralForCausalLM"}


def is_llava(folder: Path) -> bool:
    """Whether a folder's config.json is that of a LLaVA."""
    config = read_json_object(folder / "config.json")
    return config.get("architectures") in [[name] for name in (*DIFFERENCE_OR_WHOLE, EXPORTED)] or (
        "mm_vision_tower" in config
    )


def load_llava(folder: Path, *, base: Path | None, tower: Path | None, dtype: DType, device: str) -> Seeing:
    """Load a checkpoint.

    Args:
        folder: with the checkpoint, or with a difference to ``base``.
        base: the language model that is added to; None where the weights are whole.
        tower: the folder of the CLIP model; None where the checkpoint holds everything.
        dtype: of weights and arithmetic.
        device: where it is computed.

    Raises:
        UsageError: a part is missing, or one is named that the checkpoint does not take.
        InputError: a file is missing or damaged, or the parts do not fit together.
        UnsupportedArchitectureError: pictures are shown in a way that is not computed here.
        AcquireError: transformers cannot load it.
    """
    path = folder / "config.json"
    config = read_json_object(path)
    if config.get("architectures") == [EXPORTED]:
        if base is not None or tower is not None:
            raise UsageError(
                f"{folder} holds its language model and its tower.",
                advice="Leave `base=` and `vision_tower=` out.",
            )
        return _exported(folder, config, dtype, device)
    _refuse_other_ways(path, config)
    if tower is None:
        raise UsageError(
            f"{folder} names what looks at pictures ({str(config.get('mm_vision_tower'))[:80]}), and does not hold it.",
            advice="Give the folder of that CLIP model as `vision_tower=`.",
        )
    weights = _whole(folder, weights_in(folder)) if base is None else _sums(folder, base)
    return _own_layout(folder, base, tower, config, weights, dtype, device)


def _refuse_other_ways(path: Path, config: Mapping[str, Any]) -> None:
    refuse_other_tower(path, str(config.get("mm_vision_tower") or ""))
    for key, known in (
        ("image_aspect_ratio", ("square", "pad")),
        ("mm_vision_select_feature", ("patch",)),
        ("mm_patch_merge_type", ("flat",)),
        ("mm_projector_type", ("linear", "mlp2x_gelu")),
    ):
        if config.get(key) not in (None, *known):
            raise UnsupportedArchitectureError(
                f"{path}: {key} {config[key]!r:.80} is not computed here, only {' and '.join(known)}."
            )


def _exported(folder: Path, config: Mapping[str, Any], dtype: DType, device: str) -> Seeing:
    _, transformers = libraries()
    seen = config.get("vision_config")
    if not isinstance(seen, Mapping) or config.get("vision_feature_select_strategy", "default") != "default":
        raise UnsupportedArchitectureError(
            f"{folder / 'config.json'}: no CLIP tower whose patches are taken, which alone is computed here."
        )
    processor = processor_in(folder)
    pads = bool(read_json_object(folder / "preprocessor_config.json").get("do_pad"))
    kind = transformers.CLIPVisionConfig.from_dict(dict(seen))
    network = LlavaClass(
        folder,
        dtype=dtype,
        device=device,
        load=lambda: loaded(transformers.LlavaForConditionalGeneration, folder, dtype),
        eye=Eye(processor, pads),
        each=_rows(kind),
    )
    return Seeing(network, read_tokenizer(folder, network.rows), ("", "", ""))


def _own_layout(
    folder: Path,
    base: Path | None,
    tower: Path,
    config: Mapping[str, Any],
    weights: Mapping[str, Any],
    dtype: DType,
    device: str,
) -> Seeing:
    torch, transformers = libraries()
    projector = {
        name.removeprefix(_PROJECTOR): t for name, t in weights.items() if name.startswith(_PROJECTOR)
    }
    inside = {name.removeprefix(_TOWER): t for name, t in weights.items() if name.startswith(_TOWER)}
    language = {
        name: t for name, t in weights.items() if not name.startswith((_PROJECTOR, "model.vision_tower."))
    }
    rows = len(language[_GROWN[0]])
    stored = {torch.float32: "float32", torch.float16: "float16", torch.bfloat16: "bfloat16"}
    chosen = stored[language[_GROWN[0]].dtype] if dtype == "checkpoint" else dtype
    seen = transformers.CLIPVisionConfig.from_pretrained(str(tower), local_files_only=True)
    eye = Eye(processor_in(tower), config.get("image_aspect_ratio") == "pad")
    layer = config.get("mm_vision_select_layer", -2)
    names = {"config": _language_config(config, rows, transformers), "state_dict": language}
    network: PictureModel
    if set(projector) == {"weight", "bias"}:
        if inside:
            look = loaded(
                transformers.CLIPVisionModel, folder, chosen, config=seen, state_dict=_named(inside)
            )
        else:
            look = loaded(transformers.CLIPVisionModel, tower, dtype)
        to = getattr(torch, chosen)
        sight = Sight(look, layer, projector["weight"].to(to), projector["bias"].to(to))
        kind = getattr(transformers, _LANGUAGE[type(names["config"]).__name__])
        network = LlavaOfParts(
            folder,
            dtype=dtype,
            device=device,
            load=lambda: loaded(kind, folder, chosen, **names),
            eye=eye,
            each=_rows(seen),
            sight=sight,
        )
    elif set(projector) == {f"{i}.{half}" for i in (0, 2) for half in ("weight", "bias")}:
        if not inside:
            inside = {name: read() for name, read in weights_in(tower).items()}
        whole = transformers.LlavaConfig(
            text_config=names["config"],
            vision_config=seen,
            projector_hidden_act="gelu",
            vision_feature_layer=layer,
            vision_feature_select_strategy="default",
        )
        state = {f"language_model.{name}": t for name, t in language.items()}
        state |= {f"vision_tower.{name}": t for name, t in _named(inside).items()}
        for i, linear in ((0, "linear_1"), (2, "linear_2")):
            state |= {
                f"multi_modal_projector.{linear}.{h}": projector[f"{i}.{h}"] for h in ("weight", "bias")
            }
        network = LlavaClass(
            folder,
            dtype=dtype,
            device=device,
            load=lambda: loaded(
                transformers.LlavaForConditionalGeneration, folder, chosen, config=whole, state_dict=state
            ),
            eye=eye,
            each=_rows(seen),
        )
    else:
        found = ", ".join(sorted(projector)) or "none"
        raise InputError(folder, "the projector", f"its tensors are {found}; expected one matrix or two")
    return Seeing(network, *_tokens(folder, base, config, rows))


def _rows(config: Any) -> int:
    return int((config.image_size // config.patch_size) ** 2)


def _named(tower: Mapping[str, Any]) -> dict[str, Any]:
    """The tensors of a tower under the names of `CLIPVisionModel`, without those of what reads texts."""
    return {
        name: tensor
        for name, tensor in tower.items()
        if name.startswith("vision_model.") and not _BUFFERS.fullmatch(name)
    }


def _language_config(config: Mapping[str, Any], rows: int, transformers: Any) -> Any:
    names = config.get("architectures")
    name = names[0] if isinstance(names, list) and len(names) == 1 else None
    if name not in (*DIFFERENCE_OR_WHOLE, "LlamaForCausalLM"):
        raise UnsupportedArchitectureError(
            f"{names!r:.80} is no LLaVA that can be computed; known are {', '.join(DIFFERENCE_OR_WHOLE)}."
        )
    kind = transformers.MistralConfig if "Mistral" in name else transformers.LlamaConfig
    left_out = ("architectures", "model_type", "torch_dtype", "dtype", "transformers_version", "auto_map")
    fields = {
        key: value
        for key, value in config.items()
        if key not in left_out and not key.startswith("mm_") and not key.endswith("_token_id")
    }
    return kind.from_dict({**fields, "vocab_size": rows})


def _whole(folder: Path, readers: Mapping[str, Callable[[], Any]]) -> dict[str, Any]:
    found = {name: read() for name, read in readers.items() if not _BUFFERS.fullmatch(name)}
    for name in (_NORM, _GROWN[0]):
        if name not in found:
            raise InputError(
                folder, f"tensor '{name}'", "missing: this is no language model that is known here"
            )
    if found[_NORM].float().abs().mean() < 0.1:
        raise InputError(
            folder,
            f"tensor '{_NORM}'",
            "so small that these are differences to the weights of another model",
            advice="Name that model with `base=`.",
        )
    return found


def _sums(folder: Path, base: Path) -> dict[str, Any]:
    """What a difference and its base make, in float16."""
    own, below = weights_in(folder), weights_in(base)
    if _NORM not in own or _NORM not in below:
        raise InputError(folder if _NORM not in own else base, f"tensor '{_NORM}'", "missing")
    if own[_NORM]().float().abs().mean() > 0.5 * below[_NORM]().float().abs().mean():
        raise InputError(
            folder,
            f"tensor '{_NORM}'",
            "as large as the base's: these are the weights of a model, not differences to another one",
            advice="Leave `base=` out.",
        )
    lacking = [name for name in below if name not in own and not _BUFFERS.fullmatch(name)]
    if lacking:
        raise InputError(folder, f"tensor '{lacking[0]}'", f"missing, and {base} has it")
    found = {}
    for name, read in own.items():
        if _BUFFERS.fullmatch(name):
            continue
        tensor = read().half()
        if name in below:
            term = below[name]().half()
            rows = len(term)
            if tensor.shape != term.shape and (
                name not in _GROWN or rows > len(tensor) or tensor.shape[1:] != term.shape[1:]
            ):
                raise InputError(
                    base,
                    f"tensor '{name}'",
                    f"shape {list(term.shape)}; the difference has {list(tensor.shape)} and belongs to another model",
                )
            tensor = tensor.clone()
            tensor[:rows] += term
        elif not name.startswith(_PROJECTOR):
            raise InputError(folder, f"tensor '{name}'", f"{base} has none of this name to add it to")
        found[name] = tensor
    return found


def _tokens(
    folder: Path, base: Path | None, config: Mapping[str, Any], rows: int
) -> tuple[Tokenizer, tuple[str, str, str]]:
    """The tokenizer, and what is written around and in the place of a picture."""
    known = {i: text for i, text in added_tokens(folder).items() if i < rows}
    marked = bool(config.get("mm_use_im_start_end"))
    marks = (START, PATCH, END) if marked else ("", PATCH if config.get("mm_use_im_patch_token") else "", "")
    if base is not None and not marked:
        marks = ("", PATCH, "")
    for text in filter(None, marks):
        if text not in known.values():
            raise InputError(
                folder,
                f"token {text}",
                "neither added_tokens.json nor tokenizer_config.json has it",
                advice="Put added_tokens.json beside the weights.",
            )
    if base is None:
        own = {i: text for i, text in known.items() if text in marks}
        return read_tokenizer(folder, rows, own), marks
    below = len(weights_in(base)[_GROWN[0]]())
    tokenizer = read_tokenizer(base, rows, {i: text for i, text in known.items() if i >= below})
    return tokenizer, marks
