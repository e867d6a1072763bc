"""Files that are given as if they were models: what they are, and what to give instead."""

from __future__ import annotations

import json
import re
import struct
from dataclasses import dataclass
from pathlib import Path

from medbench_local.files.stand_ins import refuse_stand_in
from medbench_local.files.streams import open_file


@dataclass(frozen=True)
class OtherKind:
    """What a file is that is no model.

    Attributes:
        kind: to follow "is": "an importance matrix".
        advice: a sentence on what to do.
    """

    kind: str
    advice: str


_FOLDER = "Give the folder that holds it, with config.json and the tokenizer."
_UNPACK = "Unpack it and give the folder or the .gguf file that was in it."
_STATE = "Give the folder that the trained model was saved in."
_ADAPTER = "Give the folder that holds it, with adapter_config.json."

_BY_NAME: tuple[tuple[re.Pattern[str], OtherKind], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), OtherKind(kind, advice))
    for pattern, kind, advice in (
        (
            r"(optimizer|scheduler|rng_state|training_args|scaler|trainer_state).*",
            "the state of a training",
            _STATE,
        ),
        (r"adapter_model.*\.(safetensors|bin)|adapter_config\.json", "part of an adapter", _ADAPTER),
        (
            r".*(imatrix|importance).*",
            "an importance matrix",
            "Name it in a quantisation config (`imatrix: FILE`).",
        ),
        (
            r"consolidated.*\.(pth|safetensors)",
            "weights in their publisher's own format",
            "Give the model in the format of transformers (often the same name with -hf).",
        ),
        (r".*\.(index\.json)|config\.json|tokenizer.*", "one file of a checkpoint", _FOLDER),
        (r".*\.(zip|tar|tgz|gz|bz2|xz|zst|7z|rar)", "an archive", _UNPACK),
        (r".*\.(safetensors|bin|pt|pth|ckpt)", "a file of weights", _FOLDER),
        (
            r".*\.(h5|msgpack|onnx|npz|nemo|tflite|mlmodel|engine)",
            "a model of another framework",
            "Save it with transformers and give that folder, or give a GGUF file.",
        ),
    )
)

_GGML = (b"lmgg", b"fmgg", b"tjgg", b"algg")
"""How the formats before GGUF begin: ggml, ggmf, ggjt, ggla; numbers are little-endian."""


def what_it_is(path: Path) -> OtherKind | None:
    """What the file is, by its beginning and its name; None if nothing is known of it.

    Raises:
        InputError: it is a pointer of Git LFS or a web page.
    """
    try:
        with open_file(path) as file:
            beginning = file.read(1 << 16)
    except OSError:
        return None
    refuse_stand_in(path, beginning)
    if beginning.startswith(b"GGUF"):
        return OtherKind("a GGUF file without that ending", f"Rename it to {path.name}.gguf.")
    if beginning[:4] in _GGML:
        return OtherKind(
            "in the GGML format of before August 2023",
            "llama.cpp reads GGUF only: take a GGUF file, or the checkpoint.",
        )
    if path.suffix == ".safetensors" and _is_lora(beginning):
        return OtherKind("part of an adapter", _ADAPTER)
    return next((found for pattern, found in _BY_NAME if pattern.fullmatch(path.name)), None)


def _is_lora(beginning: bytes) -> bool:
    """Whether the header of a safetensors file, as far as it is here, lists factors of an adapter."""
    if len(beginning) < 8:
        return False
    (length,) = struct.unpack("<Q", beginning[:8])
    header = beginning[8 : 8 + min(length, len(beginning))]
    try:
        names = json.loads(header) if length <= len(header) else header.decode("utf-8", "replace")
    except (ValueError, RecursionError):
        return False
    return any(".lora_A" in name for name in names) if isinstance(names, dict) else ".lora_A" in str(names)
