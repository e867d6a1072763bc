"""The Python API: the commands of the command line as typed functions, imported from `medbench_local`.

Functions that compare models take the options of `CompareOptions`, all by keyword:

    from medbench_local import compare
    run = compare("meditron-7b", "llama-2-7b", tasks=["medqa", "pubmedqa"], quant="q4_k_m")
    print(run)
    run.results.comparisons[0].verdict
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO

from medbench_local.acquire.calibration import Speeds, known_speeds, measured_speeds
from medbench_local.acquire.checkpoint_files import refuse_unused_base
from medbench_local.acquire.inventory import plan_model
from medbench_local.acquire.prepare import PreparedModel, prepare_model
from medbench_local.acquire.quantise import quantise
from medbench_local.acquire.source import HubGguf, LocalGguf, ModelSource, resolve_model
from medbench_local.catalog.model import FamilyName, model_names
from medbench_local.catalog.names import Scoring, VisionLnPost
from medbench_local.catalog.protocol import Protocol, default_protocol, load_protocol
from medbench_local.catalog.quantisation import FULL, QuantConfig, load_quant, quant_names
from medbench_local.catalog.task import task_names
from medbench_local.engine.base import Mode
from medbench_local.engine.remote import start_engine
from medbench_local.errors import (
    AcquireError,
    CancelledError,
    DiskFullError,
    DoesNotFitError,
    EngineError,
    GatedError,
    InputError,
    MedbenchError,
    NotFoundError,
    OfflineError,
    QuestionsError,
    StoreError,
    UnreachableError,
    UnsupportedArchitectureError,
    UsageError,
    WorkerDied,
)
from medbench_local.files.atomic import output_file
from medbench_local.files.lock import only_writer
from medbench_local.progress import Progress, Silent
from medbench_local.prompts.demonstrations import DEFAULT_SEED
from medbench_local.prompts.export import ExportedPrompt, exported_prompts
from medbench_local.results.cost import ComparisonCost
from medbench_local.results.folder import Run, RunFolder, find_run, list_runs
from medbench_local.results.model_check import ModelCheck
from medbench_local.results.presented import Drawing, draw_with
from medbench_local.results.reading import read_results
from medbench_local.results.run_verification import Verification
from medbench_local.results.schema import Comparison, Results
from medbench_local.results.sweep import Sweep
from medbench_local.results.sweep_cost import SweepCost
from medbench_local.results.sweep_folder import SweepFolder
from medbench_local.scoring.opened import open_model
from medbench_local.scoring.own_conversations import as_asked
from medbench_local.scoring.own_prompts import UserRequest, pictures_of, read_requests, score_on
from medbench_local.scoring.own_prompts import part_of as part_of
from medbench_local.scoring.scored_file import write_scores
from medbench_local.study.anywhere import plan_anywhere
from medbench_local.study.arguments import arguments_of
from medbench_local.study.asking_sweep import agreed_to
from medbench_local.study.check_model import run_check
from medbench_local.study.compare import run_comparison
from medbench_local.study.importing import ImportedQuestions, import_file
from medbench_local.study.manifest import describe_task as describe_task
from medbench_local.study.options import (
    MODEL,
    CheckOptions,
    CompareOptions,
    ResolvedOptions,
    SweepOptions,
    described,
    option,
    resolve,
)
from medbench_local.study.partners import only_partner
from medbench_local.study.per_model import need_one_model
from medbench_local.study.precision import Choice, of_one_model
from medbench_local.study.sweep import PairNames, all_pairs, each_once, parse_pair, run_sweep, study_pairs
from medbench_local.study.sweep_plan import plan_sweep as plan_pairs
from medbench_local.study.tools import Tools
from medbench_local.tasks.load import load_task
from medbench_local.tasks.question import SplitName
from medbench_local.tasks.tables.answers import Notation
from medbench_local.tasks.tables.reading import HowToRead

if TYPE_CHECKING:
    from medbench_local.reference.file_verdicts import FileVerdicts
    from medbench_local.reference.run import ReferenceRun
    from medbench_local.reference.tokens import Bos
    from medbench_local.reference.transformers_model import DType
    from medbench_local.reference.validation import Validation

__all__ = [
    "AcquireError",
    "CancelledError",
    "Comparison",
    "ComparisonCost",
    "DiskFullError",
    "DoesNotFitError",
    "EngineError",
    "ExportedPrompt",
    "FileVerdicts",
    "GatedError",
    "ImportedQuestions",
    "InputError",
    "MedbenchError",
    "ModelCheck",
    "NotFoundError",
    "OfflineError",
    "PreparedModel",
    "Protocol",
    "QuantConfig",
    "QuestionsError",
    "ReferenceRun",
    "Results",
    "Run",
    "RunFolder",
    "Silent",
    "StoreError",
    "Sweep",
    "SweepCost",
    "UnreachableError",
    "UnsupportedArchitectureError",
    "UsageError",
    "UserRequest",
    "Validation",
    "Verification",
    "WorkerDied",
    "check",
    "compare",
    "convert",
    "export_prompts",
    "fetch_model",
    "import_questions",
    "list_runs",
    "load_protocol",
    "load_quant",
    "model_names",
    "plan",
    "plan_sweep",
    "quant_names",
    "quantize",
    "read_requests",
    "read_results",
    "read_sweep",
    "run_reference",
    "score_file",
    "score_requests",
    "sweep",
    "task_names",
    "task_prompts",
    "validate",
    "verdict",
    "verify",
]
"""The public names: all of them can be imported from `medbench_local`."""


_LOADED_WHEN_USED = {
    "FileVerdicts": "medbench_local.reference.file_verdicts",
    "ReferenceRun": "medbench_local.reference.run",
    "Validation": "medbench_local.reference.validation",
}
"""Classes of the commands that work on results from elsewhere; comparing needs none of it."""


def __getattr__(name: str) -> Any:
    if name not in _LOADED_WHEN_USED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LOADED_WHEN_USED[name]), name)


def _drawn(result: Any) -> str:
    from medbench_local.report.notebook import html  # only notebooks need it

    return html(result)


def _written(result: Any) -> str:
    from medbench_local.report.written import written

    return written(result)


def _rows(result: Any) -> Sequence[Mapping[str, Any]]:
    from medbench_local.report.notebook import rows

    return rows(result)


draw_with(Drawing(_drawn, _written, _rows))


@dataclass(frozen=True, kw_only=True)
class _Heard:
    """The argument of everything that takes long."""

    progress: Progress | None = option(
        None,
        "Listens to the work; Silent() for silence.",
        unset="bars in a terminal, a line in a notebook, silence elsewhere",
    )


@dataclass(frozen=True)
class _Pair(_Heard, CompareOptions):
    """The arguments of `compare` and `plan`."""

    medical: str = field(metadata=described(f"The medical model: {MODEL}."))
    base: str | None = option(
        None,
        "What it is compared with, likewise: the model it was built from.",
        unset="its only partner in the catalog",
    )

    def sides(self) -> tuple[str, str]:
        """Both models."""
        return self.medical, self.base or only_partner(self.medical, _listener(self.progress))


@dataclass(frozen=True)
class _Pairs(_Heard, SweepOptions):
    """The arguments of `sweep` and `plan_sweep`."""

    pairs: Sequence[str | tuple[str, str]] = field(
        metadata=described(
            'Medical models of the catalog, "MEDICAL=BASE", tuples of both models, "all" for the study\'s ten, or '
            '"catalog" for every medical model of the catalog.'
        )
    )


@dataclass(frozen=True)
class _Model(_Heard, CheckOptions):
    """The arguments of `check`."""

    model: str = field(metadata=described(f"The model: {MODEL}."))


@arguments_of(_Pair)
def compare(asked: _Pair) -> Run:
    """Compare a medical model with the model it was built from.

    {arguments}

    Returns:
        The run: its folder and its results. A finished one is read, an interrupted one resumes.

    Raises:
        MedbenchError: with one line that says what happened and one that says what to do.
    """
    sides = asked.sides()
    options = resolve(asked, protocol=default_protocol(*sides))
    with _resumable(asked.progress), _tools(asked.progress, options) as (tools, options):
        return run_comparison(*sides, options, tools)


@arguments_of(_Pair)
def plan(asked: _Pair) -> ComparisonCost:
    """What `compare` would fetch and compute with the same arguments.

    Nothing is computed but, once for a machine and a build of llama.cpp, the speed of a few precisions.

    {arguments}

    Raises:
        MedbenchError: as `compare`.
    """
    sides = asked.sides()
    options = resolve(asked, protocol=default_protocol(*sides))
    tools = tools_for(asked.progress)
    _say_where(options, tools)
    return plan_anywhere(*sides, options, tools)[0]


@arguments_of(_Pairs)
def sweep(asked: _Pairs) -> Sweep:
    """Compare several pairs and summarise them as the study does.

    {arguments}

    Returns:
        The sweep: its runs, their rates, and the folder with its reports; finished runs are read. What an interrupted
        one had finished by then, `read_sweep` reads.

    Raises:
        MedbenchError: as `compare`; the comparisons before it are kept.
    """
    options = resolve(asked)
    wanted = each_once(_named(asked))
    with _resumable(asked.progress), _tools(asked.progress, options) as (tools, options):
        return run_sweep(wanted, options, agreed_to(wanted, options, tools))


def read_sweep(folder: str | Path) -> Sweep:
    """A sweep that was computed before, as far as it is finished.

    Args:
        folder: its folder; the runs are found beside it, also where they were moved.

    Raises:
        UsageError: a run is missing, or no pair is finished.
        InputError: a file is missing or damaged.
    """
    return SweepFolder(Path(folder)).read()


@arguments_of(_Pairs)
def plan_sweep(asked: _Pairs) -> SweepCost:
    """What `sweep` would fetch and compute with the same arguments: pair by pair, and what they share once.

    Nothing is computed but, once for a machine and a build of llama.cpp, the speed of a few precisions.

    {arguments}

    Raises:
        MedbenchError: as `sweep`.
    """
    options, tools = resolve(asked), tools_for(asked.progress)
    _say_where(options, tools)
    return plan_pairs(each_once(_named(asked)), options, tools)


def _named(asked: _Pairs) -> list[PairNames]:
    found: list[PairNames] = []
    for pair in [asked.pairs] if isinstance(asked.pairs, str) else asked.pairs:
        if pair == "all":
            found += study_pairs()
        elif pair == "catalog":
            found += all_pairs(asked.partner)
        else:
            found.append(parse_pair(pair, asked.partner) if isinstance(pair, str) else PairNames(*pair))
    return found


@arguments_of(_Model)
def check(asked: _Model) -> ModelCheck:
    """Check that a model at a precision answers as it does at full precision.

    {arguments}

    Raises:
        MedbenchError: as `compare`.
    """
    options = resolve(asked)
    with _resumable(asked.progress), _tools(asked.progress, options) as (tools, options):
        return run_check(asked.model, options, tools)


def import_questions(
    questions: str | Path,
    *,
    output: str | Path | None = None,
    columns: Mapping[str, str | Sequence[str]] | None = None,
    answers: Notation | None = None,
    sheet: str | None = None,
    encoding: str | None = None,
    offline: bool | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> ImportedQuestions:
    """Make a task of a file with questions of one's own.

    `compare`, `check` and `sweep` take such a file as a task, too; here more can be said of it, and the task becomes
    a folder.

        from medbench_local import import_questions
        print(import_questions("questions.xlsx", output="cardiology"))

    Args:
        questions: CSV (commas, semicolons, tabs or bars; UTF-8, UTF-16 or Windows-1252), Excel (.xlsx), JSON or JSON
            Lines or Parquet, with a question, its options (a column each, or one that lists them) and the answer
            (letter, number or text) in each row, and perhaps an id, a subject, a passage, names of pictures and a
            split; or a YAML file that describes a data set of the hub (see docs/questions.md).
        output: the task's folder; by default one beside the file, called as the file.
        columns: which column is what, where their names do not say: "question", "options", "answer", "id", "subject",
            "passage", "images" or "split" to one name or several.
        answers: how these are written, where the file does not show it: "letters", "from 0", "from 1" or "texts".
        sheet: of a workbook with several that hold questions.
        encoding: of a CSV that is neither UTF-8 nor Windows-1252.
        offline: never touch the network, for a data set of the hub; None for what HF_HUB_OFFLINE says.
        force: replace the questions that are in the folder.
        progress: listens to the reading of pictures; silence by default.

    Returns:
        What was understood, the size of each split, and which differences so many questions can show.

    Raises:
        QuestionsError: rows are not what they should be; its ``defects`` are all of them.
        InputError: the file cannot be read, or it is not clear what its columns or answers mean.
        UsageError: the folder holds questions already, or Excel is to be read without openpyxl.
        AcquireError: a data set of the hub cannot be had.
        StoreError: the folder cannot be written.
    """
    named = {
        role: (name,) if isinstance(name, str) else tuple(name) for role, name in (columns or {}).items()
    }
    return import_file(
        questions,
        None if output is None else Path(output),
        HowToRead(named, answers, sheet, encoding),
        offline=resolve(CompareOptions(offline=offline)).offline,
        force=force,
        progress=progress or Silent(),
    )


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
        medical: rows with ``id``, ``correct`` (or ``prediction`` and ``answer``) and maybe ``task`` and what questions
            share (``cluster``, or ``image`` or ``images``) as JSON Lines, a JSON list or CSV; a log of
            lm-evaluation-harness or inspect_ai; or a run's folder, of which the medical model's samples are taken.
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
    from medbench_local.reference.file_verdicts import verdicts_of_files

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
    from medbench_local.reference.rows import read_rows, read_samples
    from medbench_local.reference.validate import validate as compare_with

    folder = run.folder if isinstance(run, Run) else find_run(str(run))
    rules = folder.protocol() if protocol is None else resolve(CompareOptions(protocol=protocol)).protocol
    files = [reference] if isinstance(reference, Path) else reference
    rows = [
        row for path in files for row in read_rows(path, model=model, task=task, metric=metric, filter=filter)
    ]
    return compare_with(
        read_samples(folder.path), rows, thresholds=rules.reference, bootstrap=rules.bootstrap
    )


def verify(
    run: str | Path | Run, *, data_dir: Path | None = None, progress: Progress | None = None
) -> Verification:
    """Compute a finished run's results again from its samples, and compare its hashes with the files at hand.

    Nothing is fetched and no model is loaded. The result's ``outcome`` is "holds", "does not hold" or "not settled";
    its ``checks`` say what was looked at, what does not hold and where, and what could not be checked and why.

    Args:
        run: its folder or name, or what `compare` returned.
        data_dir: folder of the data sets' official files, of which prompts are written anew; None for MEDBENCH_DATA, or
            what the hub's cache has.
        progress: hears of large files being hashed.

    Raises:
        UsageError: there is no such run, or it is not finished.
        InputError: its results.json or manifest.json cannot be read.
    """
    from medbench_local.reference.exporting import prompts_of_run
    from medbench_local.study.verify import verify_run

    options, listener = resolve(CompareOptions(data_dir=data_dir, offline=True)), _listener(progress)

    def rebuild(folder: RunFolder) -> int:
        return len(prompts_of_run(folder, data_dir=options.data_dir, offline=True, progress=listener))

    folder = run.folder if isinstance(run, Run) else find_run(str(run))
    return verify_run(folder, rebuild=rebuild, home=options.home, progress=listener)


def score_requests(
    model: str,
    requests: Sequence[UserRequest],
    *,
    quant: str | Path = FULL,
    special: bool = False,
    chat_template: str | Path | Mapping[str, str | Path] | None = None,
    system_prompt: str | Mapping[str, str] | None = None,
    offline: bool | None = None,
    force: bool = False,
    mode: Mode = "exact",
    threads: int | None = None,
    gpu_layers: int = -1,
    adapter_base: str | None = None,
    mmproj: str | Path | Mapping[str, str | Path] | None = None,
    vision_ln_post: VisionLnPost = "original",
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Log-probabilities of continuations of your own prompts.

    Args:
        model: as in `compare`.
        requests: prompts with their continuations; with ``images``, each ``<image>`` in a prompt is the next of these
            pictures.
        quant: a quantisation config's name or file, or "full".
        special: whether control-token text in prompts stands for control tokens.
        chat_template: a file with a Jinja chat template in which prompts are what the user says, or "none" for plain
            text; None writes them in the model's own way if ``system_prompt`` is given, else leaves them as they are.
        system_prompt: of such conversations, or before plain text: a text, or @FILE with one.
        offline: never touch the network; None for what HF_HUB_OFFLINE says.
        force: load even if memory seems too small.
        mode: "exact" (bit-reproducible, attention in float32), "reproducible" (bit-reproducible, flash attention) or
            "fast" (several prompts a decode).
        threads: CPU threads; None for the number of physical cores.
        gpu_layers: layers on the GPU; -1 for all.
        adapter_base: what an adapter is merged into, named as a model is; None for what the adapter says itself.
        mmproj: the GGUF file of the projector with which llama.cpp looks at pictures for the model; None for the one in
            its folder, if there is one.
        vision_ln_post: of Flamingo models, whether features of pictures go through the tower's last LayerNorm ("paper",
            as in the study) or not ("original", as when these models were trained); of no meaning to others.
        progress: listens to the work.

    Returns:
        For each request ``id``, ``logprobs`` (nats, of each continuation), ``tokens`` (of the prompt) and
        ``mass`` (summed probability of the continuations).

    Raises:
        MedbenchError: the model cannot be had, loaded or used.
    """
    listener = _listener(progress)
    options = _of_one_model(
        CompareOptions(
            chat_template=chat_template,
            system_prompt=system_prompt,
            offline=offline,
            force=force,
            mode=mode,
            threads=threads,
            gpu_layers=gpu_layers,
            mmproj=mmproj,
        )
    )
    with open_model(
        model,
        start_engine,
        quant=quant,
        options=replace(options.engine, vision_ln_post=vision_ln_post),
        adapter_base=adapter_base,
        projector=options.projector("medical"),
        offline=options.offline,
        force=options.force,
        progress=listener,
        pictures=pictures_of(requests),
    ) as opened:
        told, special = as_asked(requests, opened.prepared, options.prompting("medical"), special=special)
        packs = score_on(
            opened.engine,
            told,
            special=special,
            label=opened.prepared.name,
            progress=listener,
            shown=opened.shown,
        )
        return [row for rows in packs for row in rows]


