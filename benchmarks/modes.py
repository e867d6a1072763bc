"""How far the engine's modes are from float32 arithmetic, beside what the rounding of the weights itself does.

    python benchmarks/modes.py [--prompts 24] [--checkpoint FOLDER ...]
    python benchmarks/modes.py --gaps    # how far "reproducible" moves the gap between two tokens from "exact"

Natural log-probabilities of the 8 likeliest tokens and of 8 random ones behind each prompt, absolute differences in
nats, as median / largest. The models are the embedded pair, the checkpoints named, and random Llamas of several head
sizes, all of them against transformers in float32 with the very same token ids. F32, F16 and bf16 weights are
compared with transformers on the weights so rounded, as if the checkpoint were stored that way; quantised ones with
the unquantised checkpoint, so that "exact" shows what quantisation itself does. Gaps are those between neighbours
among the five likeliest tokens, in the embedded pair. Needs torch and transformers.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

import medbench_local.demo as demo
from medbench_local import api
from medbench_local.catalog.quantisation import FULL, quant_names
from medbench_local.engine.base import EngineOptions, Mode, Pack, ScoreRequest, Tokens
from medbench_local.engine.llama import LlamaEngine
from medbench_local.errors import MedbenchError

PAIR = Path(demo.__file__).parent / "checkpoints"
STORED = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
HEADS = {64: (4, 2), 80: (16, 8), 96: (8, 4), 128: (4, 2), 256: (2, 1)}
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Asked:
    """Prompts with the tokens whose log-probabilities are compared."""

    contexts: tuple[Tokens, ...]
    wanted: tuple[Tokens, ...]


def random_checkpoint(head: int, folder: Path) -> Path:
    """A Llama of random weights with attention heads of ``head`` numbers."""
    heads, kv_heads = HEADS[head]
    config = transformers.LlamaConfig(
        vocab_size=1280,
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=head,
        max_position_embeddings=1024,
        tie_word_embeddings=False,
        bos_token_id=1,
        eos_token_id=2,
    )
    torch.manual_seed(head)
    model = transformers.LlamaForCausalLM(config)
    for name, weights in model.named_parameters():
        if weights.dim() == 2:
            scale = 1.0 if "embed" in name else (3.0 if "lm_head" in name else 1.5) / weights.shape[1] ** 0.5
            torch.nn.init.normal_(weights, 0, scale)
    model.save_pretrained(folder)
    for name in ("tokenizer.model", "tokenizer_config.json", "special_tokens_map.json"):
        shutil.copy(PAIR / "demo-base" / name, folder / name)
    return folder


def stored_as(source: Path, kind: str, folder: Path) -> Path:
    """A copy of a checkpoint whose weights are rounded to ``kind``."""
    shutil.copytree(source, folder)
    weights = load_file(source / "model.safetensors")
    save_file(
        {name: tensor.to(STORED[kind]).contiguous() for name, tensor in weights.items()},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )
    return folder


def reference(folder: Path, asked: Asked | None, contexts: tuple[Tokens, ...]) -> tuple[Asked, Array]:
    """What float32 arithmetic says; chooses the tokens that are compared where ``asked`` is None."""
    model: Any = transformers.LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    generator = np.random.default_rng(1)
    wanted, found = [], []
    for number, context in enumerate(contexts):
        with torch.no_grad():
            row = model(torch.tensor([context])).logits[0, -1].double().log_softmax(-1).numpy()
        if asked is None:
            likeliest = np.argsort(row)[::-1][:8]
            others = generator.choice(np.setdiff1d(np.arange(3, len(row)), likeliest), 8, replace=False)
            wanted.append(tuple(int(token) for token in (*likeliest, *others)))
        else:
            wanted.append(asked.wanted[number])
        found.append(row[list(wanted[-1])])
    return Asked(contexts, tuple(wanted)), np.array(found)


def scores(path: Path, mode: Mode, asked: Asked) -> Array:
    requests = [
        ScoreRequest(context, tuple((token,) for token in tokens))
        for context, tokens in zip(asked.contexts, asked.wanted, strict=True)
    ]
    with LlamaEngine(path, EngineOptions(mode=mode, n_ctx=1024, threads=1, gpu_layers=0)) as engine:
        return np.array([found.logprobs for found in engine.score(Pack((), tuple(requests)))])


def rows(source: Path, prompts: int, work: Path) -> Iterator[tuple[str, Array, Array, Array]]:
    """For each kind of weights: its name, float32's log-probabilities, and those of "exact" and "reproducible"."""
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    longest = config["max_position_embeddings"] - 1
    generator = np.random.default_rng(0)
    lengths = generator.integers(70, min(longest, 600), prompts)
    contexts = tuple((1, *(int(t) for t in generator.integers(3, config["vocab_size"], n))) for n in lengths)
    asked, full = reference(source, None, contexts)
    for kind in STORED:
        folder = stored_as(source, kind, work / kind)
        path = work / f"{kind}.gguf"
        api.convert(str(folder), path)
        rounded = reference(folder, asked, contexts)[1]
        yield kind, rounded, scores(path, "exact", asked), scores(path, "reproducible", asked)
    for quant in quant_names():
        if quant == FULL:
            continue
        path = work / f"{quant}.gguf"
        try:
            api.quantize(work / "f32.gguf", path, quant=quant, threads=1)
        except MedbenchError:
            continue  # rows that are too short for its blocks
        yield quant, full, scores(path, "exact", asked), scores(path, "reproducible", asked)


def said(one: Array, other: Array) -> str:
    gaps = np.abs(one - other)
    return f"{np.median(gaps):.1e} / {gaps.max():.1e}"


def moved_gaps(exact: Array, reproducible: Array) -> str:
    """Median, 95 % quantile and largest change of the gaps between the likeliest tokens."""
    moved = np.abs(np.diff(exact[:, :5]) - np.diff(reproducible[:, :5]))
    return " | ".join(f"{np.quantile(moved, share):.4f}" for share in (0.5, 0.95, 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=24)
    parser.add_argument(
        "--checkpoint", type=Path, nargs="*", default=[], help="Llama checkpoints beside the models"
    )
    parser.add_argument("--gaps", action="store_true")
    given = parser.parse_args()
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    distances = "exact to float32 | reproducible to float32 | reproducible to exact"
    print(f"| model | weights | {'median | 95 % | largest' if given.gaps else distances} |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as room:
        sources = {folder.name: folder for folder in (*given.checkpoint, *sorted(PAIR.glob("demo-*")))}
        for head in () if given.gaps else HEADS:
            sources[f"random, heads of {head}"] = random_checkpoint(head, Path(room) / f"random-{head}")
        for number, (name, source) in enumerate(sources.items()):
            work = Path(room) / str(number)
            work.mkdir()
            for kind, full, exact, reproducible in rows(source, given.prompts, work):
                gaps = (exact, full), (reproducible, full), (reproducible, exact)
                distances = " | ".join(said(*pair) for pair in gaps)
                said_of = moved_gaps(exact, reproducible) if given.gaps else distances
                print(f"| {name} | {kind} | {said_of} |", flush=True)
            shutil.rmtree(work)


if __name__ == "__main__":
    main()
