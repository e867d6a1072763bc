"""The GGUF file beside a language model with which llama.cpp looks at pictures for it ("mmproj").

Which kinds llama.cpp computes as their authors do was measured; all others are refused by name. What a picture is
resized with is decided here, because llama.cpp would put it on black and not stretch it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from medbench_local.errors import InputError, UsageError
from medbench_local.files.gguf_header import GgufHeader, read_gguf_header
from medbench_local.files.gguf_sense import refuse_nonsense

if TYPE_CHECKING:
    from PIL import Image

SIDE = 2048
"""Most pixels of a side of the square that a picture becomes; known models have 896."""


@dataclass(frozen=True)
class Look:
    """How models of one kind are shown pictures.

    Attributes:
        before, after: what their own processor writes around a picture's rows, control tokens included.
        begin, end: the control tokens of that, between which the rows stand.
        merged: patches of a side that become one row, unless the file says otherwise.
        causal: whether a row looks back only, as tokens do, or at all rows of its picture.
    """

    before: str
    after: str
    begin: str
    end: str
    merged: int
    causal: bool


LOOKS: Mapping[str, Look] = {
    "gemma3": Look(
        "\n\n<start_of_image>", "<end_of_image>\n\n", "<start_of_image>", "<end_of_image>", 4, False
    ),
}
"""By the projector's name in GGUF files: those whose rows and log-probabilities were held against transformers."""


@dataclass(frozen=True)
class ProjectorFile:
    """What a projector file says of itself.

    Attributes:
        path: the file.
        kind: the projector's name, a key of `LOOKS`.
        side: pixels of each side of the square that a picture becomes.
        rows: that a picture becomes.
        width: numbers of a row: the hidden size of the language model.
        precision: of the matrices.
        parameters: number of weights.
        size: bytes.
    """

    path: Path
    kind: str
    side: int
    rows: int
    width: int
    precision: Literal["f16", "f32"]
    parameters: int
    size: int

    @property
    def look(self) -> Look:
        """How its language model is shown pictures."""
        return LOOKS[self.kind]

    @property
    def rule(self) -> str:
        """How a picture is made to fit, for the name of a folder."""
        return f"{self.side}-stretched-bilinear"

    def fitted(self, picture: Image.Image) -> Image.Image:
        """A picture as the file wants it: all of it, whatever its shape, in a square of red, green and blue."""
        from PIL import Image  # whoever only asks what a file says does without

        return picture.convert("RGB").resize((self.side, self.side), Image.Resampling.BILINEAR)


def is_projector_name(path: Path) -> bool:
    """Whether a file that a model sees pictures with is one of llama.cpp's, and not a ``vision.safetensors``."""
    return path.suffix.lower() == ".gguf"


def is_projector(header: GgufHeader) -> bool:
    """Whether a GGUF file is one with which llama.cpp looks at pictures (or listens), and no language model."""
    return header.architecture == "clip" or header.metadata.get("general.type") == "mmproj"


