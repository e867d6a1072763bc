"""The half of a Gemma 3 checkpoint that sees pictures becomes the projector file with which llama.cpp sees them.

The same tensors in the same types as llama.cpp's own converter writes.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from gguf import GGML_QUANT_VERSION, GGMLQuantizationType, GGUFType, GGUFWriter, LlamaFileType
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from medbench_local.acquire.conversion.checkpoint import CheckpointFolder
from medbench_local.acquire.conversion.model_config import OTHER_ENGINE, Positive
from medbench_local.acquire.conversion.tensor import MAPPED, Tensor
from medbench_local.acquire.conversion.tensor_views import shifted
from medbench_local.acquire.conversion.weight_values import converted_blocks
from medbench_local.errors import AcquireError, InputError, UnsupportedArchitectureError
from medbench_local.files.atomic import whole_file
from medbench_local.files.json_objects import read_json_object
from medbench_local.progress import Progress, Silent
from medbench_local.vision.projector_file import LOOKS

CLASS = "Gemma3ForConditionalGeneration"
PREPROCESSOR = "preprocessor_config.json"
KIND = "gemma3"

_TOWER = re.compile(r"(?:model\.)?vision_tower\.(?:vision_model\.)?(.+)")
_PROJECTOR = re.compile(r"(?:model\.)?multi_modal_projector\.(.+)")
_LAYER = re.compile(r"encoder\.layers\.(\d+)\.(.+)\.(weight|bias)")
_PARTS = {
    "layer_norm1": "ln1",
    "layer_norm2": "ln2",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.out_proj": "attn_out",
    "mlp.fc1": "ffn_up",
    "mlp.fc2": "ffn_down",
}
_OTHERS = {
    "embeddings.patch_embedding.weight": "v.patch_embd.weight",
    "embeddings.patch_embedding.bias": "v.patch_embd.bias",
    "embeddings.position_embedding.weight": "v.position_embd.weight",
    "post_layernorm.weight": "v.post_ln.weight",
    "post_layernorm.bias": "v.post_ln.bias",
}
_HEAD = "head."
"""What makes one vector of a whole picture, which language models do not use."""

_INPUT, _NORM = "mm.input_projection.weight", "mm.soft_emb_norm.weight"

_Count = Field(ge=1, lt=2**20)


class _Vision(BaseModel):
    """What the configuration says of the tower; what it leaves out is what transformers assumes."""

    model_config = ConfigDict(extra="ignore", strict=True)

    model_type: Literal["siglip_vision_model"] = "siglip_vision_model"
    hidden_size: int = _Count
    intermediate_size: int = _Count
    num_hidden_layers: int = _Count
    num_attention_heads: int = _Count
    image_size: int = _Count
    patch_size: int = _Count
    layer_norm_eps: Positive = 1e-6
    hidden_act: Literal["gelu_pytorch_tanh"] = "gelu_pytorch_tanh"


class _Text(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    hidden_size: int = Field(default=2304, ge=1, lt=2**20)


class _Whole(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    text_config: _Text
    vision_config: _Vision
    mm_tokens_per_image: int = Field(default=256, ge=1, lt=2**20)

    @property
    def merged(self) -> int:
        """Patches of a side that become one row."""
        side = self.vision_config.image_size // self.vision_config.patch_size
        return side // math.isqrt(self.mm_tokens_per_image)


class _Preparation(BaseModel):
    """How pictures are prepared; what is not said is what Gemma 3's processor assumes."""

    model_config = ConfigDict(extra="ignore", strict=True)

    image_mean: list[float] = Field(default=[0.5, 0.5, 0.5], min_length=3, max_length=3)
    image_std: list[float] = Field(default=[0.5, 0.5, 0.5], min_length=3, max_length=3)
    do_pan_and_scan: bool | None = None
    resample: Literal[2] = 2
    size: dict[str, int] | None = None


class _Written(NamedTuple):
    source: Tensor
    target: Literal["F32", "F16"]


