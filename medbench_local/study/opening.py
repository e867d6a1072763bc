"""From a plan to loaded models, and to scorers of its cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from medbench_local.acquire.prepare import GgufFile, PreparedModel
from medbench_local.files.gguf_header import read_gguf_header
from medbench_local.progress import Advance, Progress
from medbench_local.prompts.prompt_style import PromptStyle
from medbench_local.results.record import Role
from medbench_local.scoring.answers import CellScorer, Meter
from medbench_local.scoring.request_builder import RequestBuilder
from medbench_local.scoring.rule import ScoringSettings
from medbench_local.scoring.rules import RULES
from medbench_local.scoring.session import AskedRows, ModelSession, StartEngine
from medbench_local.store.scores import ScoreStore
from medbench_local.study.pictures import encoded_pictures
from medbench_local.study.plan import Cell, Outline, Plan, asked_questions
from medbench_local.study.prompt_search import selection_rows
from medbench_local.tasks.picture import Picture
from medbench_local.tasks.question import SplitName


def session_for(
    plan: Plan,
    model: PreparedModel,
    file: GgufFile,
    *,
    role: Role,
    start: StartEngine,
    reference: bool,
    store: ScoreStore,
    meter: Meter,
    progress: Progress,
    features: Mapping[Picture, Path] | None = None,
) -> ModelSession:
    """A session with one of a plan's models.

    Args:
        plan: what is being compared.
        model: the model.
        file: which of its files is loaded.
        role: the model's; decides how the user wants it to be prompted.
        start: loads it.
        reference: whether it is loaded as what the scored precision is checked against.
        store: where scores are kept.
        meter: counts the work.
        progress: hears of pictures that are encoded.
        features: what the model sees of pictures, where they were encoded before; else they are here.
    """
    return ModelSession(
        model,
        file,
        start=start,
        options=plan.engine(reference=reference),
        settings=_settings(plan, model, file),
        asked=plan.options.prompting(role),
        overrides=plan.protocol.prompts,
        store=store,
        meter=meter,
        features=encoded_pictures(plan, model, progress) if features is None else features,
    )


def scorer_of(
    session: ModelSession, plan: Plan, cell: Cell, role: Role, prompt_style: PromptStyle, advance: Advance
) -> CellScorer:
    """A scorer for one model in one cell of ``plan``."""
    rule = RULES[plan.rule_of(cell, role)]
    return session.scorer(cell.task, cell.shots, _asked(plan, cell), prompt_style, rule, advance)


def builder_of(
    session: ModelSession, plan: Plan, cell: Cell, role: Role, prompt_style: PromptStyle
) -> RequestBuilder:
    """Makes the prompts of one model in one cell of ``plan``."""
    rule = RULES[plan.rule_of(cell, role)]
    return session.builder(cell.task, cell.shots, _asked(plan, cell), prompt_style, rule)


def _asked(plan: Plan, cell: Cell) -> AskedRows:
    asked: dict[SplitName, Sequence[int]] = {
        "validation": selection_rows(cell.task, plan.protocol.selection),
        "test": range(len(asked_questions(plan.protocol, cell))),
    }
    return asked


def _settings(plan: Plan, model: PreparedModel, file: GgufFile) -> ScoringSettings:
    """What the protocol fixes, with this model's context."""
    return ScoringSettings(
        rule=RULES[plan.scoring], context=context_of(plan, model, file), protocol=plan.protocol
    )


def context_of(plan: Outline, model: PreparedModel, file: GgufFile) -> int:
    """The longest context that a model was trained with, or less where the protocol says so; in tokens."""
    limits = [read_gguf_header(file.path).context, plan.protocol.context]
    if model.entry is not None:
        limits.append(model.entry.known_context)
    return min(limit for limit in limits if limit)
