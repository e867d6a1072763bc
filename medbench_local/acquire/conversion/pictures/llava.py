"""LLaVA checkpoints taken apart: differences to a language model, and whole ones in both layouts.

Liu et al., "Visual Instruction Tuning", NeurIPS 2023. A projector of one or two matrices makes what a CLIP tower says
of each patch into what the language model takes for the embedding of a token.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from medbench_local.acquire.conversion.architectures import architectures
from medbench_local.acquire.conversion.checkpoint import Checkpoint, CheckpointView, GrownTokenizer
from medbench_local.acquire.conversion.pictures.added_tokens import (
    END,
    PATCH,
    START,
    added_ids,
    grown_tokenizer,
    with_special_ids,
)
from medbench_local.acquire.conversion.pictures.likely import (
    refuse_difference,
    refuse_unlikely_sum,
    refuse_whole_weights,
    warn_of_other_base,
)
from medbench_local.acquire.conversion.pictures.llava_config import LlavaConfig, read_llava_config
from medbench_local.acquire.conversion.pictures.taken_apart import NO_TOWER, TakenApart
from medbench_local.acquire.conversion.sentencepiece_tokens import added_tokens_of
from medbench_local.acquire.conversion.tensor import Tensor
from medbench_local.acquire.conversion.views.delta import add_delta
from medbench_local.acquire.conversion.weight_plan import embedding_rows
from medbench_local.acquire.picture_folders import EXPORTED
from medbench_local.errors import InputError, UnsupportedArchitectureError
from medbench_local.vision.parts import VisionParts

_EMBEDDING = "model.embed_tokens.weight"
_PROJECTOR = re.compile(
    r"model\.mm_projector\.(?:(?P<layer>[02])\.)?(?P<half>weight|bias)"
    r"|(?:model\.)?multi_modal_projector\.linear_(?P<linear>[12])\.(?P<end>weight|bias)"
)
_TOWER = re.compile(
    r"(?:model\.vision_tower\.vision_tower|(?:model\.)?vision_tower)\.(?P<name>(?:vision_model\.)?.+)"
)
_LANGUAGE = (("model.language_model.", "model."), ("language_model.", ""))
"""How the language model's tensors are called in exported checkpoints, and alone."""

_CLASSES = {
    "LlavaLlamaForCausalLM": "LlamaForCausalLM",
    "LlavaMistralForCausalLM": "MistralForCausalLM",
    "LlamaForCausalLM": "LlamaForCausalLM",
}
_ASSUMED: dict[str, dict[str, Any]] = {
    "llama": {
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
    },
    "mistral": {
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
    },
}
"""What transformers takes where the configuration of a language model within another one has no such key."""


def take_apart_difference(base: Checkpoint, delta: Checkpoint) -> TakenApart:
    """The model whose weights, but for the projector, are published as differences to those of ``base``.

    Sums are those of the script that comes with such weights: both terms in float16, rounded to float16.

    Raises:
        InputError: the two do not fit together, or something that is needed is not said.
        AcquireError: a sum is beyond the range of its type.
        UnsupportedArchitectureError: pictures are shown in a way that is not computed here.
    """
    said = read_llava_config(delta)
    if said.marked is None:
        raise InputError(
            delta.config_file,
            "key 'mm_use_im_start_end'",
            "missing: it says whether a picture stands between tokens of its own",
            advice="Look it up where the model is published, and write it into the file.",
        )
    rows, base_rows = embedding_rows(delta, _EMBEDDING), embedding_rows(base, _EMBEDDING)
    _refuse_other_shape(base, delta, rows, base_rows)
    refuse_whole_weights(base, delta)
    both = add_delta(base, delta, whole=lambda name: _PROJECTOR.fullmatch(name) is not None, rounded="F16")
    refuse_unlikely_sum(base, both, delta)
    projector, rest = _divided(both.tensors)
    added = added_ids(delta.origin, rows, base_rows, (PATCH, START, END) if said.marked else (PATCH,))
    config = {key: value for key, value in delta.config.items() if not key.endswith("_token_id")}
    config["vocab_size"] = rows
    config |= {key: value for key, value in base.config.items() if key.endswith("_token_id")}
    language = CheckpointView(
        delta.origin,
        {**with_special_ids(config, _folder(base)), **_class_of(delta, "LlamaForCausalLM")},
        delta.config_file,
        grown_tokenizer(base, base_rows, added),
        rest.language,
    )
    made = _made(delta, said, language, projector, rest.tower, patch=PATCH, marked=said.marked)
    return replace(made, warnings=(*made.warnings, *warn_of_other_base(base, delta)))


