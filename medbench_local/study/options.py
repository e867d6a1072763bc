"""The options of a comparison: each is one field, with everything that is known about it.

The command line's parameters, the keywords and docstrings of the Python functions, the checks of ranges, the manifest's
record and a run's identity are made from the fields: a new option is one field here, and its use.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields, replace
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from medbench_local.catalog.names import FULL, OWN, Partner, Scoring, full_by_any_name
from medbench_local.engine.base import MOST_THREADS, EngineOptions, Mode
from medbench_local.errors import UsageError
from medbench_local.paths import user_path
from medbench_local.prompts.prompting import PerModel, Prompting, prompting_of, value_for
from medbench_local.settings import read_settings
from medbench_local.study.per_model import (
    chat_template_text,
    check_per_model,
    resolved,
    system_prompt_text,
)

if TYPE_CHECKING:
    from medbench_local.catalog.protocol import Protocol
else:
    Protocol = Any  # help is shown without the class, which takes long to load; see `types_of`

CheckScope = Literal["none", "sample", "full"]
SampleScope = Literal["sample", "full"]

DEFAULT_QUANT = "q8_0"
"""Where no speed speaks for another: half the size of 16-bit weights, and verdicts that hardly ever differ."""

MODEL = (
    "a catalog name, a .gguf file, a folder of a checkpoint or a LoRA adapter, hf:owner/name[@revision] or "
    "gguf:owner/name/file.gguf"
)
"""The ways to name a model, for people."""

_PROTOCOL = "What fixes everything else: laptop, emnlp2024, or a YAML file."

T = TypeVar("T")


@dataclass(frozen=True)
class Option:
    """What is known of an option beside its name, type and default.

    Attributes:
        help: one sentence for people, ending in a full stop.
        unset: what holds where the option is None, for people.
        least, most: the range of a number, or of each of several.
        decides: whether it decides the result. "as given": its value stands in the manifest and in the identity of a
            run; "as planned": what the plan makes of it does (files, questions, settings of the engine).
        switch: a flag of the command line that can also be turned off.
        example: a value other than the default.
    """

    help: str
    unset: str = ""
    least: int | None = None
    most: int | None = None
    decides: Literal["nothing", "as given", "as planned"] = "nothing"
    switch: bool = False
    example: Any = None


def described(help: str, **more: Any) -> Mapping[str, Any]:
    """Metadata of a field; arguments as the attributes of `Option`."""
    return {"option": Option(help, **more)}


def option(default: T, help: str, **more: Any) -> T:
    """A field with a default; further arguments as the attributes of `Option`."""
    found: T = field(default=default, metadata=described(help, **more))
    return found


@dataclass(frozen=True, kw_only=True)
class CompareOptions:
    """What a user can ask for, beside the two models."""

    tasks: Sequence[str] | None = option(
        None,
        "Task ids, groups (all, mmlu, visual, mmmu, demo), or files or folders of your own questions.",
        unset="the thirteen of the study; those of the embedded pair",
        decides="as planned",
        example=("demo-anatomy",),
    )
    shots: Sequence[int] | None = option(
        None,
        "Numbers of demonstrations in a prompt.",
        unset="the protocol's",
        least=0,
        decides="as planned",
        example=(3,),
    )
    scoring: Scoring | None = option(
        None,
        "How a prompt and its options become an answer.",
        unset="the protocol's",
        decides="as planned",
        example="cloze",
    )
    protocol: str | Path | Protocol | None = option(
        None,
        _PROTOCOL,
        unset="laptop; demo for the embedded pair",
        decides="as planned",
        example="emnlp2024",
    )
    quant: str | Path | None = option(
        None,
        "The precision that is scored: a quantisation config or its file, auto (climb until verified) or full.",
        unset="the closest to full that is fast on this machine and fits, kept once begun; a GGUF that is quantised "
        "already: as it is",
        decides="as planned",
        example="q4_0",
    )
    limit: int | None = option(
        None,
        "Most test and validation questions of a task.",
        unset="all",
        least=1,
        decides="as given",
        example=40,
    )
    output: Path | None = option(None, "The run's folder.", unset="one below runs, named by its content")
    adapter_base: str | None = option(
        None,
        "What a LoRA adapter is merged into, named as a model is; none for an adapter beside whole weights that count "
        "as they are.",
        unset="the model that the adapter names",
        decides="as planned",
        example="demo-base",
    )
    mmproj: str | Path | Mapping[str, str | Path] | None = option(
        None,
        "The GGUF file of the projector with which llama.cpp looks at pictures for a model, or own to make it of a "
        "Gemma 3 checkpoint; each of two models may have its own.",
        unset="the one that lies in a model's folder, if there is one",
        decides="as planned",
        example="mmproj.gguf",
    )
    data_dir: Path | None = option(
        None, "Folder of the data sets' official files.", unset="MEDBENCH_DATA, or the hub"
    )
    offline: bool | None = option(None, "Never touch the network.", unset="what HF_HUB_OFFLINE says")
    check: CheckScope = option(
        "sample",
        "Whether quantised verdicts are checked against full precision: not at all (none), on as many questions as "
        "it takes to know (sample), or on all of them (full).",
        decides="as given",
        example="full",
    )
    check_precision: str | Path = option(
        FULL,
        "What the check compares with: full, or a precision that stands in for it where it does not fit, such as q8_0.",
        decides="as given",
        example="q8_0",
    )
    ablation: bool | None = option(
        None,
        "Also ask the base model with the medical model's prompts.",
        unset="the protocol's choice",
        decides="as given",
        switch=True,
        example=True,
    )
    chat_template: str | Path | Mapping[str, str | Path] | None = option(
        None,
        'A file with the Jinja chat template that writes the prompts, or "none" for plain text; each of two models may '
        "have its own.",
        unset="the study's way for models of the catalog, else the template that comes with a model",
        decides="as given",
        example="none",
    )
    system_prompt: str | Mapping[str, str] | None = option(
        None,
        "Replaces every system prompt: a text, or @FILE with one; each of two models may have its own.",
        decides="as given",
        example="Be brief.",
    )
    think_open: str | Mapping[str, str] | None = option(
        None,
        "What begins a model's thinking, for the scoring thinking; each of two models may have its own.",
        unset="what is known of the model",
        decides="as given",
        example="<think>",
    )
    think_close: str | Mapping[str, str] | None = option(
        None,
        "What ends it; each of two models may have its own.",
        unset="what is known of the model",
        decides="as given",
        example="</think>",
    )
    questions: bool = option(
        True,
        "Keep the questions and the chosen prompts in the run's folder and show them, with what the models wrote, in "
        "report.html; without, only hashes of them are there, for data that may not leave; what the models wrote stays "
        "in samples and scores.sqlite.",
        switch=True,
    )
    pictures: bool = option(
        True,
        "Keep small copies of the questions' pictures in the run's folder and show them in report.html; models see the "
        "pictures either way.",
        switch=True,
    )
    force: bool = option(False, "Run even if memory seems too small.")
    retries: int = option(0, "How often a worker process that died is started again.", least=0)
    mode: Mode | None = option(
        None,
        "How the engine decodes: exact (attention in float32), reproducible (equal bits, too, but with flash attention "
        "in float16) or fast (several questions at once).",
        unset="by the weights: exact for f32 and f16, reproducible for others",
        decides="as planned",
        example="fast",
    )
    threads: int | None = option(None, "CPU threads.", unset="physical cores", least=1, most=MOST_THREADS)
    gpu_layers: int = option(-1, "Layers on the GPU; -1 for all, 0 for none.", least=-1)
    cluster: str | None = option(
        None,
        "Answer on several GPUs or machines by Ray: ray starts engines on this machine, auto joins the Ray that runs "
        "here, HOST:PORT the one whose head is there, ray://HOST:PORT one through its gate for clients.",
        unset="this process alone",
    )
    engines: int | None = option(
        None, "Engines of the cluster, each with one model.", unset="as many as there is room for", least=1
    )
    cpus_per_engine: int | None = option(
        None, "Cores of each engine of the cluster.", unset="its part of the node, 4 without a GPU", least=1
    )
    gpus_per_engine: int | None = option(
        None,
        "GPUs of each engine of the cluster; a large model is spread over several of one node.",
        unset="1 where nodes have some",
        least=0,
    )

    @property
    def engine(self) -> EngineOptions:
        """How models are decoded: exactly where no mode is asked for; a plan knows the weights and chooses by them."""
        return EngineOptions(mode=self.mode or "exact", threads=self.threads, gpu_layers=self.gpu_layers)

    @property
    def engine_of_quantised(self) -> EngineOptions:
        """How quantised models are decoded unless their configuration says otherwise: their speed is measured so."""
        return replace(self.engine, mode=self.mode or "reproducible")


@dataclass(frozen=True, kw_only=True)
class SweepOptions(CompareOptions):
    """The options of several comparisons."""

    protocol: str | Path | Protocol = option("laptop", _PROTOCOL)
    output: Path | None = option(
        None,
        "Folder for the sweep: its summary, and the runs in 01, 02 and so on.",
        unset="runs/sweep-<8 hex>, the runs beside it",
    )
    partner: Partner = option(
        "origin",
        "What a medical model that is named alone is compared with, where the catalog knows two: what it was trained "
        "from (origin), or what its user would otherwise take (alternative).",
    )
    ablation: bool | None = option(
        True, "Also ask the base models with the medical models' prompts.", switch=True
    )


@dataclass(frozen=True, kw_only=True)
class CheckOptions(CompareOptions):
    """The options of the check of one model."""

    protocol: str | Path | Protocol = option("laptop", _PROTOCOL)
    quant: str | Path = field(
        metadata=described("The precision that is checked: a quantisation config or its file.")
    )
    output: Path | None = option(None, "Folder for the scores.", unset="one below runs, named by its content")
    check: SampleScope = option(
        "sample",
        "How many questions are asked: as many as the quantisation config names (sample), or all (full).",
    )
    ablation: bool = field(init=False, default=False)
    questions: bool = field(init=False, default=False)  # a check leaves scores only
    pictures: bool = field(init=False, default=False)


@dataclass(frozen=True, kw_only=True)
class ResolvedOptions(CompareOptions):
    """Checked options, completed from the environment, the protocol and the files they name; `resolve` makes them.

    Attributes:
        asked: as they were given.
        home: where converted models lie.
        memory: bytes that a model may take, with its context; None for what is free on this machine.
    """

    asked: CompareOptions

    protocol: Protocol
    check_precision: str
    chat_template: PerModel
    system_prompt: PerModel
    think_open: PerModel
    think_close: PerModel
    mmproj: PerModel
    ablation: bool
    offline: bool
    home: Path
    memory: int | None = None

    def prompting(self, role: str) -> Prompting:
        """How the model of a role ("medical", "base") is to be prompted."""
        return prompting_of(role, self.chat_template, self.system_prompt, self.think_open, self.think_close)

    def projector(self, role: str) -> str | None:
        """The projector file that is named for the model of a role."""
        return value_for(role, self.mmproj)


def resolve(options: CompareOptions, *, protocol: str = "laptop") -> ResolvedOptions:
    """Check every option's range and fill in what the environment and the protocol decide.

    Args:
        options: as a user gave them.
        protocol: the one that holds if none is named.

    Raises:
        UsageError: a value is out of its range, or there is no such protocol.
        InputError: a file that is named (protocol, chat template, system prompt) is malformed.
    """
    from medbench_local.catalog.protocol import Protocol, load_protocol
    from medbench_local.catalog.task import names_apart
    from medbench_local.scoring.rules import RULES

    if isinstance(options.tasks, str):  # which is a sequence of texts, too: its letters
        options = replace(options, tasks=names_apart(options.tasks))
    check_ranges(options)
    sizes = ("engines", "cpus_per_engine", "gpus_per_engine")
    if options.cluster is None and (alone := [name for name in sizes if getattr(options, name) is not None]):
        raise UsageError(
            f"`{alone[0]}=` is said of a cluster, and none is named.", advice='Name one with `cluster="ray"`.'
        )
    settings = read_settings()
    named = protocol if options.protocol is None else options.protocol
    rules = named if isinstance(named, Protocol) else load_protocol(named)
    if RULES[options.scoring or rules.scoring].thinks:  # one candidate costs as much as the test
        rules = rules.model_copy(update={"selection": rules.thinking.selection})
    values = {one.name: _number(getattr(options, one.name), one) for one in fields(CompareOptions)}
    values |= {
        "tasks": None if options.tasks is None else tuple(options.tasks),
        "shots": None if values["shots"] is None else tuple(dict.fromkeys(values["shots"])),
        "protocol": rules,
        "check_precision": full_by_any_name(options.check_precision),
        "chat_template": resolved(options.chat_template, chat_template_text),
        "system_prompt": resolved(options.system_prompt, system_prompt_text),
        "think_open": resolved(options.think_open, str),
        "think_close": resolved(options.think_close, str),
        "mmproj": resolved(options.mmproj, _projector),
        "ablation": rules.ablation if options.ablation is None else options.ablation,
        "output": None if options.output is None else Path(options.output),
        "data_dir": Path(options.data_dir) if options.data_dir else settings.data_dir,
        "offline": bool(options.offline) or settings.offline,
    }
    return ResolvedOptions(**values, asked=options, home=settings.home)


def _projector(given: str | Path) -> str:
    return OWN if given == OWN else str(user_path(given))


def _number(value: Any, one: Field[Any]) -> Any:
    """A number of an array as Python's own, which the manifest and the identity of a run can hold."""
    if about(one).least is None or value is None:
        return value
    return tuple(map(operator.index, value)) if isinstance(value, Iterable) else operator.index(value)


