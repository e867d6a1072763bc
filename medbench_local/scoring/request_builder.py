"""From questions to requests: renders and tokenises prompts, drops demonstrations from those that are too long."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from medbench_local.engine.base import Engine, GenerateRequest, ScoreRequest, Tokens
from medbench_local.engine.packs import common_prefix, new_tokens
from medbench_local.prompts.demonstrations import demonstration_rows
from medbench_local.prompts.prompt import Candidate
from medbench_local.prompts.prompt_style import PromptStyle
from medbench_local.scoring.rule import AskedPrompt, ScoringSettings
from medbench_local.tasks.question import Question, SplitName, Task


@dataclass(frozen=True)
class PreparedPrompt:
    """A prompt as tokens.

    Attributes:
        request: what the engine is asked; None when the prompt does not fit the context.
        tokens: length of the prompt.
        dropped: demonstrations left out because the prompt was longer than the context.
        prompt_sha256: hash of the prompt.
        sizes: bytes that the scored tokens of each option spell; empty for rules that do not need them.
    """

    request: ScoreRequest | GenerateRequest | None
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
        settings: the scoring rule, and what the protocol fixes.
        asked: rows of each split that may be asked; a split that is not named may be asked as a whole.
    """

    def __init__(
        self,
        engine: Engine,
        prompt_style: PromptStyle,
        task: Task,
        shots: int,
        settings: ScoringSettings,
        asked: Mapping[SplitName, Sequence[int]] | None = None,
    ) -> None:
        self._engine = engine
        self._prompt_style = prompt_style
        self._task = task
        self._shots = shots
        self._settings = settings
        self._asked = asked or {}
        self._prefixes: dict[tuple[Candidate, SplitName], dict[int, Tokens]] = {}

    def prompts(self, candidate: Candidate, split: SplitName, rows: Sequence[int]) -> PreparedPrompts:
        """The prompts of the questions ``rows``, which must be among those that may be asked.

        Raises:
            EngineError: a question cannot be scored by the rule.
            UsageError: a prompt shows a picture, and the rule reads text only.
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
        rule, context = self._settings.rule, self._settings.context
        drops = self._settings.protocol.too_long == "drop-demonstrations"
        questions = self._task.questions(split)
        done: dict[int, PreparedPrompt] = {}
        waiting = list(rows)
        for dropped in range(len(demonstrations) + 1):
            if not waiting:
                break
            asked = [self._ask(questions[row], demonstrations[dropped:], candidate) for row in waiting]
            still = []
            for row, one, built in zip(
                waiting, asked, rule.requests(self._engine, asked, self._settings), strict=True
            ):
                request = built.request
                fits = rule.room(request) <= context
                if not fits and drops and dropped < len(demonstrations):
                    still.append(row)
                    continue
                done[row] = PreparedPrompt(
                    request if fits else None, len(request.context), dropped, one.prompt.sha256, built.sizes
                )
            waiting = still
        return done

    def _ask(
        self, question: Question, demonstrations: Sequence[Question], candidate: Candidate
    ) -> AskedPrompt:
        prompt = self._settings.rule.render(
            self._prompt_style, self._task.id, question, demonstrations, candidate.format
        )
        return AskedPrompt(f"{self._task.id}, question {question.id}", question, prompt)


def _prefixes(prompts: Iterable[PreparedPrompt]) -> dict[int, Tokens]:
    """The longest common token prefix of the prompts with equally many demonstrations dropped."""
    groups: dict[int, list[Tokens]] = {}
    for prompt in prompts:
        if prompt.request is not None:
            groups.setdefault(prompt.dropped, []).append(prompt.request.context)
    return {dropped: common_prefix(contexts) for dropped, contexts in groups.items()}
