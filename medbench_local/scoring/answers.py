"""From prompts to answers: looks up what is known, scores the rest, keeps it.

One `CellScorer` serves one model on one task at one number of shots with one scoring.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from medbench_local.engine.base import Engine, EngineInfo, Pack, ScoreRequest
from medbench_local.engine.packs import new_tokens, plan_packs
from medbench_local.progress import Advance
from medbench_local.prompts.prompt import Candidate
from medbench_local.scoring.matching import match_answer
from medbench_local.scoring.request_builder import (
    PreparedPrompt,
    PreparedPrompts,
    Request,
    RequestBuilder,
    ScoringRules,
)
from medbench_local.store.scores import ScoreStore, StoredScore, score_key
from medbench_local.tasks.question import Question, SplitName, Task


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


class CellScorer:
    """Answers of one model on one task, shots and scoring, for any candidate.

    Args:
        engine: the loaded model.
        fingerprint: hash of everything that decides a score beside the tokens: the model's file and the
            engine's numerics.
        store: where scores are kept.
        builder: makes the prompts.
        task: its questions.
        rules: what the protocol fixes.
        meter: counts tokens and prompts.
        advance: told of prompts that were scored, or known.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        fingerprint: bytes,
        store: ScoreStore,
        builder: RequestBuilder,
        task: Task,
        rules: ScoringRules,
        meter: Meter,
        advance: Advance,
    ) -> None:
        self._engine = engine
        self._fingerprint = fingerprint
        self._store = store
        self._builder = builder
        self._task = task
        self._rules = rules
        self._meter = meter
        self._advance = advance

    def answers(self, candidate: Candidate, split: SplitName, rows: Sequence[int]) -> list[Answer]:
        """The answers to the questions ``rows`` of ``split``, in that order.

        Raises:
            EngineError: the engine cannot score a prompt.
            StoreError: scores cannot be kept.
        """
        prepared = self._builder.prompts(candidate, split, rows)
        scores = self._scores(prepared, rows)
        questions = self._task.questions(split)
        return [self._answer(questions[row], prepared.prompts[row], scores.get(row)) for row in rows]

    # From requests to scores

    def _scores(self, prepared: PreparedPrompts, rows: Sequence[int]) -> dict[int, StoredScore]:
        wanted = {row: r for row in rows if (r := prepared.prompts[row].request) is not None}
        keys = {row: self._key(request) for row, request in wanted.items()}
        if self._depends_on_batch:
            for rows_of_pack, pack in self._packs(prepared, wanted):
                company = score_key(pack.prefix, *(keys[row] for row in rows_of_pack))
                keys.update({row: score_key(keys[row], company) for row in rows_of_pack})
        known = self._store.get(list(keys.values()))
        scores = {row: known[key] for row, key in keys.items() if _fits(known.get(key), wanted[row])}
        self._meter.prompts_reused += len(scores)
        self._advance(len(rows) - len(wanted) + len(scores), known=True)
        missing = wanted
        if not self._depends_on_batch:
            missing = {row: request for row, request in wanted.items() if row not in scores}
        for rows_of_pack, pack in self._packs(prepared, missing):
            if all(row in scores for row in rows_of_pack):
                continue
            results = self._score_pack(pack)
            self._store.put({keys[row]: r for row, r in zip(rows_of_pack, results, strict=True)})
            scores.update(zip(rows_of_pack, results, strict=True))
            self._advance(len(rows_of_pack))
        return scores

    @property
    def _depends_on_batch(self) -> bool:
        """Whether the last bits of a score depend on what else is in its pack.

        In the exact mode scores do not; texts and everything in the fast mode do. Their keys then name the pack,
        so that a result never depends on what an earlier run happened to ask together.
        """
        return self._rules.scoring == "greedy" or self._engine.info.numerics.get("mode") == "fast"

    @staticmethod
    def _packs(prepared: PreparedPrompts, wanted: Mapping[int, Request]) -> Iterator[tuple[list[int], Pack]]:
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

    def _answer(self, question: Question, prompt: PreparedPrompt, score: StoredScore | None) -> Answer:
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
                logprobs = tuple(value / size for value, size in zip(logprobs, prompt.sizes, strict=True))
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


def _fits(score: StoredScore | None, request: Request) -> bool:
    """Whether a stored score answers the request: it has as many values as there are options."""
    if score is None:
        return False
    return len(score.logprobs) == (len(request.continuations) if isinstance(request, ScoreRequest) else 0)


def fingerprint(model_sha256: str, info: EngineInfo) -> bytes:
    """A hash of everything that decides a score beside the tokens."""
    return score_key(model_sha256, json.dumps(info.numerics, sort_keys=True))