def record(options: CompareOptions) -> dict[str, Any]:
    """The options that decide the result by their values alone: for the manifest and the identity of a run.

    What stood in the identity of the first release always does; a later option does where it is not its default, so
    that runs made before it existed are still found.
    """
    found = {}
    for one in fields(CompareOptions):
        value = getattr(options, one.name)
        if about(one).decides == "as given" and (one.name in _ALWAYS_RECORDED or value != one.default):
            found[one.name] = str(value) if isinstance(value, Path) else value
    return found


_ALWAYS_RECORDED = ("limit", "check", "check_precision", "ablation", "system_prompt")


def about(one: Field[Any]) -> Option:
    """What is known of a field."""
    found: Option = one.metadata["option"]
    return found


def described_fields(kind: type[Any]) -> Iterator[Field[Any]]:
    """The fields of a dataclass that a caller gives and that say what they are."""
    return (one for one in fields(kind) if one.init and "option" in one.metadata)


def types_of(kind: type[Any], **classes: Any) -> Mapping[str, Any]:
    """The types of a dataclass's fields, by name.

    Args:
        kind: the dataclass.
        classes: by their names in this module, those that it leaves open ("Protocol"); open ones are Any.
    """
    return get_type_hints(kind, localns=classes)


def without_none(type_: Any) -> Any:
    """``X`` for ``X | None``; every other type as it is."""
    kept = [part for part in get_args(type_) if part is not NoneType]
    return kept[0] if NoneType in get_args(type_) and len(kept) == 1 else type_