def score_file(
    model: str,
    requests: Path,
    output: Path | TextIO,
    *,
    quant: str | Path = FULL,
    special: bool = False,
    chat_template: str | Path | Mapping[str, str | Path] | None = None,
    system_prompt: str | Mapping[str, str] | None = None,
    offline: bool | None = None,
    force: bool = False,
    mode: Mode = "exact",
    threads: int | None = None,
    gpu_layers: int = -1,
    adapter_base: str | None = None,
    mmproj: str | Path | Mapping[str, str | Path] | None = None,
    vision_ln_post: VisionLnPost = "original",
    cluster: str | None = None,
    engines: int | None = None,
    cpus_per_engine: int | None = None,
    gpus_per_engine: int | None = None,
    progress: Progress | None = None,
) -> int:
    """`score_requests` from a file into a file, one JSON line a prompt; an interrupted one resumes.

    Args:
        model: as in `compare`.
        requests: JSON Lines with ``id``, ``prompt`` and ``options`` (continuations); where pictures are shown,
            ``images`` holds a path, from where the file lies, for each ``<image>`` in the prompt.
        output: the file to write; or a text stream, which gets results as they are computed and cannot be resumed.
        quant, special, chat_template, system_prompt: as in `score_requests`.
        offline, force, mode, threads, gpu_layers, adapter_base, mmproj, vision_ln_post, progress:
            likewise.
        cluster, engines, cpus_per_engine, gpus_per_engine: as in `compare`.

    Returns:
        How many results there are.

    Raises:
        InputError: a request is malformed.
        MedbenchError: the model cannot be had, loaded or used, or the file cannot be written.
    """
    asked = read_requests(requests)
    listener = _listener(progress)
    options = _of_one_model(
        CompareOptions(
            chat_template=chat_template,
            system_prompt=system_prompt,
            offline=offline,
            force=force,
            mode=mode,
            threads=threads,
            gpu_layers=gpu_layers,
            mmproj=mmproj,
            cluster=cluster,
            engines=engines,
            cpus_per_engine=cpus_per_engine,
            gpus_per_engine=gpus_per_engine,
        )
    )
    if isinstance(output, Path):
        output = output_file(output)
    with (
        only_writer(output) if isinstance(output, Path) else nullcontext(),
        _tools(listener, options) as (tools, options),
    ):
        start = start_engine if tools.engines is None else tools.engines.crew().start

        def score() -> None:
            with open_model(
                model,
                start,
                quant=quant,
                options=replace(options.engine, vision_ln_post=vision_ln_post),
                adapter_base=adapter_base,
                projector=options.projector("medical"),
                offline=options.offline,
                force=options.force,
                progress=tools.progress,
                pictures=pictures_of(asked, requests),
                free=options.memory,
            ) as opened:
                told, control = as_asked(
                    asked, opened.prepared, options.prompting("medical"), special=special
                )
                write_scores(opened, told, output, special=control, source=requests, progress=tools.progress)

        try:
            score()
        except WorkerDied as error:
            if tools.engines is None or not isinstance(output, Path):
                raise
            tools.progress.note(f"{error.message} What is left is scored elsewhere.")
            score()
    return len(asked)


