"""The process in which llama.cpp quantises: `python -m medbench_local.engine.quantise_worker`.

It takes one job after the other and tells of every tensor, and in the end of each job of its result, each in a message;
see `Channel`.
"""

from __future__ import annotations

import ctypes
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType, LlamaFileType

from medbench_local.engine import wire
from medbench_local.engine.bindings import LOG, llama_cpp, set_fields
from medbench_local.engine.channel import Channel
from medbench_local.engine.importance import read_importance
from medbench_local.errors import MedbenchError

ROWS_BYTES = 256 << 20
"""Bytes of rows that llama.cpp keeps in memory at once; it does not change the result."""

_TENSOR = re.compile(r"^\[ *\d+/ *\d+\] (\S+) +- \[[^]]*\], type = +(\S+),")
_PLANNED = re.compile(r"MiB \((\w+)\)$")
_FALLBACKS = re.compile(r"WARNING: (\d+) of \d+ tensor\(s\) required fallback")


def _event(line: str) -> dict[str, Any] | None:
    """What a line of llama.cpp's log tells of the work, or None."""
    if match := _TENSOR.match(line):
        planned = _PLANNED.search(line)
        return {"tensor": match[1], "type": (planned[1] if planned else match[2]).lower()}
    if match := _FALLBACKS.search(line):
        return {"fallbacks": int(match[1])}
    return {"needs_importance": True} if "will require an imatrix" in line else None


def _file_type(name: str) -> int:
    return int(LlamaFileType["ALL_F32" if name == "f32" else f"MOSTLY_{name.upper()}"])


def _tensor_types(types: dict[str, str]) -> Any:
    array = (llama_cpp.llama_model_tensor_override * (len(types) + 1))()
    for entry, (pattern, name) in zip(array, types.items(), strict=False):
        set_fields(entry, pattern=pattern.encode(), type=int(GGMLQuantizationType[name.upper()]))
    return array


def _importance(path: Path) -> tuple[Any, list[Any]]:
    """llama.cpp's list of matrices, ended by an empty one, and the arrays that must outlive it."""
    kept = []
    matrix = read_importance(path)
    array = (llama_cpp.llama_model_imatrix_data * (len(matrix) + 1))()
    for entry, (name, values) in zip(array, matrix.items(), strict=False):
        values = np.ascontiguousarray(values, dtype=np.float32)
        kept.append(values)
        data = values.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        set_fields(entry, name=name.encode(), size=values.size, data=data)
    return array, kept


def _quantise(job: dict[str, Any]) -> int:
    """Do the job; 0 if llama.cpp could."""
    params = llama_cpp.llama_model_quantize_default_params()
    set_fields(
        params,
        nthread=job["threads"],
        ftype=_file_type(job["file_type"]),
        dry_run=job["dry_run"],
        max_buf_size=ROWS_BYTES,
    )
    if job["tensor_types"]:
        types = _tensor_types(job["tensor_types"])
        set_fields(params, tt_overrides=ctypes.cast(types, type(params.tt_overrides)))
    if job["imatrix"]:
        matrix, _kept = _importance(Path(job["imatrix"]))
        set_fields(params, imatrix=ctypes.cast(matrix, type(params.imatrix)))
    source, output = os.fsencode(job["source"]), os.fsencode(job["output"])
    return int(llama_cpp.llama_model_quantize(source, output, ctypes.byref(params)))


def main() -> None:
    """Do jobs until the parent is gone."""
    channel = Channel()

    def tell(line: str) -> None:
        if event := _event(line):
            channel.send(event)

    LOG.listen(tell)
    while True:
        job = channel.receive()
        LOG.clear()
        try:
            channel.send({"result": _quantise(job), "problem": LOG.problem()})
        except MedbenchError as error:
            channel.send({"error": wire.error_to_json(error)})


if __name__ == "__main__":
    main()
