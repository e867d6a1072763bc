"""What a comparison would cost, before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from medbench_local.acquire.calibration import Speeds, measured_speeds
from medbench_local.acquire.inventory import ModelPlan, fetched_twice, made_twice, plan_model
from medbench_local.catalog.model import ModelEntry
from medbench_local.catalog.quantisation import FULL, load_quant
from medbench_local.engine.threads import TINY
from medbench_local.files.gguf_header import read_gguf_header
from medbench_local.prompts.demonstrations import demonstration_rows
from medbench_local.prompts.prompt import Prompt
from medbench_local.prompts.prompt_style import PromptStyle, candidates, may_think, prompt_style_for
from medbench_local.prompts.prompting import Prompting
from medbench_local.prompts.rendering import render
from medbench_local.prompts.thinking_style import style_of
from medbench_local.results.cost import CellCost, ComparisonCost, ModelCost
from medbench_local.results.record import ROLES
from medbench_local.scoring.rules import RULES
from medbench_local.statistics.verification import expected_share
from medbench_local.study.assumed import assumptions
from medbench_local.study.detectable import detectable_beforehand
from medbench_local.study.ladder import ladder
from medbench_local.study.options import ResolvedOptions
from medbench_local.study.pictures import pictures_of
from medbench_local.study.plan import Cell, asked_questions, load_cells, without_thinking
from medbench_local.study.planner import Planner, given_quantised, sources_of
from medbench_local.study.precision import begun_before, foreseen, weights_of
from medbench_local.study.prompt_search import is_searched, search_prompts, selection_rows
from medbench_local.study.thinking_plan import context_at_most, room_to_think
from medbench_local.study.tools import Tools
from medbench_local.study.usable import usable_candidates
from medbench_local.tasks.question import Question

USUAL_THINKING = 1000
"""Tokens of thinking that a question is expected to take: MedPsy-4B is said to take about 909 by its card."""

SOME_PLACE = 260
"""Tokens that a picture takes in prompts whose chat template is not known yet, about."""
_A_TEMPLATE = "</think>"
"""Stands for the chat template of a model that is not here yet: it may be one of a model that thinks."""

CHARACTERS_PER_TOKEN = 3.7
"""Of English medical text with Llama-2's vocabulary (measured on the MedQA test questions)."""