def take_apart_whole(checkpoint: Checkpoint) -> TakenApart:
    """A model whose weights are published as they are, in LLaVA's own layout or in that of transformers.

    Raises:
        InputError: tensors are missing or contradict the configuration; or these are differences to other weights.
        UnsupportedArchitectureError: pictures are shown in a way that is not computed here.
    """
    said = read_llava_config(checkpoint)
    refuse_difference(checkpoint)
    projector, rest = _divided(checkpoint.tensors)
    exported = checkpoint.config.get("architectures") == [EXPORTED]
    config = _inner_config(checkpoint) if exported else {**checkpoint.config, **_class_of(checkpoint)}
    language = CheckpointView(
        checkpoint.origin, config, checkpoint.config_file, checkpoint.tokenizer, rest.language
    )
    rows = embedding_rows(language, _EMBEDDING)
    known = {token.text: i for i, token in added_tokens_of(_folder(checkpoint)).items()}
    marked = bool(said.marked)
    patch = PATCH if marked or (PATCH in known and checkpoint.config.get("mm_use_im_patch_token")) else ""
    for text in (PATCH, START, END) if marked else (PATCH,) * bool(patch):
        if not known.get(text, rows) < rows:
            raise InputError(
                checkpoint.origin,
                f"token {text}",
                f"no added token with a row of the embedding, which has {rows}",
                advice="Put added_tokens.json beside the weights.",
            )
    if patch:
        tokens = {i: text for text, i in known.items() if text in (PATCH, START, END)}
        language = CheckpointView(
            language.origin,
            language.config,
            language.config_file,
            GrownTokenizer(_folder(checkpoint), rows, tokens),
            language.tensors,
        )
    return _made(checkpoint, said, language, projector, rest.tower, patch=patch, marked=marked)


def _made(
    checkpoint: Checkpoint,
    said: LlavaConfig,
    language: Checkpoint,
    projector: Mapping[str, Tensor],
    tower: Mapping[str, Tensor],
    *,
    patch: str,
    marked: bool,
) -> TakenApart:
    kind = _kind_of(checkpoint, said, projector)
    width, seen = projector["projector.0.weight"].shape
    if width != language.config.get("hidden_size"):
        problem = f"makes {width} numbers, the language model takes {language.config.get('hidden_size')}"
        raise InputError(projector["projector.0.weight"].path, "the projector", problem)
    if said.tower_width not in (0, seen):
        problem = f"says {said.tower_width}, the projector takes {seen}"
        raise InputError(checkpoint.config_file, "key 'mm_hidden_size'", problem)
    parts = VisionParts(
        kind="llava",
        tower_sha256=NO_TOWER,
        layer=said.layer,
        crop="floor",
        aspect=said.aspect or "crop",
        projector=kind,
        rows=1,
        width=width,
        begin=START if marked else "",
        patch=patch,
        end=END if marked else "",
    )
    return TakenApart(
        checkpoint.origin,
        language,
        parts,
        projector,
        seen,
        tower,
        said.warnings,
        named_tower=said.tower,
        pads_as_told=not said.aspect,
    )


