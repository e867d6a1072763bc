"""What writes the prompts of a plan's models: written down in the run, and tried before anything is computed."""

from __future__ import annotations

from typing import Any

from medbench_local.acquire.prepare import PreparedModel
from medbench_local.files.hashes import prompt_sha256
from medbench_local.prompts.day import DAY
from medbench_local.prompts.prompt import Candidate
from medbench_local.prompts.prompt_style import PromptStyle, candidates, template_in_force
from medbench_local.prompts.prompting import Prompting
from medbench_local.prompts.rendering import need_sight
from medbench_local.results.identification import ChatTemplateRecord
from medbench_local.results.record import ROLES, Role
from medbench_local.scoring.prompt_styles import prompt_style_of
from medbench_local.scoring.rules import RULES
from medbench_local.study.plan import Cell, Outline, Plan, test_questions
from medbench_local.study.prompt_search import is_searched
from medbench_local.study.usable import unusable_sets, usable_candidates

_ASKS_FOR_THE_DAY = "strftime_now"
"""The function that tells templates the day."""


def chat_template_record(model: PreparedModel, asked: Prompting) -> ChatTemplateRecord:
    """What writes the prompts of a model, as results have it."""
    text = _text(model, asked)
    if text is None:
        study = model.entry is not None and not model.entry.own_template and asked.chat_template is None
        return ChatTemplateRecord(source="study" if study else "none", sha256=None, day=None)
    return ChatTemplateRecord(
        source="model" if asked.chat_template is None else "given",
        sha256=prompt_sha256(text),
        day=DAY if _ASKS_FOR_THE_DAY in text else None,
    )


def chat_template_records(plan: Outline) -> dict[Role, ChatTemplateRecord]:
    """The same of both models, by role."""
    return {role: chat_template_record(plan.models[role], plan.options.prompting(role)) for role in ROLES}


def describe_prompts(model: PreparedModel, asked: Prompting) -> dict[str, Any]:
    """What writes the prompts of a model, as manifests have it: with the text of the template."""
    return {**chat_template_record(model, asked).model_dump(mode="json"), "text": _text(model, asked)}


def refuse_prompts(plan: Plan) -> None:
    """Write one prompt of each cell with each model: a template that fails shows it now, not after hours of scoring.

    Raises:
        InputError: a chat template cannot write the prompts that it will be asked for.
        UsageError: a model that reads text only would be asked about pictures.
        TooFewPicturesError: no prompt of a cell can be asked as the study's code would.
    """
    ways: list[tuple[Role, Role]] = [("medical", "medical"), ("base", "base")]
    if plan.options.ablation:
        ways.append(("medical", "base"))  # the base model with the medical model's prompts
    rule = RULES[plan.scoring]
    for way, reader in ways:
        prompt_style = prompt_style_of(
            plan.models[way],
            plan.options.prompting(way),
            overrides=plan.protocol.prompts,
            shot_images=plan.protocol.shot_images,
            file=plan.models[reader].quantised.path,
        )
        for cell in plan.cells:
            for split in cell.task.splits.values():
                need_sight(prompt_style, cell.task.id, split.questions)
            usable_candidates(
                prompt_style, cell.task, cell.shots, _candidates(plan, cell, prompt_style), drops=plan.drops
            )
            shown = cell.task.questions("demonstrations")[: cell.shots] if cell.shots else ()
            asked = test_questions(plan, cell)[0]
            rule.render(prompt_style.to_be_looked_at(), cell.task.id, asked, shown, None)


def _candidates(plan: Plan, cell: Cell, prompt_style: PromptStyle) -> tuple[Candidate, ...]:
    """What the prompt of a cell is chosen from."""
    settings = plan.protocol.selection
    found = candidates(
        prompt_style, cell.shots, formats=settings.formats, demonstration_seeds=settings.demonstration_seeds
    )
    if is_searched(len(found), cell.shots, settings):
        return found
    return (Candidate(None, plan.protocol.demonstration_seed if cell.shots else None),)


def prompt_warnings(plan: Outline) -> tuple[str, ...]:
    """What a careful reader must know of how the models are prompted."""
    found = []
    for role in ROLES:
        model, asked = plan.models[role], plan.options.prompting(role)
        thinks = "<think>" in (_text(model, asked) or "")
        if not thinks and model.vision is None:
            continue
        prompt_style = prompt_style_of(
            model, asked, overrides=plan.protocol.prompts, shot_images=plan.protocol.shot_images
        )
        if isinstance(plan, Plan):
            found += [text for cell in plan.cells if (text := _left_out(plan, cell, prompt_style))]
        if thinks and getattr(prompt_style.chat, "opens_a_thought", False):
            found.append(
                f"The chat template of {model.name} opens a thought (<think>) and does not close it before the answer: "
                "options are scored inside the thought."
            )
    return tuple(dict.fromkeys(found))


def _left_out(plan: Plan, cell: Cell, prompt_style: PromptStyle) -> str:
    """Which demonstration sets of a cell cannot be shown in a protocol that does as the study did; "" if all can."""
    seeds = [one.demonstrations for one in _candidates(plan, cell, prompt_style)]
    sets = unusable_sets(prompt_style, cell.task, cell.shots, seeds, drops=plan.drops)
    if not sets:
        return ""
    return (
        f"{cell.label}, {prompt_style.name}: the demonstration sets {', '.join(map(str, sets))} are left out of the "
        "prompt search: with them prompts have more places for pictures than the study's code hands over, which fails."
    )


def _text(model: PreparedModel, asked: Prompting) -> str | None:
    own = model.chat_template if model.entry is None or model.entry.own_template else None
    return template_in_force(model.entry, own, asked)
