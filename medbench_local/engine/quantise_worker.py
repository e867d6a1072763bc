"""The process in which llama.cpp quantises: a job on standard input, one line of JSON an event on standard output.

llama.cpp answers some bad input with abort(); only this process ends then.
"""

from __future__ import annotations

import ctypes
import json
import re
import sys
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
from gguf import GGMLQuantizationType, LlamaFileType

from medbench_local.engine.importance import read_importance

ROWS_BYTES = 256 << 20
"""Bytes of rows that llama.cpp keeps in memory at once; it does not change the result."""

_ERROR = 4  # GGML_LOG_LEVEL_ERROR of ggml.h

_TENSOR = re.compile(r"^\[ *\d+/ *\d+\] (\S+) +- \[[^]]*\], type = +(\S+),")
_PLANNED = re.compile(r"MiB \((\w+)\)$")
_FALLBACKS = re.compile(r"WARNING: (\d+) of \d+ tensor\(s\) required fallback")


class _Log:
    """llama.cpp's messages, turned into events as their lines are completed."""

    def __init__(self) -> None:
        self.line = ""
        self.problem = ""

    def take(self, level: int, text: bytes, _data: object) -> None:
        decoded = text.decode("utf-8", "replace")
        if level == _ERROR and decoded.strip(" =\n"):
            self.problem = " ".join(decoded.split())
        *lines, self.line = (self.line + decoded).split("\n")
        for line in lines:
            self.complete(line)

    def complete(self, line: str) -> None:
        if match := _TENSOR.match(line):
            planned = _PLANNED.search(line)
            _tell(tensor=match[1], type=(planned[1] if planned else match[2]).lower())
        elif match := _FALLBACKS.search(line):
            _tell(fallbacks=int(match[1]))
        elif "will require an imatrix" in line:
            _tell(needs_importance=True)


def _tell(**event: Any) -> None:
    print(json.dumps(event), flush=True)


def _file_type(name: str) -> int:
    return int(LlamaFileType["ALL_F32" if name == "f32" else f"MOSTLY_{name.upper()}"])


def _tensor_types(types: dict[str, str]) -> Any:
    array = (llama_cpp.llama_model_tensor_override * (len(types) + 1))()
    for entry, (pattern, name) in zip(array, types.items(), strict=False):
        entry.pattern, entry.type = pattern.encode(), int(GGMLQuantizationType[name.upper()])
    return array


def _importance(path: Path) -> tuple[Any, list[Any]]:
    """llama.cpp's list of matrices, ended by an empty one, and the arrays that must outlive it."""
    kept = []
    matrix = read_importance(path)
    array = (llama_cpp.llama_model_imatrix_data * (len(matrix) + 1))()
    for entry, (name, values) in zip(array, matrix.items(), strict=False):
        values = np.ascontiguousarray(values, dtype=np.float32)
        kept.append(values)
        entry.name, entry.size = name.encode(), values.size
        entry.data = values.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
    return array, kept


def main() -> None:
    """Do one job."""
    job = json.load(sys.stdin)
    log = _Log()
    callback = llama_cpp.llama_log_callback(log.take)
    llama_cpp.llama_log_set(callback, ctypes.c_void_p(0))
    params = llama_cpp.llama_model_quantize_default_params()
    params.nthread = job["threads"]
    params.ftype = _file_type(job["file_type"])
    params.dry_run = job["dry_run"]
    params.max_buf_size = ROWS_BYTES
    if job["tensor_types"]:
        types = _tensor_types(job["tensor_types"])
        params.tt_overrides = ctypes.cast(types, type(params.tt_overrides))
    if job["imatrix"]:
        matrix, _kept = _importance(Path(job["imatrix"]))
        params.imatrix = ctypes.cast(matrix, type(params.imatrix))
    result = llama_cpp.llama_model_quantize(
        job["source"].encode(), job["output"].encode(), ctypes.byref(params)
    )
    _tell(result=int(result), problem=log.problem)


if __name__ == "__main__":
    main()
