"""``label``: the joint log-probability of an option's label as the format writes it ("(A)", "[A]", "A.").

Prompt and label are tokenised as one text; what is scored are the tokens beyond the longest beginning that all of a
question's options share, so that merges across the end of the prompt are right.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from typing_extensions import override

from medbench_local.engine.base import Engine, ScoreRequest
from medbench_local.prompts.prompt import Parts
from medbench_local.scoring.continuations import (
    Tokenize,
    beginnings_and_endings,
    continued,
    continued_after,
    with_endings,
)
from medbench_local.scoring.rule import AskedPrompt, BuiltRequest, LogprobRule, ScoringSettings


class Label(LogprobRule):
    """Compares the joint log-probabilities of labels."""

    name = "label"
    title = "label scoring"

    @override
    def requests(
        self, engine: Engine, asked: Sequence[AskedPrompt], settings: ScoringSettings
    ) -> list[BuiltRequest[ScoreRequest]]:
        tokenize = partial(settings.tokenize, engine, special=asked[0].prompt.special)
        found = label_requests(tokenize, *beginnings_and_endings(asked, self.title))
        return [BuiltRequest(request) for request in found]


def label_requests(
    tokenize: Tokenize, prompts: Sequence[Parts], labels: Sequence[Sequence[str]]
) -> list[ScoreRequest]:
    """The request of each prompt with its labels; a single label, which has no other to differ from, is scored whole.

    Args:
        tokenize: the loaded model's tokenizer.
        prompts: exactly what the model sees.
        labels: what each option adds to its prompt, none empty.

    Raises:
        EngineError: a prompt has no label, or nothing would be left to condition on.
    """
    texts = with_endings(tokenize, prompts, labels)
    alone = [prompt for prompt, own in zip(prompts, texts, strict=True) if len(own) == 1]
    tokenised = iter(tokenize(alone) if alone else ())
    return [continued(own) if len(own) != 1 else continued_after(next(tokenised), own) for own in texts]


RULE = Label()
