"""``check``: is a quantised model equivalent with the full one?"""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from medbench_local.cli import parse
from medbench_local.cli.compare import (
    MODEL_HELP,
    CheckPrecision,
    DataDir,
    Force,
    GpuLayers,
    Json,
    Limit,
    ModeName,
    ModeOption,
    Offline,
    ProtocolOption,
    Retries,
    ScoringOption,
    Shots,
    SystemPrompt,
    Tasks,
    Threads,
)
from medbench_local.cli.errors import DOES_NOT_HOLD, UNSETTLED
from medbench_local.cli.output import out, print_json
from medbench_local.cli.progress import progress


class AskName(str, Enum):
    """How many questions are asked."""

    sample = "sample"
    full = "full"


def check(
    model: Annotated[str, typer.Argument(help=MODEL_HELP)],
    quant: Annotated[str, typer.Option(help="The precision to check: a quantisation config or its file.")],
    tasks: Tasks = None,
    shots: Shots = None,
    scoring: ScoringOption = None,
    protocol: ProtocolOption = "laptop",
    limit: Limit = None,
    check: Annotated[
        AskName,
        typer.Option(
            "--check", help="Ask as many questions as the quantisation config names, or all of them."
        ),
    ] = AskName.sample,
    output: Annotated[Path | None, typer.Option(help="Folder for the scores.")] = None,
    data_dir: DataDir = None,
    offline: Offline = None,
    check_precision: CheckPrecision = "full",
    system_prompt: SystemPrompt = None,
    force: Force = False,
    retries: Retries = 0,
    mode: ModeOption = ModeName.exact,
    threads: Threads = None,
    gpu_layers: GpuLayers = -1,
    json: Json = False,
) -> None:
    """Check that quantisation does not change a model's answers.

    Exit code 1 if it changes them, 3 if too few questions were asked to tell.

    Example: medbench-local check demo-med --quant q8_0
    """
    from medbench_local.api import compare_options, tools_for
    from medbench_local.report.terminal import show_check
    from medbench_local.study.check_model import run_check

    options = compare_options(
        tasks=parse.names(tasks),
        shots=parse.numbers(shots, "--shots"),
        scoring=scoring.value if scoring else None,
        protocol=protocol,
        quant=quant,
        limit=limit,
        check=check.value,
        check_precision=check_precision,
        ablation=False,
        data_dir=data_dir,
        system_prompt=system_prompt,
        output=output,
        offline=offline,
        force=force,
        retries=retries,
        mode=mode.value,
        threads=threads,
        gpu_layers=gpu_layers,
    )
    found = run_check(model, options, tools_for(progress()))
    if json:
        print_json(found.to_dict())
    else:
        out().print(show_check(found))
    if found.outcome != "equivalent":
        raise typer.Exit(DOES_NOT_HOLD if found.outcome == "different" else UNSETTLED)
