"""The Python API: the commands of the command line as typed functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from medbench_local.catalog.protocol import Protocol, load_protocol
from medbench_local.engine.base import EngineOptions, Mode
from medbench_local.errors import UsageError
from medbench_local.progress import Progress, Silent
from medbench_local.settings import read_settings
from medbench_local.study.compare import Run, run_comparison
from medbench_local.study.plan import CheckScope, CompareOptions
from medbench_local.study.results import Scoring


def compare(
    medical: str,
    base: str,
    *,
    tasks: Sequence[str] | None = None,
    shots: Sequence[int] | None = None,
    scoring: Scoring | None = None,
    protocol: str | Path | Protocol = "laptop",
    quant: str | None = None,
    limit: int | None = None,
    check: bool | Literal["full"] = True,
    check_precision: str = "full",
    ablation: bool | None = None,
    data_dir: Path | None = None,
    system_prompt: str | None = None,
    output: Path | None = None,
    offline: bool | None = None,
    force: bool = False,
    retries: int = 0,
    mode: Mode = "exact",
    threads: int | None = None,
    gpu_layers: int = -1,
    progress: Progress | None = None,
) -> Run:
    """Compare a medical model with the model it was built from.

    Args:
        medical: a catalog name, a ``.gguf`` file, a checkpoint folder, ``hf:owner/name[@revision]`` or
            ``gguf:owner/name/file.gguf``.
        base: likewise.
        tasks: task ids or groups; None for the 13 of the study (the demo tasks for the demo pair).
        shots: numbers of demonstrations; None for the protocol's.
        scoring: "constrained", "label", "cloze" or "greedy"; None for the protocol's.
        protocol: a built-in name, a YAML file, or a `Protocol`.
        quant: a quantisation config's name or file, "auto" (climb until verified), "none" (full precision), or
            None for q8_0.
        limit: most test and validation questions of a task.
        check: whether the quantised verdict is checked against full precision; "full" on every question.
        check_precision: what stands in for full precision where that does not fit this machine.
        ablation: also score the base model with the medical model's prompts; None for the protocol's choice.
        data_dir: folder of the data sets' official files; None for MEDBENCH_DATA, or the hub.
        system_prompt: replaces every system prompt.
        output: the run's folder; None for ``runs/<medical>-vs-<base>-<8 hex>``.
        offline: never touch the network; None for what HF_HUB_OFFLINE says.
        force: run even if memory seems too small.
        retries: how often a worker that died is started again.
        mode: "exact" (bit-reproducible) or "fast" (several questions a decode).
        threads: CPU threads; None for the number of physical cores.
        gpu_layers: layers on the GPU; -1 for all.
        progress: listens to the work.

    Returns:
        The run: its folder and its results. A finished one is read, an interrupted one goes on.

    Raises:
        MedbenchError: with one line that says what happened and one that says what to do.
    """
    options = compare_options(
        tasks=tasks,
        shots=shots,
        scoring=scoring,
        protocol=protocol,
        quant=quant,
        limit=limit,
        check=check,
        check_precision=check_precision,
        ablation=ablation,
        data_dir=data_dir,
        system_prompt=system_prompt,
        output=output,
        offline=offline,
        force=force,
        retries=retries,
        mode=mode,
        threads=threads,
        gpu_layers=gpu_layers,
    )
    return run_comparison(medical, base, options, progress or Silent())


def compare_options(
    *,
    tasks: Sequence[str] | None,
    shots: Sequence[int] | None,
    scoring: Scoring | None,
    protocol: str | Path | Protocol,
    quant: str | None,
    limit: int | None,
    check: bool | Literal["full"],
    check_precision: str,
    ablation: bool | None,
    data_dir: Path | None,
    system_prompt: str | None,
    output: Path | None,
    offline: bool | None,
    force: bool,
    retries: int,
    mode: Mode,
    threads: int | None,
    gpu_layers: int,
) -> CompareOptions:
    """The arguments of `compare` as one value, checked and completed from the environment.

    Raises:
        UsageError: a value is out of its range.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"--limit must be at least 1, not {limit}.")
    if retries < 0:
        raise UsageError(f"--retries must be 0 or more, not {retries}.")
    if threads is not None and threads < 1:
        raise UsageError(f"--threads must be at least 1, not {threads}.")
    if shots is not None and (not shots or min(shots) < 0):
        raise UsageError("--shots needs numbers of demonstrations, 0 or more, such as 0,3.")
    settings = read_settings()
    rules = protocol if isinstance(protocol, Protocol) else load_protocol(protocol)
    scope: CheckScope = "full" if check == "full" else "config" if check else "none"
    return CompareOptions(
        tasks=tuple(tasks) if tasks is not None else None,
        shots=tuple(dict.fromkeys(shots)) if shots is not None else None,
        scoring=scoring,
        protocol=rules,
        quant=quant,
        limit=limit,
        check=scope,
        check_precision=check_precision,
        ablation=rules.ablation if ablation is None else ablation,
        data_dir=data_dir or settings.data_dir,
        system_prompt=system_prompt,
        output=output,
        home=settings.home,
        offline=settings.offline if offline is None else offline,
        force=force,
        retries=retries,
        engine=replace(EngineOptions(), mode=mode, threads=threads, gpu_layers=gpu_layers),
    )
