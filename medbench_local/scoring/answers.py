"""From prompts to answers: looks up what is known, scores the rest, keeps it.

One `CellScorer` serves one model on one task at one number of shots with one scoring.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import overload

from medbench_local.engine.base import (
    Engine,
    EngineInfo,
    GenerateRequest,
    Pack,
    ScoreRequest,
    Trace,
    TraceEnd,
    WorkDone,
)
from medbench_local.engine.packs import new_tokens, plan_packs
from medbench_local.engine.several import each
from medbench_local.files.compact import doubles, floats, kept_as
from medbench_local.progress import Advance
from medbench_local.prompts.prompt import Candidate
from medbench_local.scoring.loops import repeats
from medbench_local.scoring.request_builder import PreparedPrompts, RequestBuilder
from medbench_local.scoring.rule import KeyPart, ScoringSettings, ThinkingRequest
from medbench_local.scoring.thoughts import Thoughts
from medbench_local.store.scores import ScoreStore, StoredRequest, StoredScore, score_key
from medbench_local.tasks.question import Question, SplitName, Task


@dataclass(frozen=True, slots=True)
class Thought:
    """What a model thought before it answered.

    Attributes:
        tokens: how many it wrote.
        end: how it ended; "budget": it was cut short.
        loops: it ends in a loop.
        text: what it wrote.
    """

    tokens: int
    end: TraceEnd
    loops: bool
    text: str


def _as_it_is(value: Thought | None) -> Thought | None:
    """A slot cannot have a default under the field's own name."""
    return value


@kept_as("logprobs", doubles, floats)
@kept_as("prompt_sha256", bytes.fromhex, bytes.hex)
@kept_as("thought", _as_it_is, _as_it_is)
@dataclass(frozen=True)
class Answer:
    """How one question was answered.

    Attributes:
        prediction: index of the chosen option, or None (the answer names none, or the prompt did not fit).
        logprobs: of each option as compared; empty where options were not scored, and for overlong prompts.
        mass: summed probability of the options; None where it is not defined.
        tied: another option has the same score as the chosen one.
        tokens: length of the prompt in tokens.
        dropped: demonstrations left out because the prompt was longer than the context.
        overlong: the prompt did not fit the context at all and was not scored.
        text: what was generated; None where options were scored.
        prompt_sha256: hash of the prompt.
        thought: what the model thought before; None where it does not.
    """

    __slots__ = (
        *("prediction", "_logprobs", "mass", "tied", "tokens", "dropped", "overlong", "text"),
        "_prompt_sha256",
        "_thought",
    )

    prediction: int | None
    logprobs: tuple[float, ...]
    mass: float | None
    tied: bool
    tokens: int
    dropped: int
    overlong: bool
    text: str | None
    prompt_sha256: str
    thought: Thought | None = None


class LogprobsOf(Sequence[tuple[float, ...]]):
    """The log-probabilities of answers, each unpacked when it is read.

    Args:
        answers: none of them without.
    """

    def __init__(self, answers: Sequence[Answer]) -> None:
        self._answers = answers

    def __len__(self) -> int:
        return len(self._answers)

    @overload
    def __getitem__(self, place: int) -> tuple[float, ...]: ...
    @overload
    def __getitem__(self, place: slice) -> LogprobsOf: ...
    def __getitem__(self, place: int | slice) -> tuple[float, ...] | LogprobsOf:
        found = self._answers[place]
        return found.logprobs if isinstance(found, Answer) else LogprobsOf(found)


@dataclass
class Meter:
    """Counts what a run did; goes into the timing part of the results only.

    Attributes:
        tokens_decoded: of the prompts that were scored, without the prefix that those of a pack share.
        prompts_scored, prompts_reused: scores computed, and scores found in a store.
        seconds: that scores were waited for.
        engine: what the engines did by their own count.
        into: what counts this work, too.
    """

    tokens_decoded: int = 0
    prompts_scored: int = 0
    prompts_reused: int = 0
    seconds: float = 0.0
    engine: WorkDone = field(default_factory=WorkDone)
    into: Meter | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def count(
        self,
        *,
        tokens: int = 0,
        scored: int = 0,
        reused: int = 0,
        seconds: float = 0.0,
        engine: WorkDone | None = None,
    ) -> None:
        """Add to the counts; from any thread."""
        with self._lock:
            self.tokens_decoded += tokens
            self.prompts_scored += scored
            self.prompts_reused += reused
            self.seconds += seconds
            self.engine += engine or WorkDone()
        if self.into is not None:
            self.into.count(tokens=tokens, scored=scored, reused=reused, seconds=seconds, engine=engine)

    @property
    def speed(self) -> float | None:
        """Tokens a second while decoding; None if nothing was decoded.

        By the engine's own count where it has one: the way to the engine and back is not in it.
        """
        if self.engine.seconds:
            return self.engine.tokens / self.engine.seconds
        return self.tokens_decoded / self.seconds if self.seconds else None


