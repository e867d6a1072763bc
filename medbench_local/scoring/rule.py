"""What a scoring rule is: all that tells one way of turning a prompt and its options into an answer from another.

Each rule is one object in one file of `medbench_local.scoring.rules`; nothing else asks which rule it is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Generic, TypeVar

from typing_extensions import override

from medbench_local.catalog.protocol import PICTURE_KEYS, Protocol, Scoring
from medbench_local.engine.base import (
    Engine,
    GenerateRequest,
    Pack,
    ScoreRequest,
    ThinkRequest,
    Tokens,
    Trace,
)
from medbench_local.prompts.prompt import Parts, Prompt, text_of
from medbench_local.prompts.prompt_style import PromptStyle
from medbench_local.prompts.rendering import render
from medbench_local.scoring.pictures import PictureBook
from medbench_local.store.scores import StoredScore
from medbench_local.tasks.question import Question


@dataclass(frozen=True, slots=True)
class ThinkingRequest:
    """What is asked of a model that thinks first.

    Attributes:
        think: the prompt, and what ends the thinking.
        forced: tokens that close the thinking of a model that has not.
        lead: tokens that begin the answer.
        endings: tokens of the options behind them, none empty.
    """

    think: ThinkRequest
    forced: Tokens
    lead: Tokens
    endings: tuple[Tokens, ...]

    @property
    def context(self) -> Tokens:
        """The prompt's tokens."""
        return self.think.context


Request = TypeVar("Request", ScoreRequest, GenerateRequest, ThinkingRequest)

KeyPart = str | bytes | Tokens
"""What `medbench_local.store.scores.score_key` takes."""


@dataclass(frozen=True)
class ScoringSettings:
    """How one model's prompts become answers.

    Attributes:
        rule: how a prompt and its options become an answer.
        context: longest prompt with its answer, in tokens.
        protocol: what becomes of longer ones, how many BOS tokens chat prompts have, and what single rules ask for.
        pictures: those that the model may be shown; None for a model that reads text only.
    """

    rule: ScoringRule[Any]
    context: int
    protocol: Protocol
    pictures: PictureBook | None = None

    @cached_property
    def identity(self) -> str:
        """Everything of these settings, as text."""
        # What is said of pictures decides what a prompt is, and its hash stands beside this.
        return f"{self.rule.name} {self.context} {self.protocol.model_dump_json(exclude=set(PICTURE_KEYS))}"

    def depends_on_batch(self, engine: Engine) -> bool:
        """Whether the last bits of a score depend on what else is in its pack.

        In the exact mode most rules' scores do not; in the fast mode everything does.
        """
        return self.rule.depends_on_batch or engine.info.numerics.get("mode") == "fast"

    def tokenize(self, engine: Engine, prompts: Sequence[Parts], *, special: bool) -> list[Tokens]:
        """Tokens of each prompt; ``special`` ones get the BOS tokens that the protocol wants for chat prompts.

        Raises:
            EngineError: the text of a prompt with a picture would be taken for a control token.
            UsageError: a prompt shows a picture, and the model reads text only.
        """
        bos = self.protocol.chat_bos if special else "once"
        if self.pictures is None or all(isinstance(part, str) for parts in prompts for part in parts):
            return engine.tokenize([text_of(parts) for parts in prompts], special=special, bos=bos)
        parts = [self.pictures.parts(parts) for parts in prompts]
        return engine.tokenize_parts(parts, special=special, bos=bos)


@dataclass(frozen=True)
class AskedPrompt:
    """A question with the prompt that asks it.

    Attributes:
        where: task and question, for errors.
        question: the question.
        prompt: what `ScoringRule.render` made of it.
    """

    where: str
    question: Question
    prompt: Prompt


@dataclass(frozen=True)
class BuiltRequest(Generic[Request]):
    """What is asked of the engine for one prompt.

    Attributes:
        request: the request.
        sizes: bytes that the scored tokens of each option spell; empty for rules that do not need them.
    """

    request: Request
    sizes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Choice:
    """What the scores of one question say.

    Attributes:
        prediction: index of the chosen option, or None if none was chosen.
        logprobs: of each option as compared; empty if options were not scored.
        tied: another option has the same score as the chosen one.
    """

    prediction: int | None
    logprobs: tuple[float, ...] = ()
    tied: bool = False