def read_projector(path: Path) -> ProjectorFile:
    """Read what a projector file says; no weights are read.

    Raises:
        InputError: no such file, damaged, or not what it says it is.
        UsageError: no projector, or one of a kind that is not known to be computed as its authors do.
    """
    header = read_gguf_header(path)
    refuse_nonsense(header)
    if not is_projector(header):
        raise UsageError(
            f"{path} is a language model ({header.architecture}), not a projector.",
            advice="Give the model as MODEL, and as `mmproj=` the file that came beside it; its name usually has "
            "'mmproj' in it.",
        )
    kind = _kind(header)
    side, patch = _number(header, "image_size"), _number(header, "patch_size")
    merged = _number(header, "projector.scale_factor", LOOKS[kind].merged)
    if side > SIDE or side % (patch * merged):
        problem = f"squares of {side} pixels in patches of {patch}, {merged} of them in a row of numbers"
        raise InputError(path, "header", problem, advice=_AGAIN)
    inner, width = _number(header, "embedding_length"), _number(header, "projection_dim")
    shapes = {tensor.name: tensor.shape for tensor in header.tensors}
    expected = {
        "v.patch_embd.weight": (patch, patch, 3, inner),
        "v.position_embd.weight": (inner, (side // patch) ** 2),
        "mm.soft_emb_norm.weight": (inner,),
        "mm.input_projection.weight": (width, inner),
        f"v.blk.{_number(header, 'block_count') - 1}.attn_q.weight": (inner, inner),
    }
    for name, shape in expected.items():
        if shapes.get(name) != shape:
            problem = f"missing; expected shape {list(shape)}"
            if name in shapes:
                problem = f"shape {list(shapes[name])}, expected {list(shape)}"
            raise InputError(path, f"tensor '{name}'", problem, advice=_AGAIN)
    return ProjectorFile(
        path=path,
        kind=kind,
        side=side,
        rows=(side // patch // merged) ** 2,
        width=width,
        precision=_precision(header),
        parameters=header.parameters,
        size=header.size,
    )


_AGAIN = "Download the projector again, or convert it again with llama.cpp's converter."

_CLIP = ("mlp", "mlp_norm", "ldp", "ldpv2")
"""Projectors that stand behind a CLIP tower, which llama.cpp computes with one and the same code."""

_POSITIONS = "its rows have positions in two dimensions, which are not supported here"
_TILES = "it cuts pictures into tiles that llama.cpp chooses otherwise than the model's own code"
_SIZES = "its pictures have sizes of their own, and what llama.cpp makes of them was not measured"
_REASONS = {
    **dict.fromkeys(("qwen2vl_merger", "qwen2.5vl_merger", "qwen3vl_merger", "qwen2.5o"), _POSITIONS),
    **dict.fromkeys(
        ("internvl", "idefics3", "llama4", "resampler", "minicpmv4_6", "granite4_vision", "step3vl"), _TILES
    ),
    **dict.fromkeys(("pixtral", "lfm2", "kimivl", "kimik25", "gemma4v", "gemma4uv", "phi4", "glm4v"), _SIZES),
}
_UNKNOWN = "whether llama.cpp computes it as its authors do was not measured"


def _kind(header: GgufHeader) -> str:
    """The projector's name, if what llama.cpp makes of it is right.

    Raises:
        UsageError: it is not, or nobody knows.
    """
    found = header.metadata.get("clip.projector_type") or header.metadata.get(
        "clip.vision.projector_type", ""
    )
    kind = str(found)
    towers = any(tensor.name == "v.class_embd" for tensor in header.tensors)
    if kind in _CLIP or (towers and kind not in _REASONS):
        raise UsageError(
            f"{header.path} is a projector behind a CLIP tower, which llama.cpp computes wrongly: every patch of a "
            "picture gets its neighbour's position.",
            advice="Give the folder of the checkpoint (config.json and the weights) instead: its tower is computed "
            "here. To ask about text only, pass the other GGUF file alone.",
        )
    if header.metadata.get("clip.has_vision_encoder") is False:
        raise UsageError(f"{header.path} is a projector of sound, not of pictures.")
    if kind not in LOOKS:
        raise UsageError(
            f"{header.path} is a projector of the kind {kind or 'unnamed':.60}: {_REASONS.get(kind, _UNKNOWN)}.",
            advice=f"Kinds that can be used: {', '.join(LOOKS)}. To ask about text only, leave the projector out.",
        )
    return kind


def _precision(header: GgufHeader) -> Literal["f16", "f32"]:
    """Of the tower's matrices; some others have one type always.

    Raises:
        UsageError: it is rounded more than to float16.
    """
    types = {tensor.type for tensor in header.tensors if len(tensor.shape) > 1}
    if rounded := sorted(types - {"f16", "f32"}):
        raise UsageError(
            f"{header.path} holds {', '.join(rounded)} numbers: pictures would be seen less exactly than by the model.",
            advice="Take the projector in f16 or f32; it is a small part of a model.",
        )
    blocks = {tensor.type for tensor in header.tensors if tensor.name.startswith("v.blk.")}
    return "f16" if "f16" in blocks else "f32"


def _number(header: GgufHeader, key: str, default: int | None = None) -> int:
    name = f"clip.vision.{key}"
    value = header.metadata.get(name, default)
    if type(value) is not int or not 1 <= value < 2**20:
        problem = "missing" if value is None else f"found {value!r:.40}, expected a whole number from 1"
        raise InputError(header.path, f"key '{name}'", problem, advice=_AGAIN)
    return value