def plan_comparison(medical: str, base: str, options: ResolvedOptions, tools: Tools) -> ComparisonCost:
    """Count prompts and tokens, and see what is cached; nothing is computed but, once, the speed of this machine.

    Raises:
        MedbenchError: a model, a task or an option is not known, or the hub refuses.
    """
    progress = tools.progress
    sources = sources_of(medical, base, options)
    steps = ladder(options)
    sizes = [weights_of(source, options, progress) for source in sources]
    weights, asked = ([size[i] for size in sizes] for i in (0, 1))
    speeds: Speeds = {}
    writing: Speeds = {}
    thinks = RULES[options.scoring or options.protocol.scoring].thinks
    if max(weights) >= TINY:
        speeds = measured_speeds(options.home, options.engine_of_quantised, tools.start_engine, progress)
        if thinks:
            mode = options.engine_of_quantised
            writing = measured_speeds(options.home, mode, tools.start_engine, progress, writing=True)
    cells = load_cells(options, sources, progress, typical=True)
    if options.quant is None and any(weights):
        choice = begun_before(Planner(medical, base, options, progress), sources, options, progress)
        if choice is None and speeds:
            choice = foreseen(speeds, max(weights), options, asked=max(asked))
        if choice is not None:
            progress.note(str(choice))
            steps = (choice.quant,)
    given = [given_quantised(source) for source in sources]
    checked = options.check != "none" and steps[0].name != FULL and not any(given)
    costs = []
    notes: list[str] = []
    planned: list[ModelPlan] = []
    styles = [
        _style(source.entry, options, options.prompting(role))
        for role, source in zip(ROLES, sources, strict=True)
    ]
    for role, source, file_type, size in zip(ROLES, sources, given, asked, strict=True):
        as_it_is = file_type is not None and options.quant is None
        quant = load_quant(FULL) if as_it_is else steps[0]
        files = plan_model(source, quant, home=options.home, offline=options.offline, progress=progress)
        twice = sum(fetched_twice(files, other) for other in planned)
        made = sum(made_twice(files, other) for other in planned)
        planned.append(files)
        own_way = options.prompting(role)
        told = Prompting(system_prompt=own_way.system_prompt)  # a template adds few tokens
        known = None if files.file is None else read_gguf_header(files.file).chat_template
        template = _A_TEMPLATE if files.file is None else known
        also_thinks = role == "medical" or may_think(source.entry, template, own_way)
        if thinks and also_thinks:
            style = prompt_style_for(source.entry, asked=told, overrides=options.protocol.prompts)
            context = context_at_most(source, files.file, options)
            notes += room_to_think(cells, files.name, style, context, options)
        elif not thinks and style_of(source.entry, known, own_way) is not None:
            notes.append(without_thinking(files.name))
        work = _Work(1 + (options.ablation and role == "base"), checked, len(steps), thinks and also_thinks)
        precision = file_type if file_type and as_it_is else quant.name
        own = tuple(_cost(cell, source.entry, options, told, work) for cell in cells)
        costs.append(
            ModelCost(
                name=files.name,
                precision=precision,
                download=files.download - twice,
                disk=files.room - twice - made,
                ready=files.quantised_here,
                cells=own,
                speed=_speed(speeds, precision, size),
                full_speed=_speed(speeds, FULL, size),
                writing_speed=_speed(writing, precision, size),
                full_writing_speed=_speed(writing, FULL, size),
            )
        )
    pictures = len(pictures_of(cells, options, styles))
    warnings = tuple(dict.fromkeys([*(w for cell in cells for w in cell.task.warnings), *notes]))
    detectable: tuple[str, ...] = ()
    if thinks:
        counts = {cell.task.id: len(asked_questions(options.protocol, cell, options.limit)) for cell in cells}
        detectable = detectable_beforehand(counts, confidence=options.protocol.bootstrap.confidence)
    return ComparisonCost(
        costs[0],
        costs[1],
        tuple(step.name for step in steps),
        warnings,
        detectable,
        pictures,
        assumptions(cells, planned),
    )


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
        thinks: whether the model answers twice: after thinking, and at once.
    """

    passes: int
    checked: bool
    precisions: int
    thinks: bool = False


def _style(entry: ModelEntry | None, options: ResolvedOptions, asked: Prompting) -> PromptStyle:
    """How a model is prompted, as far as it is known before its files are here."""
    told = Prompting(system_prompt=asked.system_prompt)  # a template adds few tokens
    return prompt_style_for(
        entry, asked=told, overrides=options.protocol.prompts, shot_images=options.protocol.shot_images
    )


def _cost(
    cell: Cell, entry: ModelEntry | None, options: ResolvedOptions, asked: Prompting, work: _Work
) -> CellCost:
    settings = options.protocol.selection
    prompt_style = _style(entry, options, asked)
    tried = candidates(
        prompt_style, cell.shots, formats=settings.formats, demonstration_seeds=settings.demonstration_seeds
    )
    searched = is_searched(len(tried), cell.shots, settings)
    if searched:
        drops = options.protocol.too_long == "drop-demonstrations"
        tried = usable_candidates(prompt_style, cell.task, cell.shots, tried, drops=drops)
    rows = selection_rows(cell.task, settings, options.limit)
    selection = search_prompts(len(tried), len(rows), settings) if searched else 0
    questions = asked_questions(options.protocol, cell, options.limit)
    prefix, tail = _lengths(cell, prompt_style, questions)
    written = expected_written = 0
    if work.thinks:
        written = options.protocol.thinking.budget
        expected_written = min(written, USUAL_THINKING)
    elif not (rule := RULES[options.scoring or options.protocol.scoring]).thinks:
        tail += rule.answer_tokens(options.protocol)
    visits = min(len(tried), selection) * (3 if settings.method == "racing" else 1)
    most = len(questions) if work.checked else 0
    expected = most if options.check == "full" else round(most * expected_share(len(questions)))
    twice = 1 + work.thinks
    once = twice * (selection * tail + visits * prefix + work.passes * (len(questions) * tail + prefix))
    asked_once = selection + work.passes * len(questions)
    most_asked = work.precisions * asked_once + max(1, work.precisions - 1) * most
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
        # What was thought is read once more, to score the options behind it.
        tokens=int(all_tries) + most_asked * written,
        tokens_expected=int(once + expected * tail + check) + (asked_once + expected) * expected_written,
        check_tokens=int(most * tail + check) + most * written,
        check_tokens_expected=int(expected * tail + check) + expected * expected_written,
        written=most_asked * written,
        written_expected=(asked_once + expected) * expected_written,
        check_written=max(1, work.precisions - 1) * most * written,
        check_written_expected=expected * expected_written,
    )


def _lengths(cell: Cell, prompt_style: PromptStyle, questions: Sequence[Question]) -> tuple[float, float]:
    """Estimated tokens of the shared prefix and of a question, in the model's default format."""
    pool = cell.task.questions("demonstrations") if cell.shots else ()
    shown = [pool[row] for row in demonstration_rows(0, len(pool), cell.shots)]
    sample = questions[:50]
    style, place = prompt_style.to_be_looked_at(), prompt_style.layout.place_tokens or SOME_PLACE
    prompts = [_looked_at(style, cell.task.id, q, shown) for q in sample]
    pictures = [sum(len(one.pictures) for one in (*shown, q)) for q in sample]
    full = [
        len(str(one)) / CHARACTERS_PER_TOKEN + number * place
        for one, number in zip(prompts, pictures, strict=True)
    ]
    texts = [len(q.text) + sum(len(o) + 5 for o in q.options) for q in sample]
    body = [
        text / CHARACTERS_PER_TOKEN + len(q.pictures) * place for text, q in zip(texts, sample, strict=True)
    ]
    tail = sum(body) / len(body)
    return sum(full) / len(full) - tail, tail


def _looked_at(
    prompt_style: PromptStyle, task_id: str, question: Question, shown: Sequence[Question]
) -> Prompt:
    """A prompt of which only the text counts; without pictures where their place is not known."""
    bare = [question, *shown]
    if not prompt_style.layout.shows_pictures:
        bare = [replace(one, pictures=()) for one in bare]
    return render(prompt_style, task_id, bare[0], bare[1:], None)