def is_several(type_: Any) -> bool:
    """Whether a type is a sequence of values."""
    return get_origin(without_none(type_)) is Sequence


def is_per_model(type_: Any) -> bool:
    """Whether a type is of a value for both models, or one for each."""
    return any(get_origin(part) is Mapping for part in get_args(type_))


def check_ranges(options: CompareOptions) -> None:
    """Hold every option against its range and its choices.

    Raises:
        UsageError: one is outside.
    """
    types = types_of(type(options))
    for one in described_fields(type(options)):
        value, type_ = getattr(options, one.name), types[one.name]
        if value is None and NoneType in get_args(type_):
            continue
        if is_per_model(type_):
            check_per_model(one.name, value, (str, Path) if Path in get_args(type_) else (str,))
            continue
        values, kind = [value], without_none(type_)
        if is_several(type_):
            several = isinstance(value, Iterable) and not isinstance(value, str)
            values, kind = list(value) if several else [], get_args(kind)[0]
            if not several or (not values and one.default is None):
                raise UsageError(f"`{one.name}=` must be a list of at least one value, not {value!r}.")
        choices = get_args(kind) if get_origin(kind) is Literal else ()
        if choices and value not in choices:
            raise UsageError(f"`{one.name}=` must be one of {', '.join(choices)}, not {value!r}.")
        for each in values:
            _check_kind(one.name, each, kind)
            _check_number(one.name, each, about(one))


def _check_kind(name: str, value: Any, kind: Any) -> None:
    """Refuse what Python would take for something else: "no" is true, and True is the number 1."""
    if kind is bool and not isinstance(value, bool):
        raise UsageError(f"`{name}=` must be True or False, not {value!r}.")
    if kind is str and not isinstance(value, str):
        raise UsageError(f"`{name}=` must be text, not {value!r}.")
    if kind is int and isinstance(value, bool):
        raise UsageError(f"`{name}=` must be a whole number, not {value!r}.")


def _check_number(name: str, value: Any, known: Option) -> None:
    if known.least is None:
        return
    try:
        number = operator.index(value)
    except TypeError:
        raise UsageError(f"`{name}=` must be a whole number, not {value!r}.") from None
    if number < known.least or (known.most is not None and number > known.most):
        span = f"at least {known.least}" if known.most is None else f"from {known.least} to {known.most}"
        raise UsageError(f"`{name}=` must be {span}, not {number}.")
