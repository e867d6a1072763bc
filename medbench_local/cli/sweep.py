"""``sweep``: several comparisons and the study's summary table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medbench_local.cli import parse
from medbench_local.cli.compare import (
    AblationOption,
    Check,
    CheckName,
    CheckPrecision,
    DataDir,
    DryRun,
    Force,
    GpuLayers,
    Json,
    Limit,
    ModeName,
    ModeOption,
    Offline,
    ProtocolOption,
    Quant,
    Retries,
    ScoringOption,
    Shots,
    SystemPrompt,
    Tasks,
    Threads,
)
from medbench_local.cli.output import out, print_json
from medbench_local.cli.progress import progress


def sweep(
    pairs: Annotated[
        list[str] | None,
        typer.Argument(help="Medical models of the catalog, MEDICAL-vs-BASE, or MEDICAL=BASE for your own."),
    ] = None,
    all_pairs: Annotated[bool, typer.Option("--all", help="The ten pairs of the study.")] = False,
    tasks: Tasks = None,
    shots: Shots = None,
    scoring: ScoringOption = None,
    protocol: ProtocolOption = "laptop",
    quant: Quant = None,
    limit: Limit = None,
    output: Annotated[Path | None, typer.Option(help="Folder for the runs.")] = None,
    data_dir: DataDir = None,
    offline: Offline = None,
    dry_run: DryRun = False,
    check: Check = CheckName.sample,
    check_precision: CheckPrecision = "full",
    ablation: AblationOption = True,
    system_prompt: SystemPrompt = None,
    force: Force = False,
    retries: Retries = 0,
    mode: ModeOption = ModeName.exact,
    threads: Threads = None,
    gpu_layers: GpuLayers = -1,
    json: Json = False,
) -> None:
    """Compare several pairs and print win, tie and loss rates beside the published ones.

    Example: medbench-local sweep meditron-7b biomistral-7b --tasks mmlu
    """
    from medbench_local.api import compare_options, tools_for
    from medbench_local.report.sweep import show_sweep, sweep_dict
    from medbench_local.report.terminal import show_plan
    from medbench_local.study.cost import plan_comparison
    from medbench_local.study.sweep import each_once, parse_pair, run_sweep, study_pairs

    options = compare_options(
        tasks=parse.names(tasks),
        shots=parse.numbers(shots, "--shots"),
        scoring=scoring.value if scoring else None,
        protocol=protocol,
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
    wanted = each_once([*(study_pairs() if all_pairs else ()), *(parse_pair(text) for text in pairs or ())])
    listener = progress()
    if dry_run:
        costs = [plan_comparison(pair.medical, pair.base, options, listener) for pair in wanted]
        if json:
            print_json([cost.to_dict() for cost in costs])
        else:
            for cost in costs:
                out().print(show_plan(cost))
        return
    found = run_sweep(wanted, options, tools_for(listener))
    if json:
        print_json(sweep_dict(found))
    else:
        out().print(show_sweep(found))
