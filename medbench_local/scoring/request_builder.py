"""From questions to requests: renders and tokenises prompts, drops demonstrations from those that are too long."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from medbench_local.catalog.protocol import Scoring
from medbench_local.engine.base import Bos, Engine, EngineInfo, GenerateRequest, ScoreRequest, Tokens
from medbench_local.engine.packs import common_prefix, new_tokens
from medbench_local.engine.requests import constrained, continued, continued_after, letter_tokens
from medbench_local.errors import EngineError
from medbench_local.prompts.demonstrations import demonstration_rows
from medbench_local.prompts.prompt import Candidate, Prompt
from medbench_local.prompts.prompt_style import PromptStyle, render, render_cloze
from medbench_local.scoring.matching import MultipleLetters
from medbench_local.tasks.question import Question, SplitName, Task

_GREEDY_STOPS = ("###", "<|eot_id|>")

Request = ScoreRequest | GenerateRequest


@dataclass(frozen=True)
class ScoringRules:
    """What a protocol fixes about turning prompts into answers.

    Attributes:
        scoring: see design of the four kinds: "constrained", "label", "cloze", "greedy".
        context: longest prompt with its answer, in tokens.
        overlong: what happens to longer ones: "drop-demonstrations" (farthest first) or "wrong".
        bos: whether a chat prompt that writes its own BOS gets the tokenizer's as well.
        several: what greedy matching makes of several letters: the "first" one, or "none".
        max_tokens: most tokens of a greedy answer.
    """

    scoring: Scoring
    context: int
    overlong: str
    bos: Bos
    several: MultipleLetters
    max_tokens: int


@dataclass(frozen=True)
class PreparedPrompt:
    """A prompt as tokens.

    Attributes:
        request: what the engine is asked; None when the prompt does not fit the context.
        tokens: length of the prompt.
        dropped: demonstrations left out because the prompt was longer than the context.
        prompt_sha256: hash of the prompt's text.
        sizes: bytes that the scored tokens of each option spell; empty unless cloze.
    """

    request: Request | None
    tokens: int
    dropped: int
    prompt_sha256: str
    sizes: tuple[int, ...] = ()


@dataclass(frozen=True)
class PreparedPrompts:
    """Prompts of one candidate.

    Attributes:
        prompts: by row of the split.
        prefixes: the longest common token prefix, over all questions that may be asked, of the prompts with equally
            many demonstrations dropped.
    """

    prompts: Mapping[int, PreparedPrompt]
    prefixes: Mapping[int, Tokens]


class RequestBuilder:
    """Makes the prompts of one model on one task with a number of shots.

    The longest common prefix is taken over all questions that the protocol may ask, so that it does not depend on
    which ones are asked now, nor on questions that are never asked.

    A search comes back to its candidates again and again. Their prefixes are kept; their prompts are made anew,
    because those of a hundred candidates would fill more memory than the model.

    Args:
        engine: tokenises.
        prompt_style: how the model is spoken to.
        task: its questions.
        shots: demonstrations in a prompt.
        rules: what the protocol fixes.
        asked: rows of each split that may be asked; a split that is not named may be asked as a whole.
    """

    def __init__(
        self,
        engine: Engine,
        prompt_style: PromptStyle,
        task: Task,
        shots: int,
        rules: ScoringRules,
        asked: Mapping[SplitName, Sequence[int]] | None = None,
    ) -> None:
        self._engine = engine
        self._prompt_style = prompt_style
        self._task = task
        self._shots = shots
        self._rules = rules
        self._asked = asked or {}
        self._prefixes: dict[tuple[Candidate, SplitName], dict[int, Tokens]] = {}

    def prompts(self, candidate: Candidate, split: SplitName, rows: Sequence[int]) -> PreparedPrompts:
        """The prompts of the questions ``rows``, which must be among those that may be asked.

        Raises:
            EngineError: a question cannot be scored the way the rules want it.
        """
        prefixes = self._prefixes.get((candidate, split))
        if prefixes is not None:
            return PreparedPrompts(self._render_rows(candidate, split, rows), prefixes)
        asked = self._asked.get(split, range(len(self._task.questions(split))))
        every = self._render_rows(candidate, split, asked)
        prefixes = self._prefixes[candidate, split] = _prefixes(every.values())
        return PreparedPrompts({row: every[row] for row in rows}, prefixes)

    def tokens(self, candidate: Candidate, split: SplitName, rows: Sequence[int]) -> int:
        """Tokens decoded to score ``rows`` alone, the prefix that they share counted once."""
        prompts = self._render_rows(candidate, split, rows)
        prefixes = _prefixes(prompts.values())
        total = sum(map(len, prefixes.values()))
        for prompt in prompts.values():
            if prompt.request is not None:
                total += new_tokens(prompt.request, len(prefixes[prompt.dropped]))
        return total

    def first_prompt(self, candidate: Candidate, split: SplitName) -> Tokens:
        """Token ids of the first prompt of the split that fits; empty if none does."""
        for row in range(len(self._task.questions(split))):
            (prompt,) = self._render_rows(candidate, split, [row]).values()
            if prompt.request is not None:
                return prompt.request.context
        return ()

    def _render_rows(
        self, candidate: Candidate, split: SplitName, rows: Sequence[int]
    ) -> dict[int, PreparedPrompt]:
        demonstrations: tuple[Question, ...] = ()
        if candidate.demonstrations is not None:
            pool = self._task.questions("demonstrations")
            shown = demonstration_rows(candidate.demonstrations, len(pool), self._shots)
            demonstrations = tuple(pool[row] for row in shown)
        questions = self._task.questions(split)
        done: dict[int, PreparedPrompt] = {}
        waiting = list(rows)
        for dropped in range(len(demonstrations) + 1):
            kept = demonstrations[dropped:]
            prompts = [self._render(questions[row], kept, candidate) for row in waiting]
            requests = self._requests([questions[row] for row in waiting], prompts)
            still = []
            for row, prompt, (request, sizes) in zip(waiting, prompts, requests, strict=True):
                fits = _longest(request) <= self._rules.context
                last_try = dropped == len(demonstrations) or self._rules.overlong == "wrong"
                if not fits and not last_try:
                    still.append(row)
                    continue
                sha = hashlib.sha256(prompt.text.encode()).hexdigest()
                done[row] = PreparedPrompt(
                    request if fits else None, len(request.context), dropped, sha, sizes
                )
            waiting = still
            if not waiting:
                break
        return done

    def _render(self, question: Question, demonstrations: Sequence[Question], candidate: Candidate) -> Prompt:
        kind = render_cloze if self._rules.scoring == "cloze" else render
        return kind(self._prompt_style, self._task.id, question, demonstrations, candidate.format)

    def _requests(
        self, questions: Sequence[Question], prompts: Sequence[Prompt]
    ) -> list[tuple[Request, tuple[int, ...]]]:
        """What is asked of the engine for each prompt, and the `PreparedPrompt.sizes` of its options."""
        rules, engine = self._rules, self._engine
        if not prompts:
            return []
        special = prompts[0].special
        bos: Bos = rules.bos if special else "once"
        if rules.scoring in ("constrained", "greedy"):
            contexts = engine.tokenize([prompt.text for prompt in prompts], special=special, bos=bos)
            if rules.scoring == "greedy":
                return [
                    (GenerateRequest(context, _stops(prompt, engine.info), self._room(context)), ())
                    for context, prompt in zip(contexts, prompts, strict=True)
                ]
            letters = letter_tokens(engine, max(len(question.options) for question in questions))
            return [
                (constrained(context, letters[: len(question.options)]), ())
                for context, question in zip(contexts, questions, strict=True)
            ]
        endings = [
            prompt.labels if rules.scoring == "label" else question.options
            for prompt, question in zip(prompts, questions, strict=True)
        ]
        for question, ends in zip(questions, endings, strict=True):
            if "" in ends:
                raise EngineError(
                    f"{self._task.id}, question {question.id}: option {ends.index('') + 1} is empty; "
                    f"{rules.scoring} scoring has nothing to score.",
                    advice='Use `scoring="constrained"`.',
                )
        begun = [prompt.text + prompt.gap for prompt in prompts]
        texts = [beginning + end for beginning, ends in zip(begun, endings, strict=True) for end in ends]
        tokenised = iter(engine.tokenize(texts, special=special, bos=bos))
        whole = [[next(tokenised) for _ in ends] for ends in endings]
        if rules.scoring == "label":
            return [(continued(tokens), ()) for tokens in whole]
        own = engine.tokenize(begun, special=special, bos=bos)
        requests = [continued_after(prompt, tokens) for prompt, tokens in zip(own, whole, strict=True)]
        # What of a prompt is scored with each of its options: mostly nothing, or the blank that one melts into.
        melted = [prompt[len(request.context) :] for prompt, request in zip(own, requests, strict=True)]
        distinct = list(dict.fromkeys(melted))
        sizes = dict(zip(distinct, engine.text_sizes(distinct), strict=True))
        return [
            (request, tuple(sizes[tail] + len(option.encode()) for option in options))
            for request, tail, options in zip(requests, melted, endings, strict=True)
        ]

    def _room(self, context: Tokens) -> int:
        """Most tokens of an answer: it ends where the model's context does."""
        return max(1, min(self._rules.max_tokens, self._rules.context - len(context)))


def _stops(prompt: Prompt, info: EngineInfo) -> tuple[str, ...]:
    return tuple(dict.fromkeys(s for s in (info.eos_text, *_GREEDY_STOPS, *prompt.stop) if s))


def _longest(request: Request) -> int:
    """Tokens of the context with its longest answer."""
    if isinstance(request, GenerateRequest):
        return len(request.context) + 1
    return len(request.context) + max(len(tail) for tail in request.continuations) - 1


def _prefixes(prompts: Iterable[PreparedPrompt]) -> dict[int, Tokens]:
    """The longest common token prefix of the prompts with equally many demonstrations dropped."""
    groups: dict[int, list[Tokens]] = {}
    for prompt in prompts:
        if prompt.request is not None:
            groups.setdefault(prompt.dropped, []).append(prompt.request.context)
    return {dropped: common_prefix(contexts) for dropped, contexts in groups.items()}
