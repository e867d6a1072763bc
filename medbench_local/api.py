"""The Python API: the commands of the command line as typed functions, imported from `medbench_local`.

Functions that compare models share the options of `compare_options`, all by keyword:

    from medbench_local import compare
    run = compare("meditron-7b", "llama-2-7b", tasks=["medqa", "pubmedqa"], quant="q4_k_m")
    print(run)
    run.results.comparisons[0].verdict
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, get_args

from medbench_local.acquire.conversion.convert import convert_checkpoint
from medbench_local.acquire.prepare import find_checkpoint
from medbench_local.acquire.quantise import quantise
from medbench_local.acquire.source import HubCheckpoint, LocalCheckpoint, resolve_model
from medbench_local.catalog.protocol import Protocol, Scoring, default_protocol, load_protocol
from medbench_local.catalog.quantisation import QuantConfig, load_quant
from medbench_local.engine.base import MOST_THREADS, EngineOptions, Mode
from medbench_local.errors import UsageError
from medbench_local.progress import Progress, Silent
from medbench_local.prompts.export import ExportedPrompt
from medbench_local.prompts.prompt_style import check_system_prompt
from medbench_local.reference.exporting import prompts_of_run
from medbench_local.reference.file_verdicts import FileVerdicts, verdicts_of_files
from medbench_local.reference.rows import read_rows, read_samples
from medbench_local.reference.validate import validate as compare_with
from medbench_local.reference.validation import Validation
from medbench_local.report.files import write_reports
from medbench_local.results.folder import find_run
from medbench_local.scoring.opened import open_model
from medbench_local.scoring.own_prompts import UserRequest, score_on
from medbench_local.settings import read_settings
from medbench_local.study.check_model import ModelCheck, run_check
from medbench_local.study.compare import Run, run_comparison
from medbench_local.study.cost import ComparisonCost, plan_comparison
from medbench_local.study.plan import CheckScope, CompareOptions
from medbench_local.study.sweep import PairNames, Sweep, parse_pair, run_sweep

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Options(TypedDict, total=False):
    """The options of `compare`, `plan`, `check` and `sweep`; `compare_options` says what each means."""

    tasks: Sequence[str] | None
    shots: Sequence[int] | None
    scoring: Scoring | None
    protocol: str | Path | Protocol
    quant: str | None
    limit: int | None
    check: CheckScope
    check_precision: str
    ablation: bool | None
    data_dir: Path | None
    system_prompt: str | None
    output: Path | None
    offline: bool | None
    force: bool
    retries: int
    mode: Mode
    threads: int | None
    gpu_layers: int


def compare(medical: str, base: str, *, progress: Progress | None = None, **options: Unpack[Options]) -> Run:
    """Compare a medical model with the model it was built from.

    Args:
        medical: a catalog name, a ``.gguf`` file, a checkpoint folder, ``hf:owner/name[@revision]`` or
            ``gguf:owner/name/file.gguf``.
        base: likewise.
        progress: listens to the work.
        options: see `compare_options`; the protocol is "demo" for the embedded pair unless another is named.

    Returns:
        The run: its folder and its results. A finished one is read, an interrupted one goes on.

    Raises:
        MedbenchError: with one line that says what happened and one that says what to do.
    """
    asked: Options = {"protocol": default_protocol(medical, base), **options}
    return run_comparison(medical, base, compare_options(**asked), progress or Silent(), write_reports)


def plan(
    medical: str, base: str, *, progress: Progress | None = None, **options: Unpack[Options]
) -> ComparisonCost:
    """What `compare` would fetch and compute; nothing is computed. Arguments and errors as there."""
    asked: Options = {"protocol": default_protocol(medical, base), **options}
    return plan_comparison(medical, base, compare_options(**asked), progress or Silent())


def sweep(
    pairs: Sequence[str | tuple[str, str]], *, progress: Progress | None = None, **options: Unpack[Options]
) -> Sweep:
    """Compare several pairs and summarise them as the study does.

    Args:
        pairs: medical models of the catalog, "MEDICAL=BASE", or tuples of both models.
        progress: listens to the work.
        options: see `compare_options`; ``ablation`` is on unless it is turned off.

    Raises:
        MedbenchError: as `compare`; the comparisons before it are kept.
    """
    wanted = [parse_pair(pair) if isinstance(pair, str) else PairNames(*pair) for pair in pairs]
    asked: Options = {"ablation": True, **options}
    return run_sweep(wanted, compare_options(**asked), progress or Silent(), write_reports)


def check(
    model: str, *, quant: str, progress: Progress | None = None, **options: Unpack[CheckOptions]
) -> ModelCheck:
    """Check that a model at a precision answers as it does at full precision.

    Args:
        model: as in `compare`.
        quant: the precision to check: a quantisation config's name or file.
        progress: listens to the work.
        options: those of `compare_options` that say what is asked; ``check="full"`` asks every question.

    Raises:
        MedbenchError: as `compare`.
    """
    return run_check(model, compare_options(quant=quant, ablation=False, **options), progress or Silent())


class CheckOptions(TypedDict, total=False):
    """The options of `check`; `compare_options` says what each means."""

    tasks: Sequence[str] | None
    shots: Sequence[int] | None
    scoring: Scoring | None
    protocol: str | Path | Protocol
    limit: int | None
    check: Literal["sample", "full"]
    check_precision: str
    data_dir: Path | None
    system_prompt: str | None
    output: Path | None
    offline: bool | None
    force: bool
    retries: int
    mode: Mode
    threads: int | None
    gpu_layers: int


def verdict(
    medical: Path,
    base: Path,
    *,
    confidence: float = 0.95,
    metric: str | None = None,
    filter: str | None = None,
    task: str | None = None,
) -> FileVerdicts:
    """The paired verdict of two files of per-question results, whatever made them.

    Args:
        medical: rows with ``id``, ``correct`` (or ``prediction`` and ``answer``) and maybe ``task`` as JSON Lines, a
            JSON list or CSV; a log of lm-evaluation-harness or inspect_ai; or a run's folder, of which the medical
            model's samples are taken.
        base: the same of the base model, in any of these formats.
        confidence: of the bootstrap's interval, from 0.5 to below 1.
        metric: which metric or scorer of a log says what is correct; needed where there are several.
        filter: which filter of an lm-evaluation-harness log is read; needed where there are several.
        task: task id of rows that do not say theirs.

    Raises:
        InputError: a file is malformed, it is not clear what its predictions mean, a metric or filter has to be
            chosen, or the files have no question in common or other questions under the same id.
        UsageError: ``confidence`` is out of its range, or there is no log from which to take ``metric`` or ``filter``.
    """
    return verdicts_of_files(medical, base, confidence=confidence, metric=metric, filter=filter, task=task)


def validate(
    run: str | Path | Run,
    reference: Path | Sequence[Path],
    *,
    model: str | None = None,
    protocol: str | Path | Protocol | None = None,
    metric: str | None = None,
    filter: str | None = None,
    task: str | None = None,
) -> Validation:
    """Compare a finished run with results computed elsewhere, question by question.

    The result's ``outcome`` is "agrees", "contradicted" or "too little to judge"; its ``statements`` say what that
    rests on and what was not compared.

    Args:
        run: its folder or name, or what `compare` returned.
        reference: samples, exported prompts with results (JSON Lines, a JSON list or CSV), logs of
            lm-evaluation-harness or inspect_ai, or another run's folder; one or several.
        model: whose results they are, if the files do not say or call the model by another name.
        protocol: thresholds and bootstrap; None for those that the run was made with.
        metric: which scorer of an inspect_ai log says what is correct, where there are several; of a harness log only
            ``acc``, which follows the log-likelihoods.
        filter: which filter of an lm-evaluation-harness log is read; needed where there are several.
        task: task id of rows that do not say theirs.

    Raises:
        InputError: a file is malformed, or holds other questions than the run under the same ids.
        UsageError: there is no such run.
    """
    folder = run.folder if isinstance(run, Run) else find_run(str(run))
    rules = folder.protocol() if protocol is None else _protocol(protocol)
    files = [reference] if isinstance(reference, Path) else reference
    rows = [
        row for path in files for row in read_rows(path, model=model, task=task, metric=metric, filter=filter)
    ]
    return compare_with(
        read_samples(folder.path), rows, thresholds=rules.reference, bootstrap=rules.bootstrap
    )


def score_requests(
    model: str,
    requests: Sequence[UserRequest],
    *,
    quant: str = "none",
    special: bool = False,
    offline: bool | None = None,
    force: bool = False,
    mode: Mode = "exact",
    threads: int | None = None,
    gpu_layers: int = -1,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Log-probabilities of continuations of your own prompts.

    Args:
        model: as in `compare`.
        requests: prompts with their continuations.
        quant: a quantisation config's name or file, or "none" for full precision.
        special: whether control-token text in prompts stands for control tokens.
        offline: never touch the network; None for what HF_HUB_OFFLINE says.
        force: load even if memory seems too small.
        mode: "exact" (bit-reproducible) or "fast" (several prompts a decode).
        threads: CPU threads; None for the number of physical cores.
        gpu_layers: layers on the GPU; -1 for all.
        progress: listens to the work.

    Returns:
        For each request ``id``, ``logprobs`` (nats, of each continuation), ``tokens`` (of the prompt) and
        ``mass`` (summed probability of the continuations).

    Raises:
        MedbenchError: the model cannot be had, loaded or used.
    """
    listener = progress or Silent()
    options = EngineOptions(mode=mode, threads=threads, gpu_layers=gpu_layers)
    with open_model(
        model, quant=quant, options=options, offline=bool(offline), force=force, progress=listener
    ) as opened:
        packs = score_on(
            opened.engine, requests, special=special, label=opened.prepared.name, progress=listener
        )
        return [row for rows in packs for row in rows]