class ScoringRule(ABC, Generic[Request]):
    """How a prompt and its options become an answer.

    Attributes:
        name: as protocols, options and results have it.
        title: for people ("cloze scoring").
        scores_option_texts: options are scored by their own texts, which are not shown in the prompt. Their summed
            probability is then small for any model, and whoever repeats the scoring elsewhere needs `Prompt.gap`.
        depends_on_batch: the last bits of a score depend on what else is in its pack, even in the engine's exact mode.
        generates: the model writes a text.
        thinks: the model thinks before its options are scored; see `reader` and `after`.
    """

    name: ClassVar[Scoring]
    title: ClassVar[str]
    scores_option_texts: ClassVar[bool] = False
    depends_on_batch: ClassVar[bool] = False
    generates: ClassVar[bool] = False
    thinks: ClassVar[bool] = False

    def reader(self, protocol: Protocol) -> ScoringRule[Any]:  # noqa: ARG002
        """The rule that scores the options: this one, unless the model thinks before."""
        return self

    def after(self, request: Request, trace: Trace) -> ScoreRequest:  # noqa: ARG002
        """What is asked of a model that thinks, once it has thought."""
        raise TypeError(f"nobody thinks in {self.title}")

    def render(
        self,
        prompt_style: PromptStyle,
        task_id: str,
        question: Question,
        demonstrations: Sequence[Question],
        format: int | None,
    ) -> Prompt:
        """The prompt that asks ``question``; arguments as for `medbench_local.prompts.prompt_style.render`."""
        return render(prompt_style, task_id, question, demonstrations, format)

    @abstractmethod
    def requests(
        self, engine: Engine, asked: Sequence[AskedPrompt], settings: ScoringSettings
    ) -> list[BuiltRequest[Request]]:
        """What is asked of the engine for each prompt.

        Args:
            engine: tokenises.
            asked: at least one prompt, all made by one prompt style.
            settings: the context, and what the protocol fixes.

        Raises:
            EngineError: a question cannot be scored by this rule.
            UsageError: a prompt shows a picture, and this rule reads text only.
        """

    @abstractmethod
    def room(self, request: Request) -> int:
        """Tokens that the context must hold for ``request``."""

    @abstractmethod
    def answer_tokens(self, protocol: Protocol) -> int:
        """Most tokens decoded behind a prompt that are not of the question and its options, for estimates of cost."""

    @abstractmethod
    def key_parts(self, request: Request) -> tuple[KeyPart, ...]:
        """What of ``request`` decides its score."""

    @abstractmethod
    def fits(self, score: StoredScore, request: Request) -> bool:
        """Whether a stored score can be the answer to ``request``."""

    @abstractmethod
    def compute(self, engine: Engine, pack: Pack) -> list[StoredScore]:
        """What the store keeps of each request of ``pack``.

        Raises:
            EngineError: see `Engine.score`.
        """

    @abstractmethod
    def choose(
        self, question: Question, sizes: Sequence[int], score: StoredScore, protocol: Protocol
    ) -> Choice:
        """The answer that ``score`` is.

        Args:
            question: the question that was asked.
            sizes: `BuiltRequest.sizes` of its request.
            score: what the store keeps of it.
            protocol: settings of the rule.
        """


class LogprobRule(ScoringRule[ScoreRequest]):
    """A rule that compares log-probabilities of the options; ties go to the first of them."""

    @override
    def room(self, request: ScoreRequest) -> int:
        return len(request.context) + max(len(tail) for tail in request.continuations) - 1

    @override
    def answer_tokens(self, protocol: Protocol) -> int:
        return 0

    @override
    def key_parts(self, request: ScoreRequest) -> tuple[KeyPart, ...]:
        return ("score", request.context, *request.continuations)

    @override
    def fits(self, score: StoredScore, request: ScoreRequest) -> bool:
        return len(score.logprobs) == len(request.continuations)

    @override
    def compute(self, engine: Engine, pack: Pack) -> list[StoredScore]:
        lengths = [len(request.context) for request in pack.requests]
        scores = engine.score(pack)
        return [StoredScore(s.logprobs, s.mass, None, n) for s, n in zip(scores, lengths, strict=True)]

    @override
    def choose(
        self,
        question: Question,
        sizes: Sequence[int],
        score: StoredScore,
        protocol: Protocol,
    ) -> Choice:
        logprobs = self.compared(score.logprobs, sizes)
        best = max(logprobs)
        return Choice(logprobs.index(best), logprobs, logprobs.count(best) > 1)

    def compared(self, logprobs: tuple[float, ...], sizes: Sequence[int]) -> tuple[float, ...]:  # noqa: ARG002
        """The numbers by which options are compared: their joint log-probabilities, in nats."""
        return logprobs
