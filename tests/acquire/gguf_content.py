"""All of a GGUF file as plain values: a plain second reader, beside the package's and (much slower) gguf's."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

_FORMATS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}


@dataclass(frozen=True)
class Content:
    """Metadata as (type, value), tensors as (type, shape, bytes)."""

    metadata: dict[str, tuple[Any, Any]]
    tensors: dict[str, tuple[str, tuple[int, ...], bytes]]

    def value(self, key: str) -> Any:
        return self.metadata[key][1]


def read_content(path: Path) -> Content:
    data = path.read_bytes()
    at = 0

    def take(form: str) -> Any:
        nonlocal at
        values = struct.unpack_from(f"<{form}", data, at)
        at += struct.calcsize(f"<{form}")
        return values[0] if len(values) == 1 else values

    def text() -> str:
        nonlocal at
        length = take("Q")
        at += length
        return data[at - length : at].decode("utf-8")

    def value(kind: int) -> tuple[Any, Any]:
        if kind == 8:
            return kind, text()
        if kind == 9:
            inner, count = take("I"), take("Q")
            if inner == 8:
                return (kind, inner), [text() for _ in range(count)]
            values = take(f"{count}{_FORMATS[inner]}")
            return (kind, inner), list(values) if count > 1 else [values]
        return kind, take(_FORMATS[kind])

    assert take("4s") == b"GGUF"
    assert take("I") == 3
    n_tensors, n_keys = take("Q"), take("Q")
    metadata = {}
    for _ in range(n_keys):
        key = text()
        metadata[key] = value(take("I"))
    infos = []
    for _ in range(n_tensors):
        name, dimensions = text(), take("I")
        shape = tuple(take("Q") for _ in range(dimensions))
        infos.append((name, shape, GGMLQuantizationType(take("I")), take("Q")))
    begin = -(-at // 32) * 32
    tensors = {}
    for name, shape, kind, offset in infos:
        block, nbytes = GGML_QUANT_SIZES[kind]
        size = nbytes
        for n in shape:
            size *= n
        size //= block
        tensors[name] = (kind.name, shape, data[begin + offset : begin + offset + size])
    return Content(metadata, tensors)
