"""What a comparison will do, decided before the first prompt is scored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from medbench_local.acquire.prepare import GgufFile, PreparedModel
from medbench_local.acquire.source import ModelSource
from medbench_local.catalog.model import ModelEntry, models
from medbench_local.catalog.prompts import ANY
from medbench_local.catalog.protocol import Protocol, Scoring
from medbench_local.catalog.quantisation import FULL, QuantConfig
from medbench_local.catalog.task import expand_tasks, task_entry, task_names
from medbench_local.engine.base import NEAR_TIE, EngineOptions, Mode
from medbench_local.errors import OfflineError, UsageError
from medbench_local.files.gguf_header import LOSSLESS
from medbench_local.progress import Progress, note_once
from medbench_local.prompts.thinking_style import style_of
from medbench_local.results.record import THINKERS, Role, Thinkers
from medbench_local.scoring.rules import RULES
from medbench_local.study.options import ResolvedOptions
from medbench_local.study.usable import refuse_unread_pictures
from medbench_local.tasks.load import LocatedTask, locate_task
from medbench_local.tasks.question import SPLITS, Question, SplitName, Task
from medbench_local.tasks.sample import sampled
from medbench_local.tasks.typical import typical_task

FULL_CACHE: Literal["f32"] = "f32"
"""Type of the attention cache at full precision, in the engine's exact mode."""

WITHOUT_ROUNDING = ("f32", "f16")
"""File types with which llama.cpp rounds less than flash attention does; bf16 weights round activations to bf16."""

CellKey = tuple[str, int, Thinkers | None]
SAME_FILE = (
    "Both models are the same file: they can differ by their prompts only, and the verdicts say nothing of a medical "
    "model."
)


@dataclass(frozen=True)
class Cell:
    """One task at one number of shots; the model and the scoring are given by where it is used.

    Attributes:
        task: its questions.
        shots: demonstrations in a prompt.
        thinkers: who thinks before it answers, where the scoring lets models think.
    """

    task: Task
    shots: int
    thinkers: Thinkers | None = None

    @property
    def label(self) -> str:
        """For people: "medqa, 3-shot"."""
        label = f"{self.task.id}, {self.shots}-shot"
        return label if self.thinkers is None else f"{label}, {THINKERS[self.thinkers]}"

    @property
    def key(self) -> CellKey:
        """Task id, shots, and who thinks."""
        return self.task.id, self.shots, self.thinkers


