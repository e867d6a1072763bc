"""How much context it takes to think, known before a model is loaded."""

from __future__ import annotations

from collections.abc import Iterable

from medbench_local.engine.base import ROWS
from medbench_local.engine.memory import memory_available, slots_that_fit
from medbench_local.prompts.demonstrations import demonstration_rows
from medbench_local.results.record import ROLES, Role
from medbench_local.scoring.prompt_styles import prompt_style_of
from medbench_local.scoring.rules import RULES
from medbench_local.study.opening import context_of
from medbench_local.study.plan import Cell, Outline, Plan, test_questions

BYTES_PER_TOKEN = 3
"""Of the longest prompt: English medical text has 3.7 characters to a token, tables and other scripts fewer."""


def thinking_room(plan: Outline, role: Role) -> int:
    """Tokens of a model's longest prompt with the thinking behind it and the options; 0 if it does not think.

    Before the questions are read it is less: that of the thinking alone.
    """
    if not RULES[plan.scoring].thinks:
        return 0
    behind = plan.protocol.thinking.budget + ROWS
    if not isinstance(plan, Plan):
        return behind
    cells = [cell for cell in plan.cells if RULES[plan.rule_of(cell, role)].thinks]
    if not cells:
        return 0
    model = plan.models[role]
    # What does not fit the context is refused with its numbers as soon as it is tokenised.
    most = context_of(plan, model, model.quantised) + ROWS
    return min(behind + _longest_prompt(plan, role, cells), most)


def _longest_prompt(plan: Plan, role: Role, cells: Iterable[Cell]) -> int:
    """Tokens of the longest prompt, about."""
    model, rule = plan.models[role], RULES[plan.scoring]
    prompt_style = prompt_style_of(
        model,
        plan.options.prompting(role),
        overrides=plan.protocol.prompts,
        shot_images=plan.protocol.shot_images,
        file=model.quantised.path,
    ).to_be_looked_at()
    longest = 0
    for cell in {(cell.task.id, cell.shots): cell for cell in cells}.values():
        pool = cell.task.questions("demonstrations") if cell.shots else ()
        rows = demonstration_rows(plan.protocol.demonstration_seed, len(pool), cell.shots)
        question = max(test_questions(plan, cell), key=lambda one: len(one.text) + sum(map(len, one.options)))
        shown = [pool[row] for row in rows]
        prompt = rule.render(prompt_style, cell.task.id, question, shown, None)
        size = len(str(prompt).encode("utf-8", "surrogatepass"))
        pictures = len(prompt.places) * prompt_style.layout.place_tokens
        longest = max(longest, -(-size // BYTES_PER_TOKEN) + pictures)
    return longest


def slots_note(plan: Plan) -> str:
    """That memory allows fewer questions to be thought about at once than were asked for; "" if that is not so."""
    options, free = plan.engine(), plan.options.memory or memory_available()
    if options.mode != "fast":
        return ""
    found = []
    for role in ROLES:
        room, model = thinking_room(plan, role), plan.models[role]
        if room:
            cells = [room * count for count in range(1, options.parallel + 1)]
            slots = slots_that_fit(model.quantised.path, options, cells, free)
            if slots < options.parallel:
                found.append(f"{slots} of {options.parallel} with {model.name}")
    return f"memory allows fewer questions to be thought about at once: {', '.join(found)}" if found else ""
