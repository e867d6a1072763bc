"""``thinking``: the model thinks before it answers, and the options are compared behind what it thought.

It thinks greedily until it closes its thinking or a budget is used up; then the closing marker is written for it, and
the log-probabilities of the options are read by an ordinary request over prompt, thinking and the lead of the answer.
No answer has to be found in a text, and every question has one.
"""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_uppercase
from typing import Any

from typing_extensions import override

from medbench_local.catalog.protocol import Protocol
from medbench_local.engine.base import Engine, Pack, ScoreRequest, ThinkRequest, Tokens, Trace
from medbench_local.engine.packs import common_prefix
from medbench_local.errors import EngineError
from medbench_local.prompts.prompt import Prompt
from medbench_local.prompts.prompt_style import PromptStyle
from medbench_local.prompts.rendering import render_thinking
from medbench_local.scoring.rule import (
    AskedPrompt,
    BuiltRequest,
    Choice,
    KeyPart,
    LogprobRule,
    ScoringRule,
    ScoringSettings,
    ThinkingRequest,
)
from medbench_local.scoring.rules import constrained, label
from medbench_local.store.scores import StoredScore
from medbench_local.tasks.question import Question

_READERS: dict[str, LogprobRule] = {rule.name: rule for rule in (constrained.RULE, label.RULE)}


class Thinking(ScoringRule[ThinkingRequest]):
    """Compares the log-probabilities of options behind what the model thought."""

    name = "thinking"
    title = "scoring after thinking"
    thinks = True
    generates = True

    @override
    def render(
        self,
        prompt_style: PromptStyle,
        task_id: str,
        question: Question,
        demonstrations: Sequence[Question],
        format: int | None,
    ) -> Prompt:
        return render_thinking(prompt_style, task_id, question, demonstrations, format)

    @override
    def requests(
        self, engine: Engine, asked: Sequence[AskedPrompt], settings: ScoringSettings
    ) -> list[BuiltRequest[ThinkingRequest]]:
        protocol = settings.protocol
        own = protocol.thinking
        special = asked[0].prompt.special
        contexts = settings.tokenize(engine, [(one.prompt.text,) for one in asked], special=special)
        texts: dict[str, Tokens] = {}

        def behind(text: str) -> Tokens:
            """Tokens of a text that follows another one and begins with a line break."""
            if text not in texts:
                texts[text] = _behind(engine, text)
            return texts[text]

        found = []
        for context, one in zip(contexts, asked, strict=True):
            marks = one.prompt.marks
            begun, texts_of_options = read_behind(one.prompt, protocol)
            if own.reading == label.RULE.name:
                ends = [behind(begun + text) for text in texts_of_options]
                lead = common_prefix(ends)[: min(map(len, ends)) - 1]
                endings = tuple(tokens[len(lead) :] for tokens in ends)
            else:
                lead = behind(begun)
                letters = constrained.letter_tokens(engine, len(texts_of_options))
                endings = tuple((letter,) for letter in letters)
            found.append(
                BuiltRequest(
                    ThinkingRequest(
                        ThinkRequest(context, marks.close, own.budget), behind(marks.forced), lead, endings
                    )
                )
            )
        return found

    @override
    def reader(self, protocol: Protocol) -> ScoringRule[Any]:
        return _READERS[protocol.thinking.reading]

    @override
    def after(self, request: ThinkingRequest, trace: Trace) -> ScoreRequest:
        """The request that reads the options behind a trace."""
        forced = () if trace.end == "closed" else request.forced
        context = request.context + trace.tokens + forced + request.lead
        return ScoreRequest(context, request.endings)

    @override
    def room(self, request: ThinkingRequest) -> int:
        longest = max(map(len, request.endings))
        return (
            len(request.context)
            + request.think.max_tokens
            + len(request.forced)
            + len(request.lead)
            + longest
            - 1
        )

    @override
    def answer_tokens(self, protocol: Protocol) -> int:
        return protocol.thinking.budget

    @override
    def key_parts(self, request: ThinkingRequest) -> tuple[KeyPart, ...]:
        raise _unread()

    @override
    def fits(self, score: StoredScore, request: ThinkingRequest) -> bool:
        raise _unread()

    @override
    def compute(self, engine: Engine, pack: Pack) -> list[StoredScore]:
        raise _unread()

    @override
    def choose(
        self, question: Question, sizes: Sequence[int], score: StoredScore, protocol: Protocol
    ) -> Choice:
        return self.reader(protocol).choose(question, sizes, score, protocol)


def read_behind(prompt: Prompt, protocol: Protocol) -> tuple[str, tuple[str, ...]]:
    """What begins the answer behind the thinking, and how each option goes on: its letter, or its label."""
    own = protocol.thinking
    if own.reading == label.RULE.name:
        return f"\n\n{own.lead}", prompt.labels
    opening = prompt.labels[0].partition("A")[0]
    return f"\n\n{own.lead}{opening}", tuple(ascii_uppercase[: len(prompt.labels)])


def _unread() -> TypeError:
    return TypeError("options are scored by the rule that reads them, once there is a trace")


_BEFORE = ascii_uppercase[0].lower()
"""What stands before a text while it is tokenised: a tokenizer may put a blank at the front of a text by itself."""


def _behind(engine: Engine, text: str) -> Tokens:
    """Tokens of a text within another one.

    Raises:
        EngineError: its beginning melts into what stands before.
    """
    alone, together = engine.tokenize([_BEFORE, _BEFORE + text], special=True)
    if together[: len(alone)] != alone:
        raise EngineError(f"{text!r} cannot be tokenised by itself with {engine.info.model}.")
    return together[len(alone) :]


RULE = Thinking()