def _kind_of(
    checkpoint: Checkpoint, said: LlavaConfig, projector: Mapping[str, Tensor]
) -> Literal["linear", "mlp2x_gelu"]:
    kind: Literal["linear", "mlp2x_gelu"] = "mlp2x_gelu" if "projector.2.weight" in projector else "linear"
    layers = (0, 2) if kind == "mlp2x_gelu" else (0,)
    wanted = {f"projector.{layer}.{half}" for layer in layers for half in ("weight", "bias")}
    if set(projector) != wanted:
        found = ", ".join(sorted(projector)) or "none"
        raise InputError(
            checkpoint.origin,
            "the projector",
            f"its tensors are {found}; expected {', '.join(sorted(wanted))}",
        )
    if said.projector not in ("", kind):
        raise UnsupportedArchitectureError(
            f"{checkpoint.config_file}: mm_projector_type is {said.projector!r:.80}, the tensors are those of "
            f"{kind!r}; computed are 'linear' and 'mlp2x_gelu'."
        )
    if any(len(tensor.shape) != (1 if name.endswith("bias") else 2) for name, tensor in projector.items()):
        raise InputError(checkpoint.origin, "the projector", "its tensors are no matrices and vectors")
    return kind


@dataclass(frozen=True)
class _Rest:
    language: dict[str, Tensor]
    tower: dict[str, Tensor]


def _divided(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], _Rest]:
    """The projector under its names in `vision.safetensors`; the language model, and a tower, under their own."""
    projector: dict[str, Tensor] = {}
    rest = _Rest({}, {})
    for name, tensor in tensors.items():
        if match := _PROJECTOR.fullmatch(name):
            layer = match["layer"] or str(2 * (int(match["linear"]) - 1) if match["linear"] else 0)
            projector[f"projector.{layer}.{match['half'] or match['end']}"] = tensor
        elif match := _TOWER.fullmatch(name):
            rest.tower[match["name"].removeprefix("vision_model.")] = tensor
        else:
            for prefix, alone in _LANGUAGE:
                if name.startswith(prefix):
                    name = alone + name.removeprefix(prefix)
                    break
            if not name.endswith("position_ids"):
                rest.language[name] = tensor
    return projector, rest


def _class_of(checkpoint: Checkpoint, only: str = "") -> dict[str, Any]:
    """The class of the language model, and its "model_type", in place of the whole's."""
    names = checkpoint.config.get("architectures")
    name = names[0] if isinstance(names, list) and len(names) == 1 else None
    found = _CLASSES.get(name) if isinstance(name, str) else None
    if found is None or only not in ("", found):
        raise UnsupportedArchitectureError(
            f"{checkpoint.config_file}: {names!r:.80} is no LLaVA that can be used; known are {', '.join(_CLASSES)}."
        )
    return {"architectures": [found], "model_type": found.removesuffix("ForCausalLM").lower()}


def _inner_config(checkpoint: Checkpoint) -> dict[str, Any]:
    """The configuration of the language model in an exported checkpoint, with what transformers assumes."""
    text = checkpoint.config.get("text_config")
    if not isinstance(text, Mapping):
        raise InputError(checkpoint.config_file, "key 'text_config'", f"expected an object, not {text!r:.80}")
    kind = text.get("model_type", "llama")
    config = {**_ASSUMED.get(str(kind), {}), **text, "model_type": kind}
    if not config.get("architectures"):
        wanted = f"{kind}forcausallm".replace("_", "")
        config["architectures"] = [name for name in architectures() if name.lower() == wanted] or [str(kind)]
    return config


def _refuse_other_shape(base: Checkpoint, delta: Checkpoint, rows: int, base_rows: int) -> None:
    """Refuse a base of another size, by the shape of its embedding, before tensors are matched one by one."""
    mine, theirs = (checkpoint.tensors[_EMBEDDING].shape for checkpoint in (delta, base))
    if rows >= base_rows and mine[1] == theirs[1]:
        return
    raise InputError(
        base.origin,
        f"tensor '{_EMBEDDING}'",
        f"shape {list(theirs)}; the difference {delta.origin} has {list(mine)} and belongs to another model",
        advice="LLaVA's first releases belong to LLaMA-1 7B (32000 x 4096).",
    )


def _folder(checkpoint: Checkpoint) -> Any:
    tokenizer = checkpoint.tokenizer
    return tokenizer.folder if isinstance(tokenizer, GrownTokenizer) else tokenizer
