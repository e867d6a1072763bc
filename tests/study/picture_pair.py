"""What the whole way with pictures is tested on: questions about made-up pictures, and a protocol of few prompts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from medbench_local.catalog.protocol import Protocol, load_protocol
from tests.tasks.pictures import as_hub, table

PAIRS = {"llava-med-7b": "llava-v0-7b", "med-flamingo-9b": "open-flamingo-9b"}
"""The study's two pairs with pictures."""

SUBJECT = "mmmu-pharmacy"
SIZES = {"demonstrations": 5, "validation": 4, "test": 8}
SHARED = 2
"""Questions about each picture."""

_SHAPES = ((64, 64), (71, 64), (64, 71), (90, 33), (33, 90), (57, 59), (120, 80))
"""Of pictures; some are cut elsewhere by one pair's code than by the other's."""


def few_prompts(name: str, *, called: str | None = None, search: bool = True) -> Protocol:
    """A built-in protocol with a search among four prompts, or the default prompt alone."""
    protocol = load_protocol(name)
    selection = protocol.selection.model_copy(
        update={"formats": (0,), "demonstration_seeds": (0, 1)} if search else {"method": "none"}
    )
    return protocol.model_copy(update={"selection": selection, "name": called or name})


def picture(number: int) -> Image.Image:
    """One of many pictures, all different, of several shapes."""
    width, height = _SHAPES[number % len(_SHAPES)]
    noise = np.random.default_rng(number).integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.NEAREST)


def write_seen(folder: Path) -> Path:
    """Questions of one's own, two about each picture; some name the place of it, one shows two pictures."""
    folder.mkdir(parents=True)
    number = 0
    for split, count in SIZES.items():
        rows = []
        for i in range(count):
            name = f"{split}-{i // SHARED}.png"
            if i % SHARED == 0:
                picture(number).save(folder / name)
                number += 1
            rows.append(
                {
                    "id": f"{split}-{i}",
                    "question": f"Is there a {'line' if i % 2 else 'spot'} in it, number {i}?",
                    "options": ["yes", "no", "perhaps"],
                    "answer": i % 3,
                    "images": [name],
                }
            )
        _write(folder / f"{split}.jsonl", rows)
    return folder


def write_subject(data: Path) -> Path:
    """A subject of MMMU as the hub has it: pictures in the rows, one in 16 colours, one question about two."""
    import io

    def row(number: int) -> dict[str, Any]:
        images: dict[str, Any] = {f"image_{i}": None for i in range(1, 8)}
        for i in range(1, 3 if number == 7 else 2):
            stream = io.BytesIO()
            shown = picture(100 + number + 50 * i)
            (shown.quantize(16) if number % 3 == 0 else shown).save(stream, "PNG")
            images[f"image_{i}"] = as_hub(stream.getvalue())
        return {
            "id": f"validation_Pharmacy_{number}",
            "question": "How does <image 1> differ from <image 2>?"
            if number == 7
            else f"<image 1> What is {number}?",
            "options": "['one', 'two', 'three', 'four']",
            "answer": "ABCD"[number % 4],
            "question_type": "multiple-choice",
            "subfield": "Pharmacology",
            **images,
        }

    names = [f"image_{i}" for i in range(1, 8)]
    for split, numbers in (("dev", range(4)), ("validation", range(4, 12))):
        table(
            data / f"mmmu/Pharmacy/{split}-00000-of-00001.parquet",
            [row(number) for number in numbers],
            pictures=names,
        )
    return data


def write_text(folder: Path) -> Path:
    """Questions without pictures."""
    folder.mkdir(parents=True)
    for split, count in SIZES.items():
        _write(
            folder / f"{split}.jsonl",
            [
                {
                    "id": f"{split}-{i}",
                    "question": f"Which is it, {i}?",
                    "options": ["a", "b"],
                    "answer": i % 2,
                }
                for i in range(count)
            ],
        )
    return folder


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
