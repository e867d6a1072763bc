"""How long the prompts of a cell are, in tokens: a sample of its questions in every prompt that a search may choose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from medbench_local.engine.base import Engine, ScoreRequest
from medbench_local.engine.packs import new_tokens, shared_beginning
from medbench_local.prompts.prompt import Candidate
from medbench_local.prompts.prompt_style import PromptStyle
from medbench_local.scoring.request_builder import RequestBuilder
from medbench_local.scoring.rule import ScoringSettings, ThinkingRequest
from medbench_local.study.decoding import Lengths
from medbench_local.tasks.question import SplitName, Task

_CHARACTERS = 250_000
"""Of prompts that are tokenised to see how long one task's questions are."""

_MANY, _SOME, _FEW = 500, 12, 3
"""Questions: most of the first candidate, those of another format, those of another demonstration set."""

_SEED = 42


@dataclass(frozen=True)
class Asked:
    """What is asked of one model in one cell.

    Attributes:
        engine: tokenises.
        prompt_style: how the model is spoken to.
        task: its questions.
        shots: demonstrations in a prompt.
        settings: how prompts become answers.
    """

    engine: Engine
    prompt_style: PromptStyle
    task: Task
    shots: int
    settings: ScoringSettings


def prompt_lengths(
    asked: Asked, candidates: Sequence[Candidate], rows: Mapping[SplitName, Sequence[int]]
) -> dict[SplitName, tuple[Lengths, ...]]:
    """The lengths of every candidate's prompts, for each split.

    All questions of a sample are tokenised with the first candidate. With another one they are longer by about the
    same, which a few of them tell, unless prompts do not fit the context: then each candidate has a sample of its own.

    Args:
        asked: the model and the cell.
        candidates: at least one.
        rows: of each split, the questions that may be asked; at least one.

    Raises:
        MedbenchError: a prompt cannot be written, or a question cannot be scored by the rule.
    """
    first = candidates[0]
    samples = {split: _sample(_count(asked, first, split, own), own) for split, own in rows.items()}
    begun = {split: _lengths(asked, first, split, own, len(rows[split])) for split, own in samples.items()}
    split: SplitName = "test"
    few = list(samples[split][:_SOME])
    of_few = _lengths(asked, first, split, few, len(few))
    found: dict[SplitName, list[Lengths]] = {split: [own.lengths] for split, own in begun.items()}
    fits = not any(own.unfit for own in (*begun.values(), of_few))
    seen: dict[int | None, None] = {first.format: None}
    for candidate in candidates[1:]:
        picked = few if candidate.format not in seen else few[:_FEW]
        seen[candidate.format] = None
        own = _lengths(asked, candidate, split, picked, len(picked))
        if fits and not own.unfit:
            other = of_few.lengths
            tokens = (own.lengths.contexts - other.contexts[: len(picked)]).max()
            behind = (own.lengths.behind - other.behind[: len(picked)]).max()
            prefix = own.lengths.prefix - _common(of_few, len(picked))
            for name, many in begun.items():
                found[name].append(many.lengths.longer(float(tokens), float(behind), prefix))
        else:
            fits = False
            for name, sample in samples.items():
                mine = list(sample[: 2 * _SOME])
                found[name].append(_lengths(asked, candidate, name, mine, len(rows[name])).lengths)
    return {split: tuple(own) for split, own in found.items()}


@dataclass(frozen=True)
class _Found:
    """Lengths, the prompts' tokens, and whether a prompt does not fit with all its demonstrations."""

    lengths: Lengths
    contexts: tuple[tuple[int, ...], ...]
    unfit: bool


def _common(found: _Found, count: int) -> float:
    """Tokens that the first prompts have in common."""
    own = found.contexts[:count]
    lowest, highest = min(own), max(own)
    same = next((i for i, (a, b) in enumerate(zip(lowest, highest, strict=False)) if a != b), len(lowest))
    return float(min(same, len(highest)))


def _lengths(asked: Asked, candidate: Candidate, split: SplitName, rows: Sequence[int], total: int) -> _Found:
    builder = RequestBuilder(
        asked.engine,
        asked.prompt_style.to_be_looked_at(),
        asked.task,
        asked.shots,
        asked.settings,
        {split: tuple(rows)},
    )
    prepared = builder.prompts(candidate, split, rows)
    prefixes: list[int] = []
    contexts: list[int] = []
    behind: list[int] = []
    branches: list[int] = []
    tokens: list[tuple[int, ...]] = []
    for prompt in prepared.prompts.values():
        request = prompt.request
        if request is None:
            continue
        prefix = len(prepared.prefixes[prompt.dropped])
        prefixes.append(prefix)
        contexts.append(len(request.context))
        tokens.append(request.context)
        added, own = _behind(request)
        behind.append(added)
        branches.append(own)
    unfit = any(prompt.dropped or prompt.request is None for prompt in prepared.prompts.values())
    lengths = Lengths(
        np.array(prefixes, dtype=np.float64),
        np.array(contexts, dtype=np.float64),
        np.array(behind, dtype=np.float64),
        np.array(branches, dtype=np.float64),
        asked=len(contexts) / len(rows),
        complete=len(rows) == total,
    )
    return _Found(lengths, tuple(tokens), unfit)


def _behind(request: Any) -> tuple[int, int]:
    """Tokens that are decoded behind a prompt, beside those that the model writes; options of several tokens."""
    if isinstance(request, ThinkingRequest):
        return len(request.forced) + len(request.lead) + sum(map(len, request.endings)), 0
    if not isinstance(request, ScoreRequest):
        return 0, 0
    shared = shared_beginning(request.continuations)
    several = sum(len(tokens) - shared > 1 for tokens in request.continuations)
    return new_tokens(request, len(request.context)), several


def _count(asked: Asked, candidate: Candidate, split: SplitName, rows: Sequence[int]) -> int:
    """How many questions are tokenised: many short ones, fewer long ones."""
    found = _lengths(asked, candidate, split, rows[:_FEW], len(rows))
    longest = float(found.lengths.contexts.max(initial=1.0))
    return max(4 * _SOME, min(_MANY, int(_CHARACTERS / (4 * longest))))


def _sample(count: int, rows: Sequence[int]) -> tuple[int, ...]:
    """Questions of a split, in random order; all of them where there are no more."""
    drawn = np.random.default_rng(_SEED).permutation(len(rows))[:count]
    return tuple(rows[int(place)] for place in drawn)