def convert(
    source: str,
    output: Path,
    *,
    type: Literal["auto", "f32", "f16", "bf16"] = "auto",
    offline: bool | None = None,
    progress: Progress | None = None,
) -> tuple[str, ...]:
    """Convert a checkpoint to GGUF, without torch and without running any of its code.

    Args:
        source: a checkpoint folder, a catalog name, or ``hf:owner/name``.
        output: the GGUF file to write.
        type: of the weights; "auto" keeps the checkpoint's own, without loss.
        offline: never touch the network; None for what HF_HUB_OFFLINE says.
        progress: listens to the work.

    Returns:
        Warnings: what a person should know before trusting the file.

    Raises:
        MedbenchError: the checkpoint cannot be had, read or written.
    """
    settings = read_settings()
    listener = progress or Silent()
    meant = resolve_model(source)
    if not isinstance(meant, LocalCheckpoint | HubCheckpoint):
        raise UsageError(f"{source} is a GGUF already.", advice="medbench-local quantize makes it smaller.")
    checkpoint = find_checkpoint(
        meant,
        load_quant("full"),
        home=settings.home,
        offline=settings.offline if offline is None else offline,
        progress=listener,
    )
    return convert_checkpoint(checkpoint.folder(), output, file_type=type, progress=listener).warnings