@dataclass(frozen=True, kw_only=True)
class Outline:
    """Everything that decides the result of a comparison at one precision, but for its questions.

    Attributes:
        medical: the medical model's files.
        base: the base model's files.
        scoring: how prompts become answers.
        quant: the precision that is scored.
        options: what the user asked for.
        stand_ins: what is checked against in place of full precision, by the hash of the scored file.
    """

    medical: PreparedModel
    base: PreparedModel
    scoring: Scoring
    quant: QuantConfig
    options: ResolvedOptions
    stand_ins: Mapping[str, GgufFile]

    @property
    def protocol(self) -> Protocol:
        """The protocol in force."""
        return self.options.protocol

    @property
    def models(self) -> Mapping[str, PreparedModel]:
        """Both models by their role."""
        return {"medical": self.medical, "base": self.base}

    @property
    def at_full_precision(self) -> bool:
        """Whether both models are scored at full precision, so that there is nothing to check."""
        return self._full_cache and all(
            model.full is not None and model.full.sha256 == model.quantised.sha256
            for model in self.models.values()
        )

    @property
    def _full_cache(self) -> bool:
        """Whether attention caches as full precision does; but for the exact mode all precisions cache alike."""
        return self.quant.kv_cache == FULL_CACHE or self.mode != "exact"

    @property
    def checkable(self) -> bool:
        """Whether both models can be loaded at a fuller precision, or are scored at it: a verdict needs both."""
        return not self.at_full_precision and all(model.full is not None for model in self.models.values())

    @property
    def reads_pictures(self) -> bool:
        """Whether a model can be shown pictures."""
        return any(model.vision is not None for model in self.models.values())

    @property
    def same_file(self) -> bool:
        """Whether both models are the same weights, those that they see pictures with included."""
        return _content_of(self.medical) == _content_of(self.base)

    @property
    def thoughtless(self) -> tuple[str, ...]:
        """That models which would think before they answer do not; nothing where the scoring lets them."""
        if RULES[self.scoring].thinks:
            return ()
        said = (
            without_thinking(model.name)
            for role, model in self.models.items()
            if style_of(model.entry, model.chat_template, self.options.prompting(role)) is not None
        )
        return tuple(dict.fromkeys(said))

    def scored_at_reference(self, role: str) -> bool:
        """Whether a model is scored at the precision that is checked against."""
        model = self.models[role]
        return (
            self._full_cache
            and self.mode == self.reference_mode
            and self.reference_file(model).sha256 == model.quantised.sha256
        )

    @property
    def precision(self) -> str:
        """What was scored, for people: the configuration's name, or what GGUF files were given as."""
        return " against ".join(dict.fromkeys((self.medical.precision, self.base.precision)))

    @property
    def reference_precision(self) -> str:
        """What the scored precision is checked against."""
        return self.options.check_precision if self.stand_ins else FULL

    def reference_file(self, model: PreparedModel) -> GgufFile:
        """The file that the scored one of ``model`` is checked against; itself if there is no other."""
        return self.stand_ins.get(model.quantised.sha256) or model.full or model.quantised

    @property
    def mode(self) -> Mode:
        """The engine's mode at the precision that is scored: the same for both models."""
        return self._mode_of([model.quantised.file_type for model in self.models.values()], self.quant)

    @property
    def reference_mode(self) -> Mode:
        """The engine's mode at the precision that is checked against: the same for both models."""
        return self._mode_of(
            [self.reference_file(model).file_type for model in self.models.values()], self.quant
        )

    def first_mode(self, quants: Sequence[QuantConfig]) -> Mode:
        """The engine's mode at the first of the precisions that may be tried, whichever of them this plan is of."""
        first = quants[0]
        if len(quants) == 1 and first.name == self.quant.name:
            return self.mode
        return self._mode_of([first.file_type], first)

    def _mode_of(self, file_types: Sequence[str], quant: QuantConfig) -> Mode:
        return mode_of(self.options, self.scoring, quant, file_types, pictures=self.reads_pictures)

    @property
    def drops(self) -> bool:
        """Whether demonstrations are left out of prompts that are too long."""
        return self.protocol.too_long == "drop-demonstrations"

    @property
    def generates(self) -> bool:
        """Whether the models write their answers."""
        return RULES[self.scoring].generates

    def rule_of(self, cell: Cell, role: Role) -> Scoring:
        """How a model's prompts become answers in ``cell``: without thinking where others think."""
        thinks = cell.thinkers in (None, "both", role)
        return self.scoring if thinks else self.protocol.thinking.reading

    def engine(self, *, reference: bool = False) -> EngineOptions:
        """How models are decoded, at the precision that is scored or at the one that is checked against."""
        return replace(
            self.options.engine,
            mode=self.reference_mode if reference else self.mode,
            cache=FULL_CACHE if reference else self.quant.kv_cache,
        )

    @property
    def near_tie(self) -> float:
        """Gap of the two best options, in nats, up to which the scored precision's mode does not decide reliably."""
        return NEAR_TIE[self.mode]

    @property
    def reference_near_tie(self) -> float:
        """The same of the precision that is checked against."""
        return NEAR_TIE[self.reference_mode]


