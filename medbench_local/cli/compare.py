"""``compare``: the main command."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from medbench_local.cli import parse
from medbench_local.cli.output import err, out, print_json
from medbench_local.cli.progress import progress

MODEL_HELP = "A catalog name, a .gguf file, a checkpoint folder, hf:owner/name[@revision] or gguf:owner/name/file.gguf."


class ScoringName(str, Enum):
    """How a prompt and its options become an answer."""

    constrained = "constrained"
    label = "label"
    cloze = "cloze"
    greedy = "greedy"


class ModeName(str, Enum):
    """How the engine decodes."""

    exact = "exact"
    fast = "fast"


class CheckName(str, Enum):
    """How much of a quantised result is checked against full precision."""

    none = "none"
    sample = "sample"
    full = "full"


Tasks = Annotated[str | None, typer.Option(help="Task ids, comma-separated, or all, mmlu, demo.")]
Shots = Annotated[str | None, typer.Option(help="Numbers of demonstrations, such as 0,3.")]
ScoringOption = Annotated[ScoringName | None, typer.Option(help="How prompts become answers.")]
ProtocolOption = Annotated[str, typer.Option(help="laptop, emnlp2024, or a YAML file.")]
Quant = Annotated[
    str | None,
    typer.Option(
        help="A quantisation config or its file, auto (climb until verified) or none.  [default: q8_0]"
    ),
]
Limit = Annotated[int | None, typer.Option(help="Most test and validation questions of a task.")]
DataDir = Annotated[
    Path | None, typer.Option(help="Folder of the data sets' official files, instead of the hub.")
]
Offline = Annotated[bool | None, typer.Option("--offline", help="Never touch the network.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the plan and its cost; compute nothing.")]
Check = Annotated[
    CheckName,
    typer.Option(
        help="Whether quantised verdicts are checked against full precision: not, on as many questions as it takes to "
        "know, or on all."
    ),
]
CheckPrecision = Annotated[
    str, typer.Option(help="What stands in for full precision where that does not fit, such as q8_0.")
]
AblationOption = Annotated[
    bool | None,
    typer.Option(
        "--ablation/--no-ablation", help="Also ask the base model with the medical model's prompts."
    ),
]
SystemPrompt = Annotated[str | None, typer.Option(help="Replaces every system prompt.")]
Force = Annotated[bool, typer.Option("--force", help="Run even if memory seems too small.")]
Retries = Annotated[int, typer.Option(help="How often a worker that died is started again.")]
ModeOption = Annotated[
    ModeName, typer.Option(help="exact: bit-reproducible; fast: several questions a decode.")
]
Threads = Annotated[int | None, typer.Option(help="CPU threads.  [default: physical cores]")]
GpuLayers = Annotated[int, typer.Option(help="Layers on the GPU; -1 all, 0 none.")]
Json = Annotated[bool, typer.Option("--json", help="Results as JSON on stdout.")]


def compare(
    medical: Annotated[str, typer.Argument(help=f"The medical model. {MODEL_HELP}")],
    base: Annotated[str, typer.Argument(help="The model it was built from; likewise.")],
    tasks: Tasks = None,
    shots: Shots = None,
    scoring: ScoringOption = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            help="laptop, emnlp2024, or a YAML file.  [default: laptop; demo for the embedded pair]"
        ),
    ] = None,
    quant: Quant = None,
    limit: Limit = None,
    output: Annotated[Path | None, typer.Option(help="The run's folder.")] = None,
    data_dir: DataDir = None,
    offline: Offline = None,
    dry_run: DryRun = False,
    check: Check = CheckName.sample,
    check_precision: CheckPrecision = "full",
    ablation: AblationOption = None,
    system_prompt: SystemPrompt = None,
    force: Force = False,
    retries: Retries = 0,
    mode: ModeOption = ModeName.exact,
    threads: Threads = None,
    gpu_layers: GpuLayers = -1,
    json: Json = False,
) -> None:
    """Compare a medical model with the model it was built from.

    Fetches, converts and quantises both, chooses the best prompt for each on validation questions, scores the
    test questions, checks the quantised verdicts against full precision, and reports win, tie or loss. The same
    command finds its finished run, and resumes an interrupted one.

    Example: medbench-local compare meditron-7b llama-2-7b --tasks medqa,pubmedqa
    """
    from medbench_local.api import compare_options, tools_for
    from medbench_local.catalog.protocol import default_protocol
    from medbench_local.report.terminal import show_plan, show_results
    from medbench_local.study.compare import run_comparison
    from medbench_local.study.cost import plan_comparison

    options = compare_options(
        tasks=parse.names(tasks),
        shots=parse.numbers(shots, "--shots"),
        scoring=scoring.value if scoring else None,
        protocol=protocol or default_protocol(medical, base),
        quant=quant,
        limit=limit,
        check=check.value,
        check_precision=check_precision,
        ablation=ablation,
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
    listener = progress()
    if dry_run:
        cost = plan_comparison(medical, base, options, listener)
        if json:
            print_json(cost.to_dict())
        else:
            out().print(show_plan(cost))
        return
    run = run_comparison(medical, base, options, tools_for(listener))
    if not run.computed:
        err().print(f"found the finished run {run.folder.path}", markup=False)
    if json:
        out().file.write(run.results.to_json())
    else:
        out().print(show_results(run.results, run.folder.path))