def quantize(
    source: Path,
    output: Path,
    *,
    quant: str | Path | QuantConfig,
    threads: int | None = None,
    progress: Progress | None = None,
) -> tuple[str, ...]:
    """Quantise a GGUF file; the same input gives the same bytes.

    Args:
        source: a GGUF file in f32, f16 or bf16.
        output: the GGUF file to write.
        quant: a quantisation config, its name or its file.
        threads: CPU threads; the bytes do not depend on them.
        progress: listens to the work.

    Returns:
        Warnings: what a person should know before trusting the file.

    Raises:
        MedbenchError: the file cannot be read, quantised or written.
    """
    config = quant if isinstance(quant, QuantConfig) else load_quant(quant)
    return quantise(source, config, output, threads=threads, progress=progress or Silent()).warnings


def export_prompts(
    run: str | Path | Run,
    *,
    data_dir: Path | None = None,
    offline: bool | None = None,
    progress: Progress | None = None,
) -> list[ExportedPrompt]:
    """The exact test prompts of both models of a finished run, to be run on any other engine.

    Args:
        run: its folder or name, or what `compare` returned.
        data_dir: folder of the data sets' official files; None for MEDBENCH_DATA, or the hub.
        offline: never touch the network; None for what HF_HUB_OFFLINE says.
        progress: listens to the work.

    Raises:
        UsageError: there is no such run, or it is not finished.
        InputError: its files or the data are not what they were.
    """
    settings = read_settings()
    folder = run.folder if isinstance(run, Run) else find_run(str(run))
    return prompts_of_run(
        folder,
        data_dir=data_dir or settings.data_dir,
        offline=settings.offline if offline is None else offline,
        progress=progress or Silent(),
    )


def compare_options(
    *,
    tasks: Sequence[str] | None = None,
    shots: Sequence[int] | None = None,
    scoring: Scoring | None = None,
    protocol: str | Path | Protocol = "laptop",
    quant: str | None = None,
    limit: int | None = None,
    check: CheckScope = "sample",
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
) -> CompareOptions:
    """The options of a comparison as one value, checked and completed from the environment.

    Args:
        tasks: task ids or groups; None for the 13 of the study (the demo tasks for the demo pair).
        shots: numbers of demonstrations; None for the protocol's.
        scoring: "constrained", "label", "cloze" or "greedy"; None for the protocol's.
        protocol: a built-in name, a YAML file, or a `Protocol`.
        quant: a quantisation config's name or file, "auto" (climb until verified), "none" (full precision), or
            None for q8_0.
        limit: most test and validation questions of a task.
        check: whether quantised verdicts are checked against full precision: "none"; "sample", on as many questions
            as it takes to know; or "full", on all.
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

    Raises:
        UsageError: a value is out of its range.
        InputError: the protocol's file is malformed.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"--limit must be at least 1, not {limit}.")
    if retries < 0:
        raise UsageError(f"--retries must be 0 or more, not {retries}.")
    if threads is not None and not 1 <= threads <= MOST_THREADS:
        raise UsageError(f"--threads must be from 1 to {MOST_THREADS}, not {threads}.")
    if gpu_layers < -1:
        raise UsageError(f"--gpu-layers must be -1 (all) or more, not {gpu_layers}.")
    if shots is not None and (not shots or min(shots) < 0):
        raise UsageError("--shots needs numbers of demonstrations, 0 or more, such as 0,3.")
    check_system_prompt(system_prompt)
    settings = read_settings()
    rules = _protocol(protocol)
    if check not in get_args(CheckScope):
        raise UsageError(f"--check is one of {', '.join(get_args(CheckScope))}, not {check!r}.")
    return CompareOptions(
        tasks=tuple(tasks) if tasks is not None else None,
        shots=tuple(dict.fromkeys(shots)) if shots is not None else None,
        scoring=scoring,
        protocol=rules,
        quant=quant,
        limit=limit,
        check=check,
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


def _protocol(given: str | Path | Protocol) -> Protocol:
    return given if isinstance(given, Protocol) else load_protocol(given)