def _of_one_model(asked: CompareOptions) -> ResolvedOptions:
    """The options of what scores with a single model.

    Raises:
        UsageError: one of them is named for two.
    """
    options = resolve(asked)
    need_one_model(
        chat_template=options.chat_template, system_prompt=options.system_prompt, mmproj=options.mmproj
    )
    return options


def convert(
    source: str,
    output: Path,
    *,
    type: Literal["auto", "f32", "f16", "bf16"] = "auto",
    adapter_base: str | None = None,
    base: str | None = None,
    vision_tower: str | None = None,
    family: FamilyName | None = None,
    force: bool = False,
    offline: bool | None = None,
    progress: Progress | None = None,
) -> tuple[str, ...]:
    """Convert a checkpoint to GGUF, without torch and without running any of its code.

    A model with pictures becomes a folder, which is a model again: its language model (a GGUF, which may be quantised),
    what belongs to that, and the tower. Files that are there already and were made of the same are kept.

    Args:
        source: a folder of a checkpoint or an adapter, a catalog name, or ``hf:owner/name``; or the file of torch with
            the gated blocks of a Flamingo, or a folder with nothing but it.
        output: the GGUF file to write, or the folder.
        type: of the language model's weights; "auto" keeps the checkpoint's own, without loss.
        adapter_base: another name of ``base``.
        base: the language model that an adapter or a difference is added to, or that gated blocks stand in, named as
            ``source``; None for what the adapter or the catalog says.
        vision_tower: what looks at pictures: the folder of a CLIP model, or ``hf:owner/name``; None for what the
            catalog or the model's configuration says.
        family: how a model with pictures is prompted: "llava-v0", "llava-med", "llava-v1.5", "llava-mistral",
            "open-flamingo" or "med-flamingo"; None for what the catalog says, or else its files as far as they can.
        force: replace the GGUF file ``output`` if it is there.
        offline: never touch the network; None for what HF_HUB_OFFLINE says.
        progress: listens to the work.

    Returns:
        Warnings: what a person should know before trusting the file.

    Raises:
        UsageError: ``output`` is a file that is there, without ``force``.
        MedbenchError: the checkpoint cannot be had, read or written.
    """
    output = _need_no_file(output, force=force)
    from medbench_local.acquire.checkpoint_files import find_checkpoint
    from medbench_local.acquire.conversion.convert import convert_checkpoint  # slow to import
    from medbench_local.acquire.picture_export import write_picture_folder
    from medbench_local.acquire.picture_source import resolve_with_parts

    options = resolve(CompareOptions(offline=offline))
    listener = _listener(progress)
    if base is not None and adapter_base is not None:
        raise UsageError("`base=` and `adapter_base=` mean the same.", advice="Give one of them.")
    below = base or adapter_base
    meant = resolve_with_parts(source, below, vision_tower)
    if isinstance(meant, LocalGguf | HubGguf):
        raise UsageError(f"{source} is a GGUF already.", advice="`quantize()` makes it smaller.")
    checkpoint = find_checkpoint(
        meant,
        load_quant(FULL),
        home=options.home,
        offline=options.offline,
        progress=listener,
    )
    refuse_unused_base(below, checkpoint.origin.base)
    if checkpoint.pictures is not None:
        return write_picture_folder(
            checkpoint,
            checkpoint.pictures,
            output,
            file_type=type,
            family=family or (meant.entry.family if meant.entry else None),
            home=options.home,
            progress=listener,
        )
    if family is not None:
        raise UsageError(f"{source} has no pictures: `family=` says how models with pictures are prompted.")
    made = convert_checkpoint(checkpoint.checkpoint(), output, file_type=type, progress=listener)
    return checkpoint.warnings + made.warnings


