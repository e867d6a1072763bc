"""From questions to requests: renders and tokenises prompts, drops demonstrations from those that are too long.

Questions are taken in blocks, so that a task of any size is held in the same memory and the first prompt is scored
after the first block.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass

from medbench_local._version import __version__
from medbench_local.engine.base import Engine, GenerateRequest, ScoreRequest, Tokens
from medbench_local.engine.packs import common_prefix, new_tokens
from medbench_local.engine.support import inexact
from medbench_local.errors import UsageError
from medbench_local.prompts.demonstrations import demonstration_rows
from medbench_local.prompts.prompt import Candidate, Prompt
from medbench_local.prompts.prompt_style import PromptStyle
from medbench_local.scoring.rule import AskedPrompt, ScoringSettings, ThinkingRequest
from medbench_local.store.scores import StoredRequest, score_key
from medbench_local.tasks.question import Question, SplitName, Task

BLOCK = 5000
"""Most questions whose prompts are held at a time and share a prefix; no test set of the study has more."""

SMALLER_BUDGET = (
    "Name a protocol with a smaller `thinking: {budget: …}` (both models think as long), or fewer demonstrations with "
    "`shots=`."
)
"""What to do where prompts and the thinking about them do not fit the context."""

_TOGETHER = 200
"""Prompts that are rendered, sent and tokenised in one go."""

_REQUESTS = 2
"""To be raised when a rule makes another request of the same prompt within one version of the package."""


@dataclass(frozen=True, slots=True)
class PreparedPrompt:
    """A prompt as tokens.

    Attributes:
        request: what the engine is asked; None when the prompt does not fit the context.
        tokens: length of the prompt.
        dropped: demonstrations left out because the prompt was longer than the context.
        prompt_sha256: hash of the prompt.
        sizes: bytes that the scored tokens of each option spell; empty for rules that do not need them.
        key: of the prompt among all that are asked with these settings; see `RequestBuilder.recall`.
        too_long: the same of those with more demonstrations that did not fit, with their lengths.
    """

    request: ScoreRequest | GenerateRequest | ThinkingRequest | None
    tokens: int
    dropped: int
    prompt_sha256: str
    sizes: tuple[int, ...]
    key: bytes
    too_long: tuple[tuple[bytes, int], ...]


@dataclass(frozen=True, slots=True)
class RecalledPrompt:
    """A prompt that was tokenised before.

    Attributes:
        stored: what became of it.
        dropped, prompt_sha256: as of a `PreparedPrompt`.
    """

    stored: StoredRequest
    dropped: int
    prompt_sha256: str


@dataclass(frozen=True)
class PreparedPrompts:
    """Prompts of one candidate.

    Attributes:
        prompts: by row of the split.
        prefixes: the longest common token prefix, over all questions of the block that may be asked, of the prompts
            with equally many demonstrations dropped.
    """

    prompts: Mapping[int, PreparedPrompt]
    prefixes: Mapping[int, Tokens]


class RequestBuilder:
    """Makes the prompts of one model on one task with a number of shots.

    The longest common prefix is taken over all questions of a block that the protocol may ask, so that it does not
    depend on which ones are asked now, nor on questions that are never asked. Blocks are cut from the questions that
    may be asked, in their order; where a score depends on what else is computed with it, all of them are one block.

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
        self._block = None if settings.depends_on_batch(engine) else BLOCK
        self._about = score_key("requests", str(_REQUESTS), __version__, settings.identity)
        self._places: dict[SplitName, dict[int, int]] = {}
        self._prefixes: dict[tuple[Candidate, SplitName, int], dict[int, Tokens]] = {}

    def blocks(self, split: SplitName, rows: Sequence[int]) -> Iterator[Sequence[int]]:
        """The questions ``rows``, which must be among those that may be asked, block by block."""
        asked = self._asked_rows(split)
        if self._block is None or len(asked) <= self._block:
            yield rows
            return
        found: dict[int, list[int]] = {}
        for row in rows:
            found.setdefault(self._place(split, row) // self._block, []).append(row)
        yield from (found[number] for number in sorted(found))

    def recall(
        self,
        candidate: Candidate,
        split: SplitName,
        rows: Sequence[int],
        known: Callable[[Sequence[bytes]], Mapping[bytes, StoredRequest]],
    ) -> dict[int, RecalledPrompt]:
        """Those of the questions ``rows`` whose prompts were tokenised before; nothing is tokenised now.

        Args:
            candidate: how they are asked.
            split: of the questions.
            rows: questions of one block.
            known: what is known of prompts by their keys.

        Raises:
            UsageError: a prompt shows a picture, and the rule reads text only.
        """
        demonstrations = self._demonstrations(candidate)
        questions = self._task.questions(split)
        found: dict[int, RecalledPrompt] = {}
        waiting = list(rows)
        for dropped in range(len(demonstrations) + 1):
            if not waiting:
                break
            names: list[tuple[str, bytes]] = []  # not the prompts: a block of them may be long
            for row in waiting:
                one = self._ask(questions[row], demonstrations[dropped:], candidate)
                sha256 = one.prompt.sha256
                names.append((sha256, self._key(one, sha256)))
            stored = known([key for _, key in names])
            still = []
            for row, (sha256, key) in zip(waiting, names, strict=True):
                if (request := stored.get(key)) is None:
                    continue
                if request.score is None and self._may_drop(dropped, demonstrations):
                    still.append(row)
                else:
                    found[row] = RecalledPrompt(request, dropped, sha256)
            waiting = still
        return found

    def prompts(self, candidate: Candidate, split: SplitName, rows: Sequence[int]) -> PreparedPrompts:
        """The prompts of the questions ``rows``, which must be of one block.

        Raises:
            EngineError: a question cannot be scored by the rule.
            UsageError: a prompt shows a picture, and the rule reads text only.
            EngineError: a prompt is longer than what llama.cpp computes right of this model.
        """
        asked = self._asked_rows(split)
        number, together = 0, asked
        if self._block is not None and len(asked) > self._block:
            number = self._place(split, rows[0]) // self._block
            together = asked[number * self._block : (number + 1) * self._block]
        prefixes = self._prefixes.get((candidate, split, number))
        if prefixes is not None:
            return PreparedPrompts(self._render_rows(candidate, split, rows), prefixes)
        beginnings = _Beginnings()
        prompts = self._render_rows(candidate, split, together, beginnings=beginnings, kept=set(rows))
        prefixes = self._prefixes[candidate, split, number] = beginnings.shared()
        return PreparedPrompts(prompts, prefixes)

    def prompt(self, candidate: Candidate, split: SplitName, row: int, *, dropped: int = 0) -> Prompt:
        """One prompt as a model is sent it.

        Args:
            candidate: how the question is asked.
            split: of the question.
            row: the question.
            dropped: demonstrations that were left out, the first ones, because it was longer than the context.
        """
        shown = self._demonstrations(candidate)[dropped:]
        return self._ask(self._task.questions(split)[row], shown, candidate).prompt

    def need_exact(self, candidate: Candidate, split: SplitName, rows: Sequence[int]) -> None:
        """Look at prompts only whether they are computed right, before hours are spent on others.

        Raises:
            EngineError: one is longer than what llama.cpp computes right of this model.
        """
        if self._engine.info.exact_up_to:
            self._render_rows(candidate, split, rows, kept=())

    def need_room_to_think(self, candidate: Candidate, split: SplitName, rows: Sequence[int]) -> None:
        """Refuse a budget of thinking that does not fit behind some prompts: they would all count as wrong.

        Raises:
            UsageError: there is one.
        """
        if not self._settings.rule.thinks:
            return
        lacking = sum(
            1
            for start in range(0, len(rows), _TOGETHER)
            for _, one in self._render(candidate, split, rows[start : start + _TOGETHER], ())
            if one.request is None
        )
        if lacking:
            raise UsageError(
                f"{lacking:,} of {len(rows):,} prompts of {self._task.id} do not fit the context of "
                f"{self._settings.context:,} tokens of {self._prompt_style.name} with "
                f"{self._settings.protocol.thinking.budget:,} tokens of thinking behind them.",
                advice=SMALLER_BUDGET,
            )

    def tokens(self, candidate: Candidate, split: SplitName, rows: Sequence[int]) -> int:
        """Tokens decoded to score ``rows`` alone, the prefix that they share counted once."""
        beginnings = _Beginnings()
        prompts = self._render_rows(candidate, split, rows, beginnings=beginnings)
        prefixes = beginnings.shared()
        total = sum(map(len, prefixes.values()))
        for prompt in prompts.values():
            if prompt.request is not None:
                request = prompt.request
                asked = request.think if isinstance(request, ThinkingRequest) else request
                total += new_tokens(asked, len(prefixes[prompt.dropped]))
        return total

    def first_prompt(self, candidate: Candidate, split: SplitName) -> Tokens:
        """Token ids of the first prompt of the split that fits; empty if none does."""
        for row in range(len(self._task.questions(split))):
            (prompt,) = self._render_rows(candidate, split, [row]).values()
            if prompt.request is not None:
                return prompt.request.context
        return ()

    def _asked_rows(self, split: SplitName) -> Sequence[int]:
        return self._asked.get(split, range(len(self._task.questions(split))))

    def _place(self, split: SplitName, row: int) -> int:
        """Where a question stands among those of its split that may be asked."""
        asked = self._asked_rows(split)
        if isinstance(asked, range):
            return asked.index(row)
        if split not in self._places:
            self._places[split] = {one: number for number, one in enumerate(asked)}
        return self._places[split][row]

    def _demonstrations(self, candidate: Candidate) -> tuple[Question, ...]:
        if candidate.demonstrations is None:
            return ()
        pool = self._task.questions("demonstrations")
        shown = demonstration_rows(candidate.demonstrations, len(pool), self._shots)
        return tuple(pool[row] for row in shown)

    def _may_drop(self, dropped: int, demonstrations: Sequence[Question]) -> bool:
        """Whether a prompt that does not fit with ``dropped`` left out may be asked with one less."""
        return self._settings.protocol.too_long == "drop-demonstrations" and dropped < len(demonstrations)

    def _key(self, asked: AskedPrompt, sha256: str) -> bytes:
        """What of a prompt, whose hash is ``sha256``, decides its request, beside the settings and the model."""
        prompt, question = asked.prompt, asked.question
        # The hash of a prompt names pictures by their files; colours decide what a model sees of one, too.
        colours = ("own colours",) if any(picture.own_colours for picture in prompt.pictures) else ()
        return score_key(
            self._about,
            sha256,
            str(prompt.special),
            prompt.gap,
            score_key(*prompt.labels),
            score_key(*prompt.stop),
            score_key(question.text, *question.options),
            *colours,
        )

    def _render_rows(
        self,
        candidate: Candidate,
        split: SplitName,
        rows: Sequence[int],
        *,
        beginnings: _Beginnings | None = None,
        kept: Container[int] | None = None,
    ) -> dict[int, PreparedPrompt]:
        """The prompts of ``rows``, a few hundred at a time.

        Args:
            candidate: how they are asked.
            split: of the questions.
            rows: the questions.
            beginnings: sees the tokens of every prompt that fits.
            kept: which prompts are returned; None for all.
        """
        done: dict[int, PreparedPrompt] = {}
        for start in range(0, len(rows), _TOGETHER):
            for row, one in self._render(candidate, split, rows[start : start + _TOGETHER], kept):
                if beginnings is not None and one.request is not None:
                    beginnings.add(one.dropped, one.request.context)
                if kept is None or row in kept:
                    done[row] = one
        return done

    def _render(
        self, candidate: Candidate, split: SplitName, rows: Sequence[int], hashed: Container[int] | None
    ) -> Iterator[tuple[int, PreparedPrompt]]:
        """The prompts of ``rows`` with their rows; only of those in ``hashed`` the hashes are made."""
        demonstrations = self._demonstrations(candidate)
        rule, context = self._settings.rule, self._settings.context
        info = self._engine.info
        limit = info.exact_up_to
        questions = self._task.questions(split)
        too_long: dict[int, tuple[tuple[bytes, int], ...]] = {}
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
                room = rule.room(request)
                tokens, fits = len(request.context), room <= context
                if fits and 0 < limit < room:
                    raise inexact(f"the prompt of {one.where}", room, limit, info.limited_by)
                sha256, key = "", b""
                if hashed is None or row in hashed:
                    sha256 = one.prompt.sha256
                    key = self._key(one, sha256)
                if not fits and self._may_drop(dropped, demonstrations):
                    still.append(row)
                    too_long[row] = (*too_long.get(row, ()), (key, tokens))
                    continue
                shorter = too_long.get(row, ())
                yield (
                    row,
                    PreparedPrompt(
                        request if fits else None, tokens, dropped, sha256, built.sizes, key, shorter
                    ),
                )
            waiting = still

    def _ask(
        self, question: Question, demonstrations: Sequence[Question], candidate: Candidate
    ) -> AskedPrompt:
        prompt = self._settings.rule.render(
            self._prompt_style, self._task.id, question, demonstrations, candidate.format
        )
        return AskedPrompt(f"{self._task.id}, question {question.id}", question, prompt)


class _Beginnings:
    """The longest common token prefix of the prompts with equally many demonstrations dropped, as they come by."""

    def __init__(self) -> None:
        self._extremes: dict[int, tuple[Tokens, Tokens]] = {}

    def add(self, dropped: int, context: Tokens) -> None:
        """One more prompt."""
        lowest, highest = self._extremes.get(dropped, (context, context))
        # The smallest and the largest in lexicographic order differ where any two do.
        self._extremes[dropped] = min(lowest, context), max(highest, context)

    def shared(self) -> dict[int, Tokens]:
        """The prefixes of all so far, by the number of demonstrations dropped."""
        return {dropped: common_prefix(pair) for dropped, pair in self._extremes.items()}