def write_projector_file(
    checkpoint: CheckpointFolder, output: Path, *, progress: Progress | None = None
) -> None:
    """Write the projector file of a Gemma 3 checkpoint: matrices of the tower's layers in F16, all else as it needs.

    Args:
        checkpoint: the whole model.
        output: the file; it appears when it is complete.
        progress: told the bytes written.

    Raises:
        UnsupportedArchitectureError: it is another model, or prepares pictures otherwise.
        InputError: a part of it is missing, damaged, or contradicts another.
        AcquireError: a number does not fit into F16, or has a type that cannot be converted.
        StoreError, DiskFullError: the file cannot be written.
    """
    config, preparation = _read_config(checkpoint)
    tensors = _tensors(checkpoint, config)
    total = sum(one.source.size * (2 if one.target == "F16" else 4) for one in tensors.values())
    with whole_file(output, nbytes=total) as temporary:
        _write_header(temporary, config, preparation, tensors)
        with (
            temporary.open("ab") as file,
            (progress or Silent()).step("converting a projector", total=total, unit="B") as advance,
        ):
            for one in tensors.values():
                file.write(bytes(-file.tell() % 32))
                for block in converted_blocks(one.source, one.target):
                    file.write(block.data)
                    advance(block.nbytes)
            file.write(bytes(-file.tell() % 32))


