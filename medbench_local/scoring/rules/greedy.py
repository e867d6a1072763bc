"""``greedy``: the model writes an answer, and the study's letter matcher reads it."""

from __future__ import annotations

import json
from collections.abc import Sequence

from typing_extensions import override

from medbench_local.catalog.protocol import Protocol
from medbench_local.engine.base import Engine, GenerateRequest, Pack
from medbench_local.scoring.matching import match_answer
from medbench_local.scoring.rule import (
    AskedPrompt,
    BuiltRequest,
    Choice,
    KeyPart,
    ScoringRule,
    ScoringSettings,
)
from medbench_local.store.scores import StoredScore
from medbench_local.tasks.question import Question

STOPS = ("###", "<|eot_id|>")
"""What ends an answer in the study, whatever the format and the model."""


class Greedy(ScoringRule[GenerateRequest]):
    """Reads the letter that a generated text names."""

    name = "greedy"
    title = "greedy scoring"
    depends_on_batch = True
    generates = True

    @override
    def requests(
        self, engine: Engine, asked: Sequence[AskedPrompt], settings: ScoringSettings
    ) -> list[BuiltRequest[GenerateRequest]]:
        prompts = [one.prompt for one in asked]
        contexts = settings.tokenize(engine, [one.parts for one in prompts], special=prompts[0].special)
        most = settings.protocol.greedy.max_tokens
        # An answer ends where the model's context does, or what is computed right.
        end = min(settings.context, engine.info.exact_up_to or settings.context)
        found = []
        for context, prompt in zip(contexts, prompts, strict=True):
            stops = dict.fromkeys(stop for stop in (engine.info.eos_text, *STOPS, *prompt.stop) if stop)
            room = max(1, min(most, end - len(context)))
            found.append(BuiltRequest(GenerateRequest(context, tuple(stops), room)))
        return found

    @override
    def room(self, request: GenerateRequest) -> int:
        return len(request.context) + 1

    @override
    def answer_tokens(self, protocol: Protocol) -> int:
        return protocol.greedy.max_tokens

    @override
    def key_parts(self, request: GenerateRequest) -> tuple[KeyPart, ...]:
        return ("generate", request.context, json.dumps([*request.stop, request.max_tokens]))

    @override
    def fits(self, score: StoredScore, request: GenerateRequest) -> bool:
        return score.text is not None

    @override
    def compute(self, engine: Engine, pack: Pack) -> list[StoredScore]:
        lengths = [len(request.context) for request in pack.requests]
        texts = engine.generate(pack)
        return [StoredScore((), None, text, n) for text, n in zip(texts, lengths, strict=True)]

    @override
    def choose(
        self,
        question: Question,
        sizes: Sequence[int],
        score: StoredScore,
        protocol: Protocol,
    ) -> Choice:
        found = match_answer(
            score.text or "", question.options, question.answer, multiple_letters=protocol.multiple_letters
        )
        return Choice(found)


RULE = Greedy()
