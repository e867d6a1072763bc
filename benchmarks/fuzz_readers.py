"""Coverage-guided fuzzing of everything that reads model files from outside.

    pip install atheris
    python benchmarks/fuzz_readers.py safetensors|torch|pickle|gguf|importance [-max_total_time=60] [corpus folder]

A reader may accept the bytes or refuse them with its own error; anything else stops the fuzzer, which then leaves the
input behind as crash-<hash>.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import atheris  # type: ignore[import-not-found,import-untyped,unused-ignore]

with atheris.instrument_imports(include=["medbench_local", "pickletools", "zipfile"]):
    from medbench_local.acquire.conversion.safetensors_reader import read_safetensors
    from medbench_local.acquire.conversion.torch_reader import read_torch
    from medbench_local.engine.importance import read_importance
    from medbench_local.errors import InputError
    from medbench_local.files.gguf_header import read_gguf_header
    from medbench_local.files.pickle_data import PickleError, load_pickle

NAMES = {"collections.OrderedDict": dict, "torch.HalfStorage": None}


def of_file(read: Callable[[Path], object]) -> Callable[[bytes], None]:
    path = Path(tempfile.mkdtemp()) / "input"

    def one(data: bytes) -> None:
        path.write_bytes(data)
        try:
            read(path)
        except InputError:
            return

    return one


def of_pickle(data: bytes) -> None:
    try:
        load_pickle(data, calls=NAMES, persistent=lambda key: key)
    except PickleError:
        return


TARGETS: dict[str, Callable[[bytes], None]] = {
    "safetensors": of_file(read_safetensors),
    "torch": of_file(read_torch),
    "pickle": of_pickle,
    "gguf": of_file(read_gguf_header),
    "importance": of_file(read_importance),
}


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(f"name one of {', '.join(TARGETS)}")
    atheris.Setup([sys.argv[0], *sys.argv[2:]], TARGETS[sys.argv[1]])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