@dataclass(frozen=True, kw_only=True)
class Plan(Outline):
    """Everything that decides the result of a comparison at one precision.

    Attributes:
        cells: in the order in which they are computed and reported.
    """

    cells: tuple[Cell, ...]

    @property
    def shows_pictures(self) -> bool:
        """Whether a question has pictures."""
        tasks = {cell.task.id: cell.task for cell in self.cells}.values()
        return any(q.pictures for task in tasks for split in task.splits.values() for q in split.questions)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a careful reader must know of the data and the models."""
        said = [warning for cell in self.cells for warning in cell.task.warnings]
        models = (self.medical, self.base)
        said += [warning for model in models for warning in model.warnings]
        said += self.thoughtless
        if self.same_file:
            said.append(SAME_FILE)
        types = [model.quantised.file_type for model in models]
        if types[0] != types[1] and not set(types) <= set(LOSSLESS):
            said.append(
                f"The two models are quantised differently ({self.medical.name} {types[0]}, {self.base.name} "
                f"{types[1]}): a difference between them may come from that alone."
            )
        return tuple(dict.fromkeys(said))


def mode_of(
    options: ResolvedOptions,
    scoring: Scoring,
    quant: QuantConfig,
    file_types: Sequence[str],
    *,
    pictures: bool,
) -> Mode:
    """The engine's mode: what was asked for; else what goes with the weights (docs/modes.md has the measurements).

    Args:
        options: of the comparison.
        scoring: how prompts become answers.
        quant: the precision.
        file_types: of both models' weights.
        pictures: whether a model can be shown pictures.
    """
    if options.mode is not None:
        return options.mode
    if RULES[scoring].depends_on_batch or quant.flash_attention == "off":
        return "exact"
    if pictures:
        return "exact"  # which is how the engine decodes pictures in any mode
    if quant.flash_attention == "on":
        return "reproducible"
    return "exact" if any(name in WITHOUT_ROUNDING for name in file_types) else "reproducible"


def _content_of(model: PreparedModel) -> tuple[str, ...]:
    seeing = () if model.vision is None else (sha256 for _, sha256 in model.vision.files.values())
    return model.quantised.sha256, *seeing


def without_thinking(model: str) -> str:
    """What has to be said of a model that would think, where the scoring does not let it."""
    return (
        f"{model} was trained to think before it answers; here it answers without thinking. The scoring thinking lets "
        "it think."
    )


def asked_questions(protocol: Protocol, cell: Cell, limit: int | None = None) -> tuple[Question, ...]:
    """The test questions that are asked: the first ones, up to the protocol's and the user's limit."""
    limits = [most for most in (protocol.test_questions, limit) if most is not None]
    return cell.task.questions("test")[: min(limits, default=None)]


def test_questions(plan: Plan, cell: Cell) -> tuple[Question, ...]:
    """The test questions that are asked in ``cell`` of ``plan``."""
    return asked_questions(plan.protocol, cell, plan.options.limit)


def _check_prompt_names(protocol: Protocol, models_named: Sequence[str], tasks_named: Sequence[str]) -> None:
    """Refuse system prompts for models or tasks that nobody knows: a typo would go unnoticed.

    Args:
        protocol: whose `prompts` are checked.
        models_named: models compared, beside those of the catalog.
        tasks_named: tasks used, beside those of the catalog.

    Raises:
        UsageError: a key is neither known nor used.
    """
    for model, texts in protocol.prompts.root.items():
        unknown = [("model", model)] if model not in {ANY, *models(), *models_named} else []
        unknown += [("task", task) for task in texts if task not in {ANY, *task_names(), *tasks_named}]
        for kind, name in unknown:
            raise UsageError(
                f"Protocol {protocol.name}: 'prompts' names the {kind} '{name}', which is neither in the catalog nor "
                "used here.",
                advice=f"`{kind}_names()` has the names; `{ANY}` stands for every {kind}.",
            )


def load_cells(
    options: ResolvedOptions, sources: Sequence[ModelSource], progress: Progress, *, typical: bool = False
) -> tuple[Cell, ...]:
    """The cells of a comparison of ``sources``, their questions read.

    Args:
        options: what the user asked for.
        sources: the models.
        progress: listens.
        typical: questions that are not here, and that may not be fetched, are stood in for by as many of the length
            that the catalog knows: to count what they cost.

    Raises:
        UsageError: an unknown task, a number of shots that a task's demonstrations cannot give, pictures for a model
            that the catalog knows to read text only, or a protocol with system prompts for nobody.
        InputError: a data file is malformed.
        AcquireError: the data cannot be fetched.
    """
    names, shots = asked_tasks(options, sources), asked_shots(options)
    reading = _read_or_typical if typical else _read
    found = [reading(name, options, progress) for name in names]
    for task in found:
        for note in task.notes:
            note_once(progress, f"{task.id}: {note}")
        same = [other for other, known in zip(names, found, strict=True) if known.id == task.id]
        if len(same) > 1:  # answers are kept by the task's name
            raise UsageError(
                f"{' and '.join(same)} are both called {task.id}.",
                advice="Name it once, or rename a file or folder.",
            )
        pool = len(task.questions("demonstrations")) if max(shots) > 0 else 0
        if max(shots) > pool:
            raise UsageError(
                f"{task.id} has {pool} demonstrations, fewer than the {max(shots)} shots asked for.",
                advice=f"Ask for at most {pool} with `shots=`, or leave the task out with `tasks=`.",
            )
    for source in sources:
        refuse_unread_pictures(source, found)
    _check_prompt_names(options.protocol, [source.name for source in sources], [task.id for task in found])
    if RULES[options.scoring or options.protocol.scoring].thinks:
        found = [sampled(task, options.protocol.thinking.questions) for task in found]
    return tuple(Cell(task, number) for number in shots for task in found)


def in_fair_cells(cells: Sequence[Cell], *, base_thinks: bool) -> tuple[Cell, ...]:
    """Each cell as the comparisons that are fair where models think: both, the medical one against the base, nobody."""
    who: tuple[Thinkers, ...] = ("both", "medical", "none") if base_thinks else ("medical", "none")
    return tuple(replace(cell, thinkers=thinkers) for cell in cells for thinkers in who)


def asked_tasks(options: ResolvedOptions, sources: Sequence[ModelSource]) -> tuple[str, ...]:
    """The tasks of a comparison of ``sources``, as the user or the protocol of the study names them."""
    if options.tasks is not None:
        return expand_tasks(options.tasks)
    return default_tasks([source.entry for source in sources])


def asked_shots(options: ResolvedOptions) -> tuple[int, ...]:
    """The numbers of demonstrations."""
    return tuple(options.shots if options.shots is not None else options.protocol.shots)


def located_tasks(
    options: ResolvedOptions, sources: Sequence[ModelSource], progress: Progress
) -> Iterator[LocatedTask]:
    """Where the files of each task lie. Errors as of `load_cells`."""
    for name in asked_tasks(options, sources):
        yield _located(name, options, progress)


def _located(name: str, options: ResolvedOptions, progress: Progress) -> LocatedTask:
    return locate_task(
        name,
        data_dir=options.data_dir,
        offline=options.offline,
        progress=progress,
        splits=_wanted_splits(options),
    )


def _wanted_splits(options: ResolvedOptions) -> tuple[SplitName, ...]:
    """Without demonstrations their pool, the largest file of some tasks, is neither fetched nor read."""
    return SPLITS if max(asked_shots(options)) > 0 else SPLITS[1:]


def _read(name: str, options: ResolvedOptions, progress: Progress) -> Task:
    return _located(name, options, progress).read(progress)


def _read_or_typical(name: str, options: ResolvedOptions, progress: Progress) -> Task:
    try:
        return _read(name, options, progress)
    except OfflineError:
        found = typical_task(task_entry(name), _wanted_splits(options))
        if found is None:
            raise
        return found


def default_tasks(entries: Sequence[ModelEntry | None]) -> tuple[str, ...]:
    """The demo tasks for the embedded pair, the visual ones for models with pictures, else the 13 of the study."""
    if all(entry is not None and entry.name.startswith("demo-") for entry in entries):
        return expand_tasks(("demo",))
    pictures = all(entry is not None and entry.vision is not None for entry in entries)
    return expand_tasks(("visual" if pictures else "all",))
