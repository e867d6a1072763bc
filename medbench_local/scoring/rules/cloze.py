"""``cloze``: the log-probability of an option's text per byte, with no options shown in the prompt.

Prompt and text are tokenised as one text; an option's tokens begin where the prompt's own tokens end, so that a first
word common to all options is scored and counted for all of them alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from typing_extensions import override

from medbench_local.engine.base import Engine, ScoreRequest
from medbench_local.prompts.prompt import Prompt
from medbench_local.prompts.prompt_style import PromptStyle
from medbench_local.prompts.rendering import render_cloze
from medbench_local.scoring.continuations import beginnings_and_endings, continued_after, with_endings
from medbench_local.scoring.rule import AskedPrompt, BuiltRequest, LogprobRule, ScoringSettings
from medbench_local.tasks.question import Question


class Cloze(LogprobRule):
    """Compares the options' texts by their log-probability per byte."""

    name = "cloze"
    title = "cloze scoring"
    scores_option_texts = True

    @override
    def render(
        self,
        prompt_style: PromptStyle,
        task_id: str,
        question: Question,
        demonstrations: Sequence[Question],
        format: int | None,
    ) -> Prompt:
        return render_cloze(prompt_style, task_id, question, demonstrations, format)

    @override
    def requests(
        self, engine: Engine, asked: Sequence[AskedPrompt], settings: ScoringSettings
    ) -> list[BuiltRequest[ScoreRequest]]:
        tokenize = partial(settings.tokenize, engine, special=asked[0].prompt.special)
        beginnings, options = beginnings_and_endings(asked, self.title)
        texts = with_endings(tokenize, beginnings, options)
        prompts = tokenize(beginnings)
        requests = [continued_after(prompt, own) for prompt, own in zip(prompts, texts, strict=True)]
        # What of a prompt is scored with each of its options: mostly nothing, or the blank that one melts into.
        melted = [prompt[len(request.context) :] for prompt, request in zip(prompts, requests, strict=True)]
        distinct = list(dict.fromkeys(melted))
        sizes = dict(zip(distinct, engine.text_sizes(distinct), strict=True))
        return [
            BuiltRequest(request, tuple(sizes[tail] + len(option.encode()) for option in own))
            for request, tail, own in zip(requests, melted, options, strict=True)
        ]

    @override
    def compared(self, logprobs: tuple[float, ...], sizes: Sequence[int]) -> tuple[float, ...]:
        """Log-probabilities in nats a byte."""
        return tuple(value / size for value, size in zip(logprobs, sizes, strict=True))


RULE = Cloze()
