"""What a comparison would cost, before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from medbench_local.acquire.calibration import Speeds, measured_speeds
from medbench_local.acquire.inventory import ModelPlan, fetched_twice, plan_model
from medbench_local.acquire.source import LocalGguf, ModelSource, resolve_model
from medbench_local.catalog.model import ModelEntry
from medbench_local.catalog.quantisation import FULL, load_quant
from medbench_local.engine.threads import TINY
from medbench_local.files.gguf_header import read_gguf_header
from medbench_local.progress import Progress
from medbench_local.prompts.demonstrations import demonstration_rows
from medbench_local.prompts.prompt_style import PromptStyle, candidates, prompt_style_for, render
from medbench_local.prompts.prompting import Prompting
from medbench_local.results.cost import CellCost, ComparisonCost, ModelCost
from medbench_local.results.record import ROLES
from medbench_local.scoring.rules import RULES
from medbench_local.statistics.verification import expected_share
from medbench_local.study.ladder import ladder
from medbench_local.study.options import ResolvedOptions
from medbench_local.study.plan import Cell, asked_questions, load_cells
from medbench_local.study.planner import given_quantised
from medbench_local.study.precision import foreseen
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
    sources = [resolve_model(name, options.adapter_base) for name in (medical, base)]
    steps = ladder(options)
    sizes = [_weights(source, options, progress) for source in sources]
    weights, asked = ([size[i] for size in sizes] for i in (0, 1))
    speeds: Speeds = {}
    if max(weights) >= TINY:
        speeds = measured_speeds(options.home, options.engine_of_quantised, tools.start_engine, progress)
        if options.quant is None:
            choice = foreseen(speeds, max(weights), options, asked=max(asked))
            progress.note(str(choice))
            steps = (choice.quant,)
    cells = load_cells(options, sources, progress)
    given = [given_quantised(source) for source in sources]
    checked = options.check != "none" and steps[0].name != FULL and not any(given)
    costs = []
    planned: list[ModelPlan] = []
    for role, source, file_type, size in zip(ROLES, sources, given, asked, strict=True):
        as_it_is = file_type is not None and options.quant is None
        quant = load_quant(FULL) if as_it_is else steps[0]
        files = plan_model(source, quant, home=options.home, offline=options.offline, progress=progress)
        twice = sum(fetched_twice(files, other) for other in planned)
        planned.append(files)
        work = _Work(1 + (options.ablation and role == "base"), checked, len(steps))
        precision = file_type if file_type and as_it_is else quant.name
        told = Prompting(system_prompt=options.prompting(role).system_prompt)  # a template adds few tokens
        own = tuple(_cost(cell, source.entry, options, told, work) for cell in cells)
        costs.append(
            ModelCost(
                name=files.name,
                precision=precision,
                download=files.download - twice,
                disk=files.room - twice,
                ready=files.quantised_here,
                cells=own,
                speed=_speed(speeds, precision, size),
                full_speed=_speed(speeds, FULL, size),
            )
        )
    warnings = tuple(dict.fromkeys(w for cell in cells for w in cell.task.warnings))
    return ComparisonCost(costs[0], costs[1], tuple(step.name for step in steps), warnings)


def _weights(source: ModelSource, options: ResolvedOptions, progress: Progress) -> tuple[int, int]:
    """How many a model has and how many of them a token is multiplied with, as far as that is known before it is here.

    0 for one that is quantised already.
    """
    if given_quantised(source) is not None:
        return 0, 0
    if source.entry is not None:
        return source.entry.parameters, source.entry.parameters
    if isinstance(source, LocalGguf):
        header = read_gguf_header(source.path)
        return header.parameters, header.asked
    full = plan_model(source, load_quant(FULL), home=options.home, offline=options.offline, progress=progress)
    return full.full_size // 2, full.full_size // 2


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


def _cost(
    cell: Cell, entry: ModelEntry | None, options: ResolvedOptions, asked: Prompting, work: _Work
) -> CellCost:
    settings = options.protocol.selection
    prompt_style = prompt_style_for(entry, asked=asked, overrides=options.protocol.prompts)
    tried = candidates(
        prompt_style, cell.shots, formats=settings.formats, demonstration_seeds=settings.demonstration_seeds
    )
    searched = is_searched(len(tried), cell.shots, settings)
    rows = selection_rows(cell.task, settings, options.limit)
    selection = search_prompts(len(tried), len(rows), settings) if searched else 0
    questions = asked_questions(options.protocol, cell, options.limit)
    prefix, tail = _lengths(cell, prompt_style, questions)
    tail += RULES[options.scoring or options.protocol.scoring].answer_tokens(options.protocol)
    visits = min(len(tried), selection) * (3 if settings.method == "racing" else 1)
    most = len(questions) if work.checked else 0
    expected = most if options.check == "full" else round(most * expected_share(len(questions)))
    once = selection * tail + visits * prefix + work.passes * (len(questions) * tail + prefix)
    check = prefix if work.checked else 0.0
    # Of a ladder the first precision is expected to do, and all of them are tried at most.
    all_tries = work.precisions * once + max(1, work.precisions - 1) * (most * tail + check)
    return CellCost(
        task=cell.task.id,
        shots=cell.shots,
        candidates=len(tried),
        selection_prompts=selection,
        test_prompts=len(questions) * work.passes,
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
