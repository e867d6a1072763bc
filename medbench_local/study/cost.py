"""What a comparison would cost, before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from medbench_local.acquire.inventory import ModelPlan, plan_model
from medbench_local.acquire.source import resolve_model
from medbench_local.catalog.model import ModelEntry
from medbench_local.catalog.quantisation import FULL, load_quant
from medbench_local.progress import Progress
from medbench_local.prompts.demonstrations import demonstration_rows
from medbench_local.prompts.prompt_style import PromptStyle, candidates, prompt_style_for, render
from medbench_local.statistics.verification import expected_share
from medbench_local.study.ladder import ladder
from medbench_local.study.options import ResolvedOptions
from medbench_local.study.plan import Cell, asked_questions, load_cells
from medbench_local.study.planner import given_quantised
from medbench_local.study.prompt_search import is_searched, search_prompts, selection_rows
from medbench_local.tasks.question import Question

CHARACTERS_PER_TOKEN = 3.7
"""Of English medical text with Llama-2's vocabulary (measured on the MedQA test questions)."""


@dataclass(frozen=True)
class CellCost:
    """What one model costs in one cell; tokens are estimated from the length of the text.

    Attributes:
        task: its id.
        shots: demonstrations in a prompt.
        candidates: prompts to choose from.
        selection_prompts: most validation prompts that are scored to choose one.
        test_prompts: test questions, with those of the ablation.
        check_expected: test questions that the check is expected to ask again at full precision.
        check_most: how many it asks at most.
        tokens: tokens decoded at most, over all precisions that may be tried; each shared prefix counted once.
        tokens_expected: the same at the first precision, with the expected check.
    """

    task: str
    shots: int
    candidates: int
    selection_prompts: int
    test_prompts: int
    check_expected: int
    check_most: int
    tokens: int
    tokens_expected: int


@dataclass(frozen=True)
class ModelCost:
    """What one model costs.

    Attributes:
        files: what has to be fetched and made.
        precision: that is tried first.
        cells: one for each task and number of shots.
    """

    files: ModelPlan
    precision: str
    cells: tuple[CellCost, ...]

    @property
    def tokens(self) -> int:
        """Most tokens decoded."""
        return sum(cell.tokens for cell in self.cells)

    @property
    def tokens_expected(self) -> int:
        """Tokens decoded if the check ends where it is expected to."""
        return sum(cell.tokens_expected for cell in self.cells)


@dataclass(frozen=True)
class ComparisonCost:
    """What a comparison would cost.

    Attributes:
        medical, base: each model.
        precisions: those that may be tried, in order.
        warnings: of the tasks.
    """

    medical: ModelCost
    base: ModelCost
    precisions: tuple[str, ...]
    warnings: tuple[str, ...]

    def __str__(self) -> str:
        lines = []
        for model in (self.medical, self.base):
            lines.append(
                f"{model.files.name} at {model.precision}: {model.files.download / 1e9:.2f} GB to fetch"
            )
            lines += [
                f"  {cell.task}, {cell.shots}-shot: {cell.selection_prompts:,} validation and "
                f"{cell.test_prompts:,} test prompts, check {cell.check_expected:,} to {cell.check_most:,}, "
                f"up to {cell.tokens:,} tokens"
                for cell in model.cells
            ]
        return "\n".join([*lines, *(f"warning: {text}" for text in self.warnings)])

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        data: dict[str, Any] = {"precisions": list(self.precisions), "warnings": list(self.warnings)}
        for role, model in (("medical", self.medical), ("base", self.base)):
            data[role] = {
                "model": model.files.name,
                "precision": model.precision,
                "download": model.files.download,
                "disk": model.files.room,
                "tokens": model.tokens,
                "tokens_expected": model.tokens_expected,
                "cells": [asdict(cell) for cell in model.cells],
            }
        return data


def plan_comparison(medical: str, base: str, options: ResolvedOptions, progress: Progress) -> ComparisonCost:
    """Count prompts and tokens, and see what is cached; nothing is computed.

    Raises:
        MedbenchError: a model, a task or an option is not known, or the hub refuses.
    """
    sources = [resolve_model(name) for name in (medical, base)]
    steps = ladder(options)
    cells = load_cells(options, sources, progress)
    given = [given_quantised(source) for source in sources]
    checked = options.check != "none" and steps[0].name != FULL and not any(given)
    costs = []
    for role, source, file_type in zip(("medical", "base"), sources, given, strict=True):
        as_it_is = file_type is not None and options.quant is None
        quant = load_quant(FULL) if as_it_is else steps[0]
        files = plan_model(source, quant, home=options.home, offline=options.offline, progress=progress)
        work = _Work(1 + (options.ablation and role == "base"), checked, len(steps))
        own = tuple(_cost(cell, source.entry, options, work) for cell in cells)
        costs.append(ModelCost(files, file_type if file_type and as_it_is else quant.name, own))
    warnings = tuple(dict.fromkeys(w for cell in cells for w in cell.task.warnings))
    return ComparisonCost(costs[0], costs[1], tuple(step.name for step in steps), warnings)


@dataclass(frozen=True)
class _Work:
    """What is done for a cell.

    Attributes:
        passes: over the test questions.
        checked: whether they are asked again at full precision.
        precisions: how many may be tried; the last of several is full precision itself.
    """

    passes: int
    checked: bool
    precisions: int


def _cost(cell: Cell, entry: ModelEntry | None, options: ResolvedOptions, work: _Work) -> CellCost:
    settings = options.protocol.selection
    prompt_style = prompt_style_for(
        entry, system_prompt=options.system_prompt, overrides=options.protocol.prompts
    )
    tried = candidates(
        prompt_style, cell.shots, formats=settings.formats, demonstration_seeds=settings.demonstration_seeds
    )
    searched = is_searched(len(tried), cell.shots, settings)
    rows = selection_rows(cell.task, settings, options.limit)
    selection = search_prompts(len(tried), len(rows), settings) if searched else 0
    asked = asked_questions(options.protocol, cell, options.limit)
    prefix, tail = _lengths(cell, prompt_style, asked)
    visits = min(len(tried), selection) * (3 if settings.method == "racing" else 1)
    most = len(asked) if work.checked else 0
    expected = most if options.check == "full" else round(most * expected_share(len(asked)))
    once = selection * tail + visits * prefix + work.passes * (len(asked) * tail + prefix)
    check = prefix if work.checked else 0.0
    # Of a ladder the first precision is expected to do, and all of them are tried at most.
    all_tries = work.precisions * once + max(1, work.precisions - 1) * (most * tail + check)
    return CellCost(
        task=cell.task.id,
        shots=cell.shots,
        candidates=len(tried),
        selection_prompts=selection,
        test_prompts=len(asked) * work.passes,
        check_expected=expected,
        check_most=most,
        tokens=int(all_tries),
        tokens_expected=int(once + expected * tail + check),
    )


def _lengths(cell: Cell, prompt_style: PromptStyle, questions: Sequence[Question]) -> tuple[float, float]:
    """Estimated tokens of the shared prefix and of a question, in the model's default format."""
    pool = cell.task.questions("demonstrations") if cell.shots else ()
    shown = [pool[row] for row in demonstration_rows(0, len(pool), cell.shots)]
    sample = questions[:50]
    full = [len(render(prompt_style, cell.task.id, q, shown, None).text) for q in sample]
    body = [len(q.text) + sum(len(o) + 5 for o in q.options) for q in sample]
    tail = sum(body) / len(body)
    prefix = sum(full) / len(full) - tail
    return prefix / CHARACTERS_PER_TOKEN, tail / CHARACTERS_PER_TOKEN