def _read_config(checkpoint: CheckpointFolder) -> tuple[_Whole, _Preparation]:
    path = checkpoint.config_file
    if checkpoint.config.get("architectures") != [CLASS]:
        raise UnsupportedArchitectureError(
            f"{path}: a projector file can be made of {CLASS}, not of {checkpoint.config.get('architectures')!r:.80}.",
            advice="Give a projector file that somebody made, with `mmproj=`.",
        )
    config = _validated(_Whole, checkpoint.config, path)
    side = config.vision_config.image_size
    if (side // config.vision_config.patch_size // config.merged) ** 2 != config.mm_tokens_per_image:
        raise InputError(
            path, "key 'mm_tokens_per_image'", f"{config.mm_tokens_per_image} of {side} pixels a side"
        )
    prepared = checkpoint.origin / PREPROCESSOR
    said = read_json_object(prepared) if prepared.is_file() else {}
    preparation = _validated(_Preparation, said, prepared)
    if preparation.do_pan_and_scan or preparation.size not in (None, {"height": side, "width": side}):
        raise UnsupportedArchitectureError(
            f"{prepared}: pictures are cut up, or made to fit another size than {side} pixels.",
            advice=OTHER_ENGINE,
        )
    return config, preparation


def _validated(kind: type[Any], data: Mapping[str, Any], path: Path) -> Any:
    try:
        return kind.model_validate({key: value for key, value in data.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise InputError(path, f"key '{key}'", f"{first['msg']}; found {first['input']!r:.60}") from error


def _tensors(checkpoint: CheckpointFolder, config: _Whole) -> dict[str, _Written]:
    """By the names of the file; in the order in which they are expected.

    Raises:
        InputError: one is missing, nobody knows one, or one has another shape than the configuration says.
        AcquireError: one has a type that cannot be converted.
    """
    found: dict[str, Tensor] = {}
    for name, tensor in checkpoint.tensors.items():
        if match := _PROJECTOR.fullmatch(name):
            new = {"mm_input_projection_weight": _INPUT, "mm_soft_emb_norm.weight": _NORM}.get(match[1])
        elif match := _TOWER.fullmatch(name):
            new = "" if match[1].startswith(_HEAD) else _name(match[1])
        else:
            continue
        if new is None:
            raise InputError(
                tensor.path, f"tensor '{name}'", f"not part of what a {CLASS} sees pictures with"
            )
        if tensor.dtype not in MAPPED:
            raise AcquireError(
                f"{tensor.path}: tensor {name} is of the type {tensor.dtype}, which cannot be converted."
            )
        if new:
            found[new] = tensor
    shapes = _shapes(config)
    if missing := shapes.keys() - found.keys():
        raise InputError(
            checkpoint.origin,
            "",
            f"without {sorted(missing)[0]} and {len(missing) - 1} other tensors for pictures",
        )
    written = {}
    for name, shape in shapes.items():
        source = found.pop(name)
        if source.shape != shape:
            problem = f"shape {list(source.shape)}, expected {list(shape)} by config.json"
            raise InputError(source.path, f"tensor '{source.name}'", problem)
        narrow = name == _INPUT or (name.startswith("v.blk.") and len(shape) == 2)
        if name == _NORM:
            source = shifted(source, 1.0)
        written[name] = _Written(source, "F16" if narrow else "F32")
    if found:
        odd = next(iter(found.values()))
        raise InputError(odd.path, f"tensor '{odd.name}'", "in a layer that config.json does not know of")
    return written


def _name(short: str) -> str | None:
    if match := _LAYER.fullmatch(short):
        part = _PARTS.get(match[2])
        return part and f"v.blk.{int(match[1])}.{part}.{match[3]}"
    return _OTHERS.get(short)


def _shapes(config: _Whole) -> dict[str, tuple[int, ...]]:
    vision, width = config.vision_config, config.text_config.hidden_size
    inner, between, patch = vision.hidden_size, vision.intermediate_size, vision.patch_size
    shapes: dict[str, tuple[int, ...]] = {
        _INPUT: (inner, width),
        _NORM: (inner,),
        "v.patch_embd.weight": (inner, 3, patch, patch),
        "v.patch_embd.bias": (inner,),
        "v.position_embd.weight": ((vision.image_size // patch) ** 2, inner),
        "v.post_ln.weight": (inner,),
        "v.post_ln.bias": (inner,),
    }
    matrices = dict.fromkeys(("attn_q", "attn_k", "attn_v", "attn_out"), (inner, inner))
    matrices |= {"ffn_up": (between, inner), "ffn_down": (inner, between)}
    for number in range(vision.num_hidden_layers):
        for part in ("ln1", "ln2"):
            shapes |= {f"v.blk.{number}.{part}.{half}": (inner,) for half in ("weight", "bias")}
        for part, shape in matrices.items():
            shapes[f"v.blk.{number}.{part}.weight"] = shape
            shapes[f"v.blk.{number}.{part}.bias"] = shape[:1]
    return shapes


def _write_header(
    path: Path, config: _Whole, preparation: _Preparation, tensors: Mapping[str, _Written]
) -> None:
    logging.getLogger("gguf").setLevel(logging.WARNING)
    vision = config.vision_config
    writer = GGUFWriter(path, "clip")
    for name, one in tensors.items():
        nbytes = one.source.size * (2 if one.target == "F16" else 4)
        writer.add_tensor_info(
            name, one.source.shape, np.dtype("f4"), nbytes, GGMLQuantizationType[one.target]
        )
    writer.add_type(GGUFType.MMPROJ)
    writer.add_file_type(LlamaFileType.MOSTLY_F16)
    writer.add_clip_has_vision_encoder(True)
    writer.add_clip_projector_type(KIND)
    writer.add_vision_projection_dim(config.text_config.hidden_size)
    writer.add_vision_image_size(vision.image_size)
    writer.add_vision_patch_size(vision.patch_size)
    writer.add_vision_embedding_length(vision.hidden_size)
    writer.add_vision_feed_forward_length(vision.intermediate_size)
    writer.add_vision_block_count(vision.num_hidden_layers)
    writer.add_vision_head_count(vision.num_attention_heads)
    writer.add_vision_image_mean(preparation.image_mean)
    writer.add_vision_image_std(preparation.image_std)
    writer.add_vision_attention_layernorm_eps(vision.layer_norm_eps)
    writer.add_vision_use_gelu(True)
    if config.merged != LOOKS[KIND].merged:
        writer.add_vision_projector_scale_factor(config.merged)
    writer.add_quantization_version(GGML_QUANT_VERSION)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
