"""A budget of thinking that cannot fit a model's context, refused before any file is fetched or made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from medbench_local.acquire.source import LocalCheckpoint, ModelSource
from medbench_local.errors import UsageError
from medbench_local.files.gguf_header import read_gguf_header
from medbench_local.files.json_objects import read_json_object
from medbench_local.prompts.demonstrations import demonstration_rows
from medbench_local.prompts.prompt_style import PromptStyle
from medbench_local.prompts.rendering import render_thinking
from medbench_local.scoring.request_builder import SMALLER_BUDGET
from medbench_local.study.options import ResolvedOptions
from medbench_local.study.plan import Cell, asked_questions

MOST_CHARACTERS_PER_TOKEN = 8
"""Of a whole prompt; English medical text has 3.7. What does not fit with so few tokens does not fit at all."""

USUAL_CHARACTERS_PER_TOKEN = 3
"""Fewer than usual: a prompt that fits with so many tokens is likely to fit."""


def context_at_most(source: ModelSource, file: Path | None, options: ResolvedOptions) -> int | None:
    """The longest context that a comparison may give a model, as far as is known of it; None if nothing is.

    Args:
        source: the model.
        file: a GGUF file of it that is here, or None.
        options: of the comparison.
    """
    found = [options.protocol.context, None if source.entry is None else source.entry.known_context]
    if file is not None:
        found.append(read_gguf_header(file).context)
    elif isinstance(source, LocalCheckpoint) and (source.folder / "config.json").is_file():
        config = read_json_object(source.folder / "config.json")
        for part in (config, config.get("text_config")):
            value = part.get("max_position_embeddings") if isinstance(part, dict) else None
            found.append(value if type(value) is int and value > 0 else None)
    return min((limit for limit in found if limit), default=None)


def room_to_think(
    cells: Sequence[Cell], name: str, prompt_style: PromptStyle, context: int | None, options: ResolvedOptions
) -> tuple[str, ...]:
    """Warnings of prompts that are likely to leave too little of the context for the budget.

    Args:
        cells: what is asked.
        name: of the model.
        prompt_style: of it, as far as is known; a chat template adds to its prompts.
        context: as `context_at_most` says.
        options: of the comparison.

    Raises:
        UsageError: a prompt cannot fit with the budget behind it.
    """
    if context is None:
        return ()
    budget = options.protocol.thinking.budget
    found = []
    for cell in cells:
        whole = _longest(cell, prompt_style, options, shots=cell.shots)
        drops = cell.shots and options.protocol.too_long == "drop-demonstrations"
        least = _longest(cell, prompt_style, options, shots=0) if drops else whole
        beside = f"{cell.label}: {budget:,} tokens of thinking behind prompts of up to {{:,}} characters"
        if budget + least // MOST_CHARACTERS_PER_TOKEN > context:
            raise UsageError(
                f"{beside.format(least)} do not fit the context of {context:,} tokens of {name}.",
                advice=SMALLER_BUDGET,
            )
        if budget + whole // USUAL_CHARACTERS_PER_TOKEN > context:
            found.append(
                f"{beside.format(whole)} may not fit the context of {context:,} tokens of {name}: such a comparison is "
                "refused, or shows fewer demonstrations."
            )
    return tuple(found)


def _longest(cell: Cell, prompt_style: PromptStyle, options: ResolvedOptions, *, shots: int) -> int:
    """Characters of the longest prompt of a cell."""
    pool = cell.task.questions("demonstrations") if shots else ()
    rows = demonstration_rows(options.protocol.demonstration_seed, len(pool), shots)
    question = max(
        asked_questions(options.protocol, cell, options.limit),
        key=lambda one: len(one.text) + sum(map(len, one.options)),
    )
    return len(render_thinking(prompt_style, cell.task.id, question, [pool[row] for row in rows], None).text)