class CellScorer:
    """Answers of one model on one task, shots and scoring, for any candidate.

    Args:
        engine: the loaded model.
        fingerprint: hash of everything that decides a score beside the tokens: the model's file and the
            engine's numerics.
        store: where scores are kept.
        builder: makes the prompts.
        task: its questions.
        settings: the scoring rule, and what the protocol fixes.
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
        settings: ScoringSettings,
        meter: Meter,
        advance: Advance,
    ) -> None:
        self._engine = engine
        self._fingerprint = fingerprint
        self._store = store
        self._builder = builder
        self._task = task
        self._settings = settings
        self._rule = settings.rule.reader(settings.protocol)
        self._thinks = settings.rule.thinks
        self._meter = meter
        self._advance = advance

    def answers(self, candidate: Candidate, split: SplitName, rows: Sequence[int]) -> list[Answer]:
        """The answers to the questions ``rows`` of ``split``, in that order.

        Raises:
            EngineError: the engine cannot score a prompt.
            StoreError: scores cannot be kept.
        """
        found: dict[int, Answer] = {}
        for block in self._builder.blocks(split, rows):
            if not (self._depends_on_batch or self._thinks):
                found.update(self._known(candidate, split, block))
            rest = [row for row in block if row not in found]
            if rest:
                found.update(self._answered(candidate, split, rest))
        return [found[row] for row in rows]

    def _known(self, candidate: Candidate, split: SplitName, rows: Sequence[int]) -> dict[int, Answer]:
        """The answers to prompts whose scores are known, none of which is tokenised."""
        recalled = self._builder.recall(candidate, split, rows, self._requests_of)
        keys = [one.stored.score for one in recalled.values() if one.stored.score is not None]
        scores = self._store.get(keys)
        questions = self._task.questions(split)
        found = {}
        for row, one in recalled.items():
            stored = one.stored
            score = None if stored.score is None else scores.get(stored.score)
            if stored.score is None or (score is not None and len(score.logprobs) == stored.options):
                found[row] = self._answer(
                    questions[row], stored.sizes, stored.tokens, one.dropped, one.prompt_sha256, score
                )
                self._meter.count(reused=score is not None)
        self._advance(len(found), known=True)
        return found

    def _requests_of(self, keys: Sequence[bytes]) -> dict[bytes, StoredRequest]:
        """What became of prompts, by the builder's keys."""
        own = {key: score_key(self._fingerprint, key) for key in keys}
        stored = self._store.get_requests(list(own.values()))
        return {key: stored[full] for key, full in own.items() if full in stored}

    def _answered(self, candidate: Candidate, split: SplitName, rows: Sequence[int]) -> dict[int, Answer]:
        prepared = self._builder.prompts(candidate, split, rows)
        thoughts: dict[int, Thought] = {}
        worked: Mapping[int, float] = {}
        if self._thinks:
            prepared, thoughts, worked = self._thought_through(prepared, rows)
        elif not self._depends_on_batch:
            self._remember(prepared)
        scores = self._scores(prepared, rows, worked)
        questions = self._task.questions(split)
        found = {}
        for row in rows:
            prompt = prepared.prompts[row]
            found[row] = self._answer(
                questions[row],
                prompt.sizes,
                prompt.tokens,
                prompt.dropped,
                prompt.prompt_sha256,
                scores.get(row),
                thoughts.get(row),
            )
        return found

    def _thought_through(
        self, prepared: PreparedPrompts, rows: Sequence[int]
    ) -> tuple[PreparedPrompts, dict[int, Thought], Mapping[int, float]]:
        """The prompts with what the model thinks about each, ready to be answered; the thoughts; the work told of."""
        thoughts = Thoughts[int](self._engine, self._fingerprint, self._store, self._advance)
        read, traces = dict(prepared.prompts), dict[int, Trace]()
        for dropped, prefix in sorted(prepared.prefixes.items()):
            asked: dict[int, ThinkingRequest] = {}
            for row in rows:
                request = prepared.prompts[row].request
                if isinstance(request, ThinkingRequest) and prepared.prompts[row].dropped == dropped:
                    asked[row] = request
            started, before = time.monotonic(), self._engine.work
            found = thoughts.about({row: request.think for row, request in asked.items()}, prefix)
            self._meter.count(seconds=time.monotonic() - started, engine=self._engine.work.since(before))
            for row, trace in found.items():
                read[row] = replace(read[row], request=self._settings.rule.after(asked[row], trace))
            traces.update(found)
        texts = self._engine.spell([trace.tokens for trace in traces.values()])
        said = {
            row: Thought(len(trace.tokens), trace.end, repeats(trace.tokens), text)
            for (row, trace), text in zip(traces.items(), texts, strict=True)
        }
        return PreparedPrompts(read, prepared.prefixes), said, thoughts.told

    def _remember(self, prepared: PreparedPrompts) -> None:
        """Keep which score each prompt has, so that it need not be tokenised to be known again."""
        found = {}
        for prompt in prepared.prompts.values():
            for key, tokens in prompt.too_long:
                found[score_key(self._fingerprint, key)] = StoredRequest(None, tokens, 0, ())
            request = prompt.request
            options = len(request.continuations) if isinstance(request, ScoreRequest) else 0
            found[score_key(self._fingerprint, prompt.key)] = StoredRequest(
                None if request is None else self._key(_answerable(request)),
                prompt.tokens,
                options,
                prompt.sizes,
            )
        self._store.put_requests(found)

    # From requests to scores

    def _scores(
        self, prepared: PreparedPrompts, rows: Sequence[int], worked: Mapping[int, float]
    ) -> dict[int, StoredScore]:
        """The scores of ``rows``; ``worked`` is what has been told of the work on some of them, in prompts."""
        wanted = {row: _answerable(r) for row in rows if (r := prepared.prompts[row].request) is not None}
        keys = {row: self._key(request) for row, request in wanted.items()}
        if self._depends_on_batch:
            for rows_of_pack, pack in self._packs(prepared, wanted):
                company = score_key(self._named(pack.prefix), *(keys[row] for row in rows_of_pack))
                keys.update({row: score_key(keys[row], company) for row in rows_of_pack})
        known = self._store.get(list(keys.values()))
        scores = {
            row: known[key]
            for row, key in keys.items()
            if key in known and self._rule.fits(known[key], wanted[row])
        }
        self._meter.count(reused=len(scores))
        self._advance(len(rows) - len(wanted) + len(scores), known=True)
        missing = wanted
        if not self._depends_on_batch:
            missing = {row: request for row, request in wanted.items() if row not in scores}
        unknown = [
            (own, pack)
            for own, pack in self._packs(prepared, missing)
            if not all(row in scores for row in own)
        ]
        with closing(self._computed(unknown)) as computed:  # where nothing can be kept nobody helps any more
            for rows_of_pack, results in computed:
                self._store.put({keys[row]: r for row, r in zip(rows_of_pack, results, strict=True)})
                scores.update(zip(rows_of_pack, results, strict=True))
                self._advance(sum(1 - worked.get(row, 0.0) for row in rows_of_pack))
        return scores

    @property
    def _depends_on_batch(self) -> bool:
        """Whether the last bits of a score depend on what else is in its pack.

        The keys of scores then name the pack, so that a result never depends on what an earlier run happened to ask
        together; and what a prompt's key is, cannot be known without the others.
        """
        return self._settings.depends_on_batch(self._engine)

    def _packs(
        self, prepared: PreparedPrompts, wanted: Mapping[int, ScoreRequest | GenerateRequest]
    ) -> Iterator[tuple[list[int], Pack]]:
        """What is computed together, each pack with its rows."""
        for dropped, prefix in sorted(prepared.prefixes.items()):
            rows = [row for row in wanted if prepared.prompts[row].dropped == dropped]
            start = 0
            requests = [wanted[row] for row in rows]
            for pack in plan_packs(requests, prefix, self._engine.info.pack_tokens):  # type: ignore[type-var]
                own = rows[start : start + len(pack.requests)]
                start += len(own)
                yield own, self._with_pictures(pack)

    def _with_pictures(self, pack: Pack) -> Pack:
        if (book := self._settings.pictures) is None:
            return pack
        return replace(pack, pictures=book.shown_in(request.context for request in pack.requests))

    def _computed(
        self, packs: Sequence[tuple[list[int], Pack]]
    ) -> Generator[tuple[list[int], list[StoredScore]], None, None]:
        """The scores of each pack with its rows, as they come."""
        started, before = time.monotonic(), self._engine.work
        for (rows, pack), results in each(
            self._engine, lambda engine, item: self._rule.compute(engine, item[1]), packs
        ):
            work = self._engine.work
            self._meter.count(
                seconds=time.monotonic() - started,
                engine=work.since(before),
                scored=len(results),
                tokens=sum(new_tokens(r, len(pack.prefix)) for r in pack.requests),
            )
            yield rows, results
            started, before = time.monotonic(), work

    def _key(self, request: ScoreRequest | GenerateRequest) -> bytes:
        return score_key(self._fingerprint, *map(self._named, self._rule.key_parts(request)))

    def _named(self, part: KeyPart) -> KeyPart:
        book = self._settings.pictures
        return part if book is None or not isinstance(part, tuple) else book.named(part)

    # From scores to answers

    def _answer(
        self,
        question: Question,
        sizes: Sequence[int],
        tokens: int,
        dropped: int,
        prompt_sha256: str,
        score: StoredScore | None,
        thought: Thought | None = None,
    ) -> Answer:
        if score is None:
            return Answer(None, (), None, False, tokens, dropped, True, None, prompt_sha256, thought)
        choice = self._rule.choose(question, sizes, score, self._settings.protocol)
        return Answer(
            choice.prediction,
            choice.logprobs,
            score.mass,
            choice.tied,
            score.tokens if thought is None else tokens,
            dropped,
            False,
            score.text,
            prompt_sha256,
            thought,
        )


def _answerable(
    request: ScoreRequest | GenerateRequest | ThinkingRequest,
) -> ScoreRequest | GenerateRequest:
    if isinstance(request, ThinkingRequest):
        raise TypeError("options can be scored once the model has thought")
    return request


def fingerprint(model_sha256: str, info: EngineInfo) -> bytes:
    """A hash of everything that decides a score beside the tokens."""
    return score_key(model_sha256, json.dumps(info.numerics, sort_keys=True))
