"""How fast a checkpoint becomes a GGUF file, and how much memory that takes, beside llama.cpp's own converter.

    python benchmarks/conversion.py [--layers 22] [--converter FOLDER] [--folder FOLDER]

Makes a checkpoint of one billion parameters in bfloat16 (two shards, about 2.2 GB) in a temporary folder, converts it
with both programs in turn, each in a process of its own, and compares the tensors. Without --converter, llama.cpp's is
taken from the source distribution of the installed llama-cpp-python; it needs torch and transformers.
"""

from __future__ import annotations

import argparse
import json
import os
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from medbench_local.files.gguf_file import GgufTensor
from medbench_local.files.gguf_header import read_gguf_header
from tests.acquire.checkpoints import SPM_CONFIG, config, shapes, small_sentencepiece, write_json
from tests.acquire.conversion.official_converter import converter_folder

ROOT = Path(__file__).resolve().parents[1]
OURS = """
import sys
from pathlib import Path
from medbench_local.acquire.conversion.convert import convert_checkpoint
convert_checkpoint(Path(sys.argv[1]), Path(sys.argv[2]))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--layers", type=int, default=22, help="22 make 1.1 billion parameters")
    parser.add_argument("--converter", type=Path, help="folder with llama.cpp's convert_hf_to_gguf.py")
    parser.add_argument("--folder", type=Path, help="where to work (default: the system's temporary folder)")
    arguments = parser.parse_args()
    converter = arguments.converter or converter_folder()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as work:
        folder = Path(work) / "model"
        largest = make_checkpoint(folder, arguments.layers)
        total = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
        print(f"checkpoint: {total / 1e9:.2f} GB, largest tensor {largest / 1e6:.0f} MB")
        outputs = [Path(work) / "ours.gguf", Path(work) / "theirs.gguf"]
        theirs = [sys.executable, "convert_hf_to_gguf.py", str(folder), "--outfile", str(outputs[1])]
        measure("medbench-local", [sys.executable, "-c", OURS, str(folder), str(outputs[0])], ROOT, total)
        measure("llama.cpp", [*theirs, "--outtype", "auto"], converter, total)
        print(f"bound for us: twice the largest tensor + 400 MB = {(2 * largest + 400e6) / 1e6:.0f} MB")
        print("tensors are", "identical" if identical(*outputs) else "DIFFERENT")


def make_checkpoint(folder: Path, layers: int) -> int:
    """Random weights in the shape of TinyLlama, two shards; gives the bytes of the largest tensor."""
    folder.mkdir()
    values = config(
        hidden_size=2048,
        intermediate_size=5632,
        num_hidden_layers=layers,
        num_attention_heads=32,
        num_key_value_heads=4,
        vocab_size=32000,
    )
    write_json(folder / "config.json", values)
    write_json(folder / "tokenizer_config.json", SPM_CONFIG)
    (folder / "tokenizer.model").write_bytes(small_sentencepiece())
    names = list(shapes(values))
    parts = [names[: len(names) // 2], names[len(names) // 2 :]]
    index: dict[str, str] = {}
    random = np.random.default_rng(0)
    for number, part in enumerate(parts, 1):
        file = f"model-{number:05d}-of-00002.safetensors"
        write_shard(folder / file, {name: shapes(values)[name] for name in part}, random)
        index |= dict.fromkeys(part, file)
    write_json(folder / "model.safetensors.index.json", {"metadata": {}, "weight_map": index})
    return max(2 * int(np.prod(shape)) for shape in shapes(values).values())


def write_shard(path: Path, sizes: dict[str, tuple[int, ...]], random: np.random.Generator) -> None:
    header, at = {}, 0
    for name, shape in sizes.items():
        nbytes = 2 * int(np.prod(shape))
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [at, at + nbytes]}
        at += nbytes
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for shape in sizes.values():
            numbers = random.standard_normal(int(np.prod(shape)), dtype=np.float32) * np.float32(0.05)
            file.write((numbers.view("<u4") >> 16).astype("<u2").tobytes())


# the peak that the system reports of a process includes its parent's at the fork: start it from a small one
RUN = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=sys.stderr).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (1 if sys.platform == "darwin" else 1024))
sys.exit(code)
"""


def measure(name: str, command: list[str], folder: Path, total: int) -> None:
    """Run to the end; print seconds, MB/s and the peak of resident memory."""
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", RUN, *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        sys.exit(done.stderr[-2000:])
    seconds = time.perf_counter() - began
    peak = int(done.stdout) / 1e6
    print(f"{name:15} {seconds:6.1f} s  {total / seconds / 1e6:6.0f} MB/s  peak {peak:6.0f} MB")


def identical(first: Path, second: Path) -> bool:
    left, right = ({t.name: t for t in read_gguf_header(path).tensors} for path in (first, second))
    return left.keys() == right.keys() and all(
        all(a == b for a, b in zip(blocks(left[name]), blocks(right[name]), strict=True)) for name in left
    )


def blocks(tensor: GgufTensor) -> Iterator[bytes]:
    with tensor.path.open("rb") as file:
        file.seek(tensor.offset)
        for begin in range(0, tensor.nbytes, 1 << 24):
            yield file.read(min(1 << 24, tensor.nbytes - begin))


if __name__ == "__main__":
    main()
