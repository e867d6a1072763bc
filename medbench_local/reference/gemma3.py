"""Gemma 3 and MedGemma with pictures, through transformers' own class and processor."""

from __future__ import annotations

from pathlib import Path

from medbench_local.files.json_objects import read_json_object
from medbench_local.reference.picture_model import Eye, Gemma3Class, Seeing, processor_in
from medbench_local.reference.tokens import read_tokenizer
from medbench_local.reference.transformers_model import DType, libraries, loaded

_CLASS = "Gemma3ForConditionalGeneration"
_MARKS = ("\n\n<start_of_image>", "<image_soft_token>", "<end_of_image>\n\n")
"""What the processor writes around a picture and at each of its rows."""


def is_gemma3(folder: Path) -> bool:
    """Whether a folder's config.json is that of a Gemma 3 that reads pictures."""
    return read_json_object(folder / "config.json").get("architectures") == [_CLASS]


def load_gemma3(folder: Path, *, dtype: DType, device: str) -> Seeing:
    """Load a checkpoint.

    Raises:
        InputError: a file is missing or damaged.
        AcquireError: transformers cannot load it.
    """
    _, transformers = libraries()
    network = Gemma3Class(
        folder,
        dtype=dtype,
        device=device,
        load=lambda: loaded(getattr(transformers, _CLASS), folder, dtype),
        eye=Eye(processor_in(folder, "Gemma3ImageProcessor"), pads=False),
        each=int(read_json_object(folder / "config.json").get("mm_tokens_per_image", 256)),
    )
    return Seeing(network, read_tokenizer(folder, network.rows), _MARKS, bare_places=False)
