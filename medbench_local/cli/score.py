"""``score``: option log-probabilities for prompts of one's own."""

from __future__ import annotations

import hashlib
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from medbench_local.cli.compare import MODEL_HELP, Force, GpuLayers, ModeName, ModeOption, Threads
from medbench_local.cli.inputs import model_files, quant_files
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

    By the rule `label`: the joint log-probability of what each option adds to what all of them share.

    With --output, an interrupted run resumes.

    Example: medbench-local score demo-med requests.jsonl --output scores.jsonl
    """
    import json

    from medbench_local.api import tools_for
    from medbench_local.engine.base import EngineOptions
    from medbench_local.files.lock import only_writer
    from medbench_local.scoring.opened import open_model
    from medbench_local.scoring.own_prompts import PartialResults, digest, read_requests, score_on

    target = None if output is None else _target(output, requests, model, quant)
    asked = read_requests(requests)
    listener = progress()
    start = tools_for().start_engine
    options = EngineOptions(mode=mode.value, threads=threads, gpu_layers=gpu_layers)
    with (
        nullcontext() if target is None else only_writer(target),
        open_model(
            model, start, quant=quant, options=options, offline=offline, force=force, progress=listener
        ) as opened,
    ):
        label = f"scoring with {opened.prepared.name}"
        if target is None:
            packs = score_on(
                opened.engine, asked, special=special, label=label, progress=listener, source=requests
            )
            for rows in packs:
                sys.stdout.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
                sys.stdout.flush()
            return
        key = hashlib.sha256(
            json.dumps(
                [
                    digest(asked),
                    opened.prepared.quantised.sha256,
                    opened.engine.info.numerics,
                    special,
                ]
            ).encode()
        ).hexdigest()
        results = PartialResults(target, key, asked)
        for rows in score_on(
            opened.engine,
            asked,
            special=special,
            label=label,
            progress=listener,
            known=results.known,
            source=requests,
        ):
            results.append(rows)
        results.finish()
    listener.note(f"{len(asked):,} results in {output}")


def _target(output: Path, requests: Path, model: str, quant: str) -> Path:
    """The file that --output means, which neither it nor its part may be one that is read."""
    from medbench_local.files.atomic import output_file
    from medbench_local.scoring.own_prompts import part_of

    read = [requests, *model_files(model), *(quant_files(quant) if quant != "none" else [])]
    target = output_file(output, inputs=read)
    output_file(part_of(target), inputs=read)
    return target
