"""From questions to answers: renders, tokenises, looks up what is known, scores the rest, keeps it.

One `CellScorer` serves one model on one task at one number of shots with one scoring.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from medbench_local.engine.base import Bos, Engine, EngineInfo, GenerateRequest, Pack, ScoreRequest, Tokens
from medbench_local.engine.packs import common_prefix, new_tokens, plan_packs
from medbench_local.engine.requests import constrained, continued, letter_tokens
from medbench_local.errors import EngineError
from medbench_local.prompts.demonstrations import demonstration_rows
from medbench_local.prompts.matching import Several, match_answer
from medbench_local.prompts.prompt import Candidate, Prompt
from medbench_local.prompts.prompting import Prompting, render, render_cloze
from medbench_local.store.scores import ScoreStore, StoredScore, score_key
from medbench_local.study.results import Scoring
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
    several: Several
    max_tokens: int


@dataclass(frozen=True)
class Answer:
    """How one question was answered.

    Attributes:
        prediction: index of the chosen option, or None (no letter found, or the prompt did not fit).
        logprobs: of each option as compared (per byte for cloze); empty for greedy and overlong prompts.
        mass: summed probability of the options; None where it is not defined.
        tied: another option has the same score as the chosen one.
        tokens: length of the prompt in tokens.
        dropped: demonstrations left out because the prompt was longer than the context.
        overlong: the prompt did not fit the context at all and was not scored.
        text: what was generated; None unless greedy.
        prompt_sha256: hash of the prompt's text.
    """

    prediction: int | None
    logprobs: tuple[float, ...]
    mass: float | None
    tied: bool
    tokens: int
    dropped: int
    overlong: bool
    text: str | None
    prompt_sha256: str


@dataclass
class Meter:
    """Counts what a run did; goes into the timing part of the results only."""

    tokens_decoded: int = 0
    prompts_scored: int = 0
    prompts_reused: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class _Prepared:
    """One prompt, ready to score; ``request`` is None when it does not fit the context."""

    request: Request | None
    tokens: int
    dropped: int
    prompt_sha256: str


@dataclass(frozen=True)
class _PreparedSplit:
    """All prompts of a candidate on a split, and the prefix shared by those with equal demonstrations."""

    prompts: tuple[_Prepared, ...]
    prefixes: dict[int, Tokens] = field(default_factory=dict)


class CellScorer:
    """Answers of one model on one task, shots and scoring, for any candidate.

    Args:
        engine: the loaded model.
        fingerprint: hash of everything that decides a score beside the tokens: the model's file and the
            engine's numerics.
        store: where scores are kept.
        prompting: how this model is spoken to.
        task: its questions.
        shots: demonstrations in a prompt.
        rules: what the protocol fixes.
        meter: counts tokens and prompts.
        on_prompts: called with the number of prompts whenever some became known.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        fingerprint: bytes,
        store: ScoreStore,
        prompting: Prompting,
        task: Task,
        shots: int,
        rules: ScoringRules,
        meter: Meter,
        on_prompts: Callable[[int], None],
    ) -> None:
        self._engine = engine
        self._fingerprint = fingerprint
        self._store = store
        self._prompting = prompting
        self._task = task
        self._shots = shots
        self._rules = rules
        self._meter = meter
        self._on_prompts = on_prompts
        self._prepared: dict[tuple[Candidate, SplitName], _PreparedSplit] = {}

    def answers(self, candidate: Candidate, split: SplitName, rows: Sequence[int]) -> list[Answer]:
        """The answers to the questions ``rows`` of ``split``, in that order.

        Raises:
            EngineError: the engine cannot score a prompt.
            StoreError: scores cannot be kept.
        """
        prepared = self._prepare(candidate, split)
        scores = self._scores(prepared, rows)
        questions = self._task.questions(split)
        return [self._answer(questions[row], prepared.prompts[row], scores.get(row)) for row in rows]

    def tokens(self, candidate: Candidate, split: SplitName, rows: Sequence[int]) -> int:
        """Tokens that scoring ``rows`` would decode, each shared prefix counted once."""
        prepared = self._prepare(candidate, split)
        groups: set[int] = set()
        total = 0
        for row in rows:
            prompt = prepared.prompts[row]
            if prompt.request is None:
                continue
            prefix = prepared.prefixes[prompt.dropped]
            total += new_tokens(prompt.request, len(prefix))
            groups.add(prompt.dropped)
        return total + sum(len(prepared.prefixes[group]) for group in groups)

    def first_prompt(self, candidate: Candidate, split: SplitName) -> Tokens:
        """Token ids of the first prompt of the split that fits; empty if none does."""
        for prompt in self._prepare(candidate, split).prompts:
            if prompt.request is not None:
                return prompt.request.context
        return ()

    def forget(self) -> None:
        """Drop the prepared prompts; they are rendered again when needed."""
        self._prepared.clear()

    # From questions to requests

    def _prepare(self, candidate: Candidate, split: SplitName) -> _PreparedSplit:
        found = self._prepared.get((candidate, split))
        if found is None:
            found = self._prepared[candidate, split] = self._render_split(candidate, split)
        return found

    def _render_split(self, candidate: Candidate, split: SplitName) -> _PreparedSplit:
        demonstrations: tuple[Question, ...] = ()
        if candidate.demonstrations is not None:
            pool = self._task.questions("demonstrations")
            rows = demonstration_rows(candidate.demonstrations, len(pool), self._shots)
            demonstrations = tuple(pool[row] for row in rows)
        questions = self._task.questions(split)
        done: list[_Prepared | None] = [None] * len(questions)
        waiting = list(range(len(questions)))
        for dropped in range(len(demonstrations) + 1):
            kept = demonstrations[dropped:]
            prompts = [self._render(questions[row], kept, candidate) for row in waiting]
            requests = self._requests([questions[row] for row in waiting], prompts)
            still = []
            for row, prompt, request in zip(waiting, prompts, requests, strict=True):
                fits = _longest(request) <= self._rules.context
                last_try = dropped == len(demonstrations) or self._rules.overlong == "wrong"
                if not fits and not last_try:
                    still.append(row)
                    continue
                sha = hashlib.sha256(prompt.text.encode()).hexdigest()
                done[row] = _Prepared(request if fits else None, len(request.context), dropped, sha)
            waiting = still
            if not waiting:
                break
        prompts_done = tuple(prompt for prompt in done if prompt is not None)
        return _PreparedSplit(prompts_done, _prefixes(prompts_done))

    def _render(self, question: Question, demonstrations: Sequence[Question], candidate: Candidate) -> Prompt:
        kind = render_cloze if self._rules.scoring == "cloze" else render
        return kind(self._prompting, self._task.id, question, demonstrations, candidate.format)

    def _requests(self, questions: Sequence[Question], prompts: Sequence[Prompt]) -> list[Request]:
        rules, engine = self._rules, self._engine
        if not prompts:
            return []
        special = prompts[0].special
        bos: Bos = rules.bos if special else "once"
        if rules.scoring in ("constrained", "greedy"):
            contexts = engine.tokenize([prompt.text for prompt in prompts], special=special, bos=bos)
            if rules.scoring == "greedy":
                return [
                    GenerateRequest(context, _stops(prompt, engine.info), self._room(context))
                    for context, prompt in zip(contexts, prompts, strict=True)
                ]
            letters = letter_tokens(engine, max(len(question.options) for question in questions))
            return [
                constrained(context, letters[: len(question.options)])
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
                    advice="Use --scoring constrained.",
                )
        texts = [prompt.text + end for prompt, ends in zip(prompts, endings, strict=True) for end in ends]
        tokenised = iter(engine.tokenize(texts, special=special, bos=bos))
        return [continued([next(tokenised) for _ in ends]) for ends in endings]

    def _room(self, context: Tokens) -> int:
        """Most tokens of an answer: it ends where the model's context does."""
        return max(1, min(self._rules.max_tokens, self._rules.context - len(context)))

    # From requests to scores

    def _scores(self, prepared: _PreparedSplit, rows: Sequence[int]) -> dict[int, StoredScore]:
        wanted = {row: r for row in rows if (r := prepared.prompts[row].request) is not None}
        keys = {row: self._key(request) for row, request in wanted.items()}
        if self._depends_on_company:
            for rows_of_pack, pack in self._packs(prepared, wanted):
                company = score_key(pack.prefix, *(keys[row] for row in rows_of_pack))
                keys.update({row: score_key(keys[row], company) for row in rows_of_pack})
        known = self._store.get(list(keys.values()))
        scores = {row: known[key] for row, key in keys.items() if key in known}
        self._meter.prompts_reused += len(scores)
        self._on_prompts(len(rows) - len(wanted) + len(scores))
        missing = wanted
        if not self._depends_on_company:
            missing = {row: request for row, request in wanted.items() if row not in scores}
        for rows_of_pack, pack in self._packs(prepared, missing):
            if all(row in scores for row in rows_of_pack):
                continue
            results = self._score_pack(pack)
            self._store.put({keys[row]: r for row, r in zip(rows_of_pack, results, strict=True)})
            scores.update(zip(rows_of_pack, results, strict=True))
            self._on_prompts(len(rows_of_pack))
        return scores

    @property
    def _depends_on_company(self) -> bool:
        """Whether the last bits of a score depend on what else is in its pack.

        In the exact mode scores do not; texts and everything in the fast mode do. Their keys then name the pack,
        so that a result never depends on what an earlier run happened to ask together.
        """
        return self._rules.scoring == "greedy" or self._engine.info.numerics.get("mode") == "fast"

    @staticmethod
    def _packs(prepared: _PreparedSplit, wanted: Mapping[int, Request]) -> Iterator[tuple[list[int], Pack]]:
        """What is computed together, each pack with its rows."""
        for dropped, prefix in sorted(prepared.prefixes.items()):
            rows = [row for row in wanted if prepared.prompts[row].dropped == dropped]
            start = 0
            for pack in plan_packs([wanted[row] for row in rows], prefix):  # type: ignore[type-var]
                own = rows[start : start + len(pack.requests)]
                start += len(own)
                yield own, pack

    def _score_pack(self, pack: Pack) -> list[StoredScore]:
        started = time.monotonic()
        lengths = [len(request.context) for request in pack.requests]
        if self._rules.scoring == "greedy":
            texts = self._engine.generate(pack)
            results = [StoredScore((), None, text, n) for text, n in zip(texts, lengths, strict=True)]
        else:
            scores = self._engine.score(pack)
            results = [StoredScore(s.logprobs, s.mass, None, n) for s, n in zip(scores, lengths, strict=True)]
        self._meter.seconds += time.monotonic() - started
        self._meter.prompts_scored += len(results)
        self._meter.tokens_decoded += sum(new_tokens(r, len(pack.prefix)) for r in pack.requests)
        return results

    def _key(self, request: Request) -> bytes:
        if isinstance(request, ScoreRequest):
            return score_key(self._fingerprint, "score", request.context, *request.continuations)
        return score_key(
            self._fingerprint, "generate", request.context, json.dumps([*request.stop, request.max_tokens])
        )

    # From scores to answers

    def _answer(self, question: Question, prompt: _Prepared, score: StoredScore | None) -> Answer:
        if score is None:
            return Answer(
                None, (), None, False, prompt.tokens, prompt.dropped, True, None, prompt.prompt_sha256
            )
        prediction: int | None
        if score.text is not None:
            prediction = match_answer(
                score.text, question.options, question.answer, several=self._rules.several
            )
            logprobs: tuple[float, ...] = ()
            tied = False
        else:
            logprobs = score.logprobs
            if self._rules.scoring == "cloze":
                lengths = [max(len(option.encode()), 1) for option in question.options]
                logprobs = tuple(value / size for value, size in zip(logprobs, lengths, strict=True))
            best = max(logprobs)
            prediction = logprobs.index(best)
            tied = logprobs.count(best) > 1
        return Answer(
            prediction,
            logprobs,
            score.mass,
            tied,
            score.tokens,
            prompt.dropped,
            False,
            score.text,
            prompt.prompt_sha256,
        )


def fingerprint(model_sha256: str, info: EngineInfo) -> bytes:
    """A hash of everything that decides a score beside the tokens."""
    return score_key(model_sha256, json.dumps(info.numerics, sort_keys=True))


def _stops(prompt: Prompt, info: EngineInfo) -> tuple[str, ...]:
    return tuple(dict.fromkeys(s for s in (info.eos_text, *_GREEDY_STOPS, *prompt.stop) if s))


def _longest(request: Request) -> int:
    """Tokens of the context with its longest answer."""
    if isinstance(request, GenerateRequest):
        return len(request.context) + 1
    return len(request.context) + max(len(tail) for tail in request.continuations) - 1


def _prefixes(prompts: Sequence[_Prepared]) -> dict[int, Tokens]:
    """The longest common token prefix of the prompts with equally many demonstrations dropped.

    It is taken over the whole split, so that it does not depend on which questions are scored.
    """
    groups: dict[int, list[Tokens]] = {}
    for prompt in prompts:
        if prompt.request is not None:
            groups.setdefault(prompt.dropped, []).append(prompt.request.context)
    return {dropped: common_prefix(contexts) for dropped, contexts in groups.items()}
