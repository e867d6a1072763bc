"""What it costs that comparisons are finished one by one: processor seconds of three orders of the same work.

    python -m benchmarks.turns [--rounds 3] [--limit 12] [--layers 1]

Two Llamas of width 2,048 with random weights, made for it, answer the embedded tasks without demonstrations. Either
one model answers everything and then the other does; or they take turns at every comparison and each is loaded anew,
however short the work; or both stay loaded. The orders take turns, too; the numbers are medians over the rounds.
Results are compared: the order must not change them.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

import medbench_local.demo as demo
from medbench_local import Silent
from medbench_local.engine.base import Engine, EngineOptions
from medbench_local.engine.remote import start_engine
from medbench_local.results.folder import Run
from medbench_local.study import memory, one_precision, schedule
from medbench_local.study.compare import run_comparison
from medbench_local.study.loaded_models import Room
from medbench_local.study.options import CompareOptions, resolve
from medbench_local.study.plan import Plan
from medbench_local.study.tools import Tools

PAIR = Path(demo.__file__).parent / "checkpoints"
WIDTH, HIDDEN, HEADS = 2048, 5632, 16
ORDERS = {"one model, then the other": (0, 1e-12), "taking turns": (0, 1e12), "both loaded": (2**62, 0.01)}
"""Bytes of memory for both, and the share that loading may take."""


def write_checkpoint(folder: Path, seed: int, layers: int) -> int:
    """A Llama of random weights with the tokenizer of the embedded pair; returns how many weights it has."""
    folder.mkdir(parents=True)
    for name in ("tokenizer.model", "tokenizer_config.json", "special_tokens_map.json"):
        shutil.copy(PAIR / "demo-base" / name, folder / name)
    config = json.loads((PAIR / "demo-base" / "config.json").read_text(encoding="utf-8"))
    config |= {
        "hidden_size": WIDTH,
        "intermediate_size": HIDDEN,
        "num_hidden_layers": layers,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS,
        "head_dim": WIDTH // HEADS,
        "tie_word_embeddings": False,
        "torch_dtype": "float16",
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    draw = np.random.default_rng(seed)

    def matrix(rows: int, columns: int) -> NDArray[np.float16]:
        numbers = draw.standard_normal((rows, columns), np.float32)
        return np.asarray(numbers / np.sqrt(columns), np.float16)

    vocabulary = config["vocab_size"]
    tensors = {
        "model.embed_tokens.weight": matrix(vocabulary, WIDTH),
        "lm_head.weight": matrix(vocabulary, WIDTH),
    }
    ones = np.ones(WIDTH, np.float16)
    tensors["model.norm.weight"] = ones
    for layer in range(layers):
        start = f"model.layers.{layer}."
        tensors |= {f"{start}self_attn.{name}_proj.weight": matrix(WIDTH, WIDTH) for name in "qkvo"}
        tensors |= {f"{start}mlp.{name}_proj.weight": matrix(HIDDEN, WIDTH) for name in ("gate", "up")}
        tensors[f"{start}mlp.down_proj.weight"] = matrix(WIDTH, HIDDEN)
        tensors |= {f"{start}{name}_layernorm.weight": ones for name in ("input", "post_attention")}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return sum(tensor.size for tensor in tensors.values())


class Counting:
    """Starts workers and counts them."""

    def __init__(self) -> None:
        self.started = 0

    def __call__(self, path: Path, options: EngineOptions) -> Engine:
        self.started += not options.vocabulary_only
        return start_engine(path, options)


def compared(models: Sequence[str], output: Path, order: str, limit: int) -> tuple[float, int, Run]:
    """Processor seconds of one comparison in one order, how many models were loaded, and what came out."""
    free, share = ORDERS[order]
    options = resolve(
        CompareOptions(tasks=["demo"], shots=[0], quant="q8_0", limit=limit, output=output, protocol="demo")
    )
    start = Counting()

    def room(plan: Plan) -> Room:
        return Room(memory.room_for(plan).needs, free)

    before = sum(os.times()[:4])
    with patch.object(one_precision, "room_for", room), patch.object(schedule, "LOADING_SHARE", share):
        run = run_comparison(models[0], models[1], options, Tools(start, Silent()))
    return sum(os.times()[:4]) - before, start.started, run


def main() -> None:
    """Print one line an order."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--limit", type=int, default=12, help="questions of each task")
    parser.add_argument("--layers", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        os.environ["MEDBENCH_HOME"] = str(folder / "home")
        models = [str(folder / name) for name in ("med", "base")]
        sizes = [write_checkpoint(Path(model), seed, asked.layers) for seed, model in enumerate(models)]
        compared(models, folder / "warm" / "run", "both loaded", 2)  # converts and quantises
        seconds: dict[str, list[float]] = {order: [] for order in ORDERS}
        loads, found = {}, set()
        for number in range(asked.rounds):
            for order in ORDERS:
                output = folder / f"{number} {order}" / "run"  # a store beside it would be read
                taken, loads[order], run = compared(models, output, order, asked.limit)
                seconds[order].append(taken)
                found.add(run.results.model_copy(update={"timing": None}).model_dump_json())
                shutil.rmtree(output.parent)
    assert len(found) == 1, "the order changed a result"
    first = median(seconds["one model, then the other"])
    more = loads["taking turns"] - loads["one model, then the other"]
    print(f"{sizes[0] / 1e6:.0f} million weights, {len(run.results.comparisons)} comparisons")
    for order, found_seconds in seconds.items():
        each = " ".join(f"{one:.1f}" for one in sorted(found_seconds))
        middle = median(found_seconds)
        print(
            f"{order}: {middle:.1f} s of the processor ({middle / first - 1:+.1%}), "
            f"{loads[order]} models loaded; {each}"
        )
    print(f"one loading more: {(median(seconds['taking turns']) - first) / more:.2f} s")


if __name__ == "__main__":
    main()
