"""What a comparison would cost, before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from medbench_local.acquire.calibration import Speeds, measured_speeds
from medbench_local.acquire.inventory import plan_model
from medbench_local.acquire.source import resolve_model
from medbench_local.catalog.model import ModelEntry
from medbench_local.catalog.quantisation import FULL, load_quant
from medbench_local.engine.threads import TINY
from medbench_local.prompts.demonstrations import demonstration_rows
from medbench_local.prompts.prompt_style import PromptStyle, candidates, prompt_style_for, render
from medbench_local.results.cost import CellCost, ComparisonCost, ModelCost
from medbench_local.results.record import ROLES
from medbench_local.scoring.rules import RULES
from medbench_local.statistics.verification import expected_share
from medbench_local.study.ladder import ladder
from medbench_local.study.options import ResolvedOptions
from medbench_local.study.plan import Cell, asked_questions, load_cells
from medbench_local.study.planner import Planner, given_quantised
from medbench_local.study.precision import begun_before, foreseen, weights_of
from medbench_local.study.prompt_search import is_searched, search_prompts, selection_rows
from medbench_local.study.tools import Tools
from medbench_local.tasks.question import Question

CHARACTERS_PER_TOKEN = 3.7
"""Of English medical text with Llama-2's vocabulary (measured on the MedQA test questions)."""


def plan_comparison(medical: str, base: str, options: ResolvedOptions, tools: Tools) -> ComparisonCost:
    """Count prompts and tokens, and see what is cached; nothing is computed but, once, the speed of this machine.

    Raises:
        MedbenchError: a model, a task or an option is not known, or the hub refuses.
    """
    progress = tools.progress
    sources = [resolve_model(name) for name in (medical, base)]
    steps = ladder(options)
    weights = [weights_of(source, options, progress) for source in sources]
    speeds: Speeds = {}
    if max(weights) >= TINY:
        speeds = measured_speeds(options.home, options.engine_of_quantised, tools.start_engine, progress)
    cells = load_cells(options, sources, progress)
    if options.quant is None and any(weights):
        choice = begun_before(Planner(medical, base, options, progress), sources, options, progress)
        if choice is None and speeds:
            choice = foreseen(speeds, max(weights), options)
        if choice is not None:
            progress.note(str(choice))
            steps = (choice.quant,)
    given = [given_quantised(source) for source in sources]
    checked = options.check != "none" and steps[0].name != FULL and not any(given)
    costs = []
    for role, source, file_type, size in zip(ROLES, sources, given, weights, strict=True):
        as_it_is = file_type is not None and options.quant is None
        quant = load_quant(FULL) if as_it_is else steps[0]
        files = plan_model(source, quant, home=options.home, offline=options.offline, progress=progress)
        work = _Work(1 + (options.ablation and role == "base"), checked, len(steps))
        precision = file_type if file_type and as_it_is else quant.name
        own = tuple(_cost(cell, source.entry, options, work) for cell in cells)
        costs.append(
            ModelCost(
                name=files.name,
                precision=precision,
                download=files.download,
                disk=files.room,
                ready=files.quantised_here,
                cells=own,
                speed=_speed(speeds, precision, size),
                full_speed=_speed(speeds, FULL, size),
            )
        )
    warnings = tuple(dict.fromkeys(w for cell in cells for w in cell.task.warnings))
    return ComparisonCost(costs[0], costs[1], tuple(step.name for step in steps), warnings)


def _speed(speeds: Speeds, precision: str, weights: int) -> float | None:
    """Tokens a second of a model with so many weights, about."""
    return speeds[precision] / weights if precision in speeds and weights else None


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
    tail += RULES[options.scoring or options.protocol.scoring].answer_tokens(options.protocol)
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
        check_tokens=int(most * tail + check),
        check_tokens_expected=int(expected * tail + check),
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
