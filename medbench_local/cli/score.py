"""``score``: option log-probabilities for prompts of one's own."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Annotated

import typer

from medbench_local.cli.compare import MODEL_HELP, Force, GpuLayers, ModeName, ModeOption, Threads
from medbench_local.cli.progress import progress


def score(
    model: Annotated[str, typer.Argument(help=MODEL_HELP)],
    requests: Annotated[Path, typer.Argument(help="JSON Lines with id, prompt, options (continuations).")],
    output: Annotated[Path | None, typer.Option(help="Where results go.  [default: stdout]")] = None,
    quant: Annotated[str, typer.Option(help="Quantisation config, or none for full precision.")] = "none",
    special: Annotated[
        bool, typer.Option("--special", help="Control-token text in prompts becomes control tokens.")
    ] = False,
    mode: ModeOption = ModeName.exact,
    threads: Threads = None,
    gpu_layers: GpuLayers = -1,
    offline: Annotated[bool, typer.Option("--offline", help="Never touch the network.")] = False,
    force: Force = False,
) -> None:
    """Score continuations of your own prompts: one JSON line a prompt with logprobs, tokens and mass.

    With --output, an interrupted run goes on where it stopped.

    Example: medbench-local score demo-med requests.jsonl --output scores.jsonl
    """
    import json

    from medbench_local.engine.base import EngineOptions
    from medbench_local.study.requests import PartialResults, read_requests, score_on
    from medbench_local.study.single import open_model

    asked = read_requests(requests)
    listener = progress()
    options = EngineOptions(mode=mode.value, threads=threads, gpu_layers=gpu_layers)
    with open_model(
        model, quant=quant, options=options, offline=offline, force=force, progress=listener
    ) as opened:
        label = f"scoring with {opened.prepared.name}"
        if output is None:
            for rows in score_on(opened.engine, asked, special=special, label=label, progress=listener):
                sys.stdout.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
                sys.stdout.flush()
            return
        key = hashlib.sha256(
            json.dumps(
                [
                    hashlib.sha256(requests.read_bytes()).hexdigest(),
                    opened.prepared.quantised.sha256,
                    opened.engine.info.numerics,
                    special,
                ]
            ).encode()
        ).hexdigest()
        results = PartialResults(output, key)
        for rows in score_on(
            opened.engine, asked, special=special, label=label, progress=listener, known=results.known
        ):
            results.append(rows)
        results.finish()
    listener.note(f"{len(asked):,} results in {output}")