def quantize(
    source: Path,
    output: Path,
    *,
    quant: str | Path | QuantConfig,
    threads: int | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> tuple[str, ...]:
    """Quantise a GGUF file; the same input gives the same bytes.

    Args:
        source: a GGUF file in f32, f16 or bf16.
        output: the GGUF file to write.
        quant: a quantisation config, its name or its file.
        threads: CPU threads; the bytes do not depend on them.
        force: replace ``output`` if it is there.
        progress: listens to the work.

    Returns:
        Warnings: what a person should know before trusting the file.

    Raises:
        UsageError: ``output`` is there, without ``force``.
        MedbenchError: the file cannot be read, quantised or written.
    """
    output = _need_no_file(output, force=force)
    config = quant if isinstance(quant, QuantConfig) else load_quant(quant)
    return quantise(source, config, output, threads=threads, progress=_listener(progress)).warnings


def _listener(progress: Progress | None) -> Progress:
    """What is told of the work: what was given, or what a person at a terminal or a notebook sees."""
    if progress is not None:
        return progress
    from medbench_local.report.live import shown_to_people  # slow to import

    return shown_to_people()


@contextmanager
def _resumable(progress: Progress | None) -> Iterator[None]:
    """Tell a person who stops the work how it goes on; whoever listens with a listener of their own says so itself."""
    try:
        yield
    except KeyboardInterrupt:
        if progress is None:
            _listener(None).note(
                "interrupted; what was computed is kept: the same call goes on where this one stopped"
            )
        raise


def _need_no_file(output: Path, *, force: bool) -> Path:
    """What ``output=`` means: hours of work must not take the place of hours of work by a slip; links are followed."""
    if not force and output.is_file():
        raise UsageError(
            f"{output} is there already.", advice="Replace it with `force=True`, or name another file."
        )
    return Path(os.path.realpath(output))


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
    from medbench_local.reference.exporting import prompts_of_run

    options = resolve(CompareOptions(data_dir=data_dir, offline=offline))
    folder = run.folder if isinstance(run, Run) else find_run(str(run))
    return prompts_of_run(
        folder, data_dir=options.data_dir, offline=options.offline, progress=_listener(progress)
    )


def task_prompts(
    model: str,
    task: str,
    *,
    split: SplitName = "test",
    shots: int = 0,
    formats: Sequence[int | Literal["default"]] = ("default",),
    demonstrations: Sequence[int] = (DEFAULT_SEED,),
    items: Sequence[int] | slice | None = None,
    scoring: Scoring | None = None,
    chat_template: str | Path | Mapping[str, str | Path] | None = None,
    system_prompt: str | Mapping[str, str] | None = None,
    think_open: str | Mapping[str, str] | None = None,
    think_close: str | Mapping[str, str] | None = None,
    protocol: str | Path | Protocol = "laptop",
    data_dir: Path | None = None,
    offline: bool | None = None,
    progress: Progress | None = None,
) -> list[ExportedPrompt]:
    """The exact prompts that a model is asked for questions of a task, to be run on any other engine.

    Args:
        model: as in `compare`.
        task: a task id, or a folder of your own questions.
        split: "test", "validation" or "demonstrations".
        shots: demonstrations in a prompt.
        formats: "default" for the model's own, or seeds of sampled formats.
        demonstrations: seeds of demonstration sets; not used without demonstrations.
        items: rows of the split, from 0, or a slice of them; None for all.
        scoring: how the options will be scored, which each row then says, and for which its prompt is written; None
            for prompts that show the options and end where an answer begins.
        chat_template: a file with the Jinja chat template that writes the prompts, or "none" for plain text.
        system_prompt: replaces the system prompt: a text, or @FILE with one.
        think_open, think_close: what begins and what ends the model's thinking, for the scoring "thinking"; None for
            what is known of the model.
        protocol: its own system prompts are used, what it says of thinking, and which pictures of demonstrations are
            shown.
        data_dir: folder of the data sets' official files; None for MEDBENCH_DATA, or the hub.
        offline: never touch the network; None for what HF_HUB_OFFLINE says.
        progress: listens to the work, and is told what is odd about the task.

    Raises:
        UsageError: there is no such model, task, item or protocol, or too few demonstrations.
        MedbenchError: the task or the model cannot be had or read.
    """
    from medbench_local.reference.exporting import prompt_style_by_name, with_scoring
    from medbench_local.scoring.rules import RULES

    options = resolve(
        CompareOptions(
            shots=(shots,),
            scoring=scoring,
            chat_template=chat_template,
            system_prompt=system_prompt,
            think_open=think_open,
            think_close=think_close,
            protocol=protocol,
            data_dir=data_dir,
            offline=offline,
        )
    )
    need_one_model(
        chat_template=options.chat_template,
        system_prompt=options.system_prompt,
        think_open=options.think_open,
        think_close=options.think_close,
    )
    listener = _listener(progress)
    loaded = load_task(task, data_dir=options.data_dir, offline=options.offline, progress=listener)
    for note in (*loaded.notes, *(f"warning: {warning}" for warning in loaded.warnings)):
        listener.note(note)
    style = prompt_style_by_name(
        model,
        options.prompting("medical"),
        overrides=options.protocol.prompts,
        shot_images=options.protocol.shot_images,
        home=options.home,
        offline=options.offline,
        progress=listener,
    )
    size = len(loaded.questions(split))
    rows = range(size)[items] if isinstance(items, slice) else items
    if rows is not None and not rows:
        raise UsageError(f"`items=` names none of the {size:,} {split} questions.")
    asked: dict[str, Any] = {}
    if scoring is not None:
        asked["write"] = RULES[scoring].render
        asked["complete"] = partial(with_scoring, scoring=scoring, protocol=options.protocol)
    return list(
        exported_prompts(
            style,
            loaded,
            split,
            shots,
            formats=[None if format == "default" else format for format in formats],
            demonstration_seeds=demonstrations,
            items=rows,
            **asked,
        )
    )


def fetch_model(
    model: str,
    *,
    quant: str | Path | QuantConfig | None = None,
    adapter_base: str | None = None,
    offline: bool | None = None,
    progress: Progress | None = None,
) -> PreparedModel:
    """Fetch, convert and quantise a model now, so that comparing needs no network later.

    Args:
        model: as in `compare`.
        quant: a quantisation config, its name or its file, or "full"; None for the one that a comparison which names
            none would take here. For large models the speed of this machine is measured for it, once.
        adapter_base: what an adapter is merged into, named as a model is; None for what the adapter says itself.
        offline: never touch the network; None for what HF_HUB_OFFLINE says.
        progress: listens to the work.

    Raises:
        MedbenchError: the model cannot be had, converted or quantised.
    """
    options, tools = resolve(CompareOptions(offline=offline)), tools_for(progress)
    source = resolve_model(model, adapter_base)
    if quant is None and _cannot_be_had(source, options, tools.progress):
        quant = FULL  # preparing it says why, before this machine is measured
    if quant is None:
        choice = usual_precision(
            model, measure=True, adapter_base=adapter_base, offline=offline, progress=progress
        )
        tools.progress.note(str(choice))
        quant = choice.quant
    prepared = prepare_model(
        source,
        quant=quant if isinstance(quant, QuantConfig) else load_quant(quant),
        home=options.home,
        offline=options.offline,
        progress=tools.progress,
    )
    refuse_unused_base(adapter_base, prepared.base)
    return prepared


def _cannot_be_had(source: ModelSource, options: ResolvedOptions, progress: Progress) -> bool:
    """Whether files are missing and may not be fetched.

    Raises:
        MedbenchError: the hub was asked, and does not answer or refuses.
    """
    full = load_quant(FULL)
    return plan_model(source, full, home=options.home, offline=options.offline, progress=progress).about


def usual_precision(
    model: str,
    *,
    measure: bool,
    adapter_base: str | None = None,
    offline: bool | None = None,
    progress: Progress | None = None,
) -> Choice:
    """The precision that a comparison of such models takes here when none is named and none was begun.

    Args:
        model: as in `compare`.
        measure: measure the speed of this machine where it decides and is not known.
        adapter_base: what an adapter is merged into.
        offline: never touch the network; None for what HF_HUB_OFFLINE says.
        progress: listens to the work.

    Raises:
        MedbenchError: the model is not known, or the hub refuses.
    """
    options, tools = resolve(CompareOptions(offline=offline)), tools_for(progress)

    def speeds() -> Speeds:
        if not measure:
            return known_speeds(options.home, options.engine_of_quantised)
        return measured_speeds(options.home, options.engine_of_quantised, tools.start_engine, tools.progress)

    return of_one_model(resolve_model(model, adapter_base), options, speeds, tools.progress)


def run_reference(
    checkpoint: Path,
    prompts: Path,
    output: Path,
    *,
    device: str | None = None,
    dtype: DType = "checkpoint",
    batch_size: int = 8,
    bos: Bos = "once",
    model: str | None = None,
    images: Path | None = None,
    base: Path | None = None,
    vision_tower: Path | None = None,
    progress: Progress | None = None,
) -> ReferenceRun:
    """Compute reference results of exported prompts with transformers (the extra ``reference``), on a GPU or CPU.

    Of models with pictures, LLaVA, LLaVA 1.5 and Gemma 3 are computed; transformers has no Flamingo.

    Args:
        checkpoint: a folder in Hugging Face layout; nothing from it is executed.
        prompts: JSON Lines from `export_prompts` or `task_prompts`.
        output: JSON Lines to write; an interrupted run resumes.
        device: "cpu", "cuda", "cuda:1", "mps"; None for CUDA where there is one, else the CPU.
        dtype: precision of weights and arithmetic; "checkpoint" keeps what the weights are stored in.
        batch_size: prompts computed at once; halved where memory does not suffice.
        bos: BOS tokens before a prompt that begins with one of its own.
        model: only the prompts of this model.
        images: a folder with the pictures that prompts show, under the names that the export has for them, or under
            their hashes; another picture of the same name is refused.
        base: the folder of the language model to which the first LLaVA and LLaVA-Med are differences.
        vision_tower: the folder of the CLIP model of a LLaVA that does not hold it.
        progress: listens to the work.

    Raises:
        MedbenchError: see `medbench_local.reference.run.run_reference`; or another process writes the same file.
    """
    from medbench_local.reference.run import run_reference as compute_reference

    output = output_file(output)
    with only_writer(output):
        return compute_reference(
            checkpoint,
            prompts,
            output,
            device=device,
            dtype=dtype,
            batch_size=batch_size,
            bos=bos,
            model=model,
            images=images,
            base=base,
            vision_tower=vision_tower,
            progress=progress,
        )


def _say_where(options: ResolvedOptions, tools: Tools) -> None:
    if options.cluster is not None:
        tools.progress.note(
            "The plan is that of one engine on this machine: on a cluster its time is divided by the engines, about, "
            "and memory is that of the nodes."
        )


@contextmanager
def _tools(progress: Progress | None, options: ResolvedOptions) -> Iterator[tuple[Tools, ResolvedOptions]]:
    """What a study works with, on the cluster that was asked for if one was; and the options, which know its memory."""
    tools = tools_for(progress)
    if options.cluster is None:
        yield tools, options
        return
    from medbench_local.cluster.connect import ClusterOptions  # without a cluster nothing of it is loaded
    from medbench_local.cluster.open import open_cluster
    from medbench_local.report.together import together

    wanted = ClusterOptions(
        options.cluster, options.engines, options.cpus_per_engine, options.gpus_per_engine
    )
    shown = together(tools.progress)
    with (
        open_cluster(wanted, home=options.home, progress=shown, force=options.force) as engines,
        shown.showing(engines.states, lambda: engines.stopped),
    ):
        yield replace(tools, engines=engines, progress=shown), replace(options, memory=engines.memory)


def tools_for(progress: Progress | None = None) -> Tools:
    """llama.cpp in worker processes, and the reports in a run's folder: the only place that chooses an engine.

    Args:
        progress: listens to the work.
    """

    def write_reports(folder: Path, results: Results) -> None:
        from medbench_local.report.files import write_reports as write  # not needed for a finished run

        write(folder, results)

    def write_sweep_reports(folder: Path, found: Sweep) -> None:
        from medbench_local.report.files import write_sweep_reports as write

        write(folder, found)

    def show_plan(cost: ComparisonCost | SweepCost) -> str:
        from medbench_local.report.plan_text import plan_text  # slow to import, and mostly not needed

        return plan_text(cost)

    return Tools(start_engine, _listener(progress), write_reports, write_sweep_reports, show_plan)
