"""A small task, and scorers around the fake engine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from medbench_local.catalog.model import models
from medbench_local.catalog.protocol import Protocol, Scoring, load_protocol
from medbench_local.engine.base import Engine
from medbench_local.engine.fake import FakeEngine
from medbench_local.prompts.prompt_style import PromptStyle, prompt_style_for
from medbench_local.results.checks import Check, CheckState
from medbench_local.results.record import VERDICTS
from medbench_local.scoring.answers import Answer, CellScorer, Meter, fingerprint
from medbench_local.scoring.request_builder import RequestBuilder
from medbench_local.scoring.rule import ScoringSettings
from medbench_local.scoring.rules import RULES
from medbench_local.store.scores import ScoreStore
from medbench_local.study.verdicts import AtFullPrecision
from medbench_local.tasks.question import DataFile, Question, Split, Task

LETTERS = "ABCD"


def questions(split: str, count: int, options: int = 4) -> tuple[Question, ...]:
    """Questions of different lengths whose correct options take turns."""
    return tuple(
        Question(
            f"{split}-{i}",
            f"What is {split} number {i}" + " more" * (i % 5) + "?",
            tuple(f"{split} choice {i} {LETTERS[j]}" for j in range(options)),
            i % options,
        )
        for i in range(count)
    )


def a_task(*, demonstrations: int = 8, validation: int = 6, test: int = 12) -> Task:
    """A task that is made up on the spot."""

    def split(name: str, count: int) -> Split:
        return Split(questions(name, count), None, (DataFile(f"{name}.jsonl", f"sha of {name}", "local"),))

    return Task(
        "made-up",
        "Made up",
        {
            "demonstrations": split("demonstrations", demonstrations),
            "validation": split("validation", validation),
            "test": split("test", test),
        },
    )


def a_prompt_style(name: str = "llama-2-7b") -> PromptStyle:
    """The way a model of the catalog is prompted."""
    return prompt_style_for(models()[name])


def settings(scoring: Scoring = "constrained", *, context: int = 4096, **protocol: object) -> ScoringSettings:
    """What the study fixes, but for one BOS in chat prompts; keys of the protocol replace its own."""
    study = load_protocol("emnlp2024").model_copy(update={"chat_bos": "once"} | protocol)
    return ScoringSettings(RULES[scoring], context, Protocol.model_validate(study.model_dump()))


class Bench:
    """A scorer with everything around it in sight.

    Attributes:
        engine: the fake one.
        store: on disk.
        meter: what was counted.
        told: prompts that listeners heard of.
    """

    def __init__(
        self,
        folder: Path,
        *,
        task: Task | None = None,
        engine: Engine | None = None,
        shots: int = 0,
        given: ScoringSettings | None = None,
        prompt_style: PromptStyle | None = None,
    ) -> None:
        self.task = task or a_task()
        self.engine = engine or FakeEngine()
        self.store = ScoreStore(folder / "scores.sqlite")
        self.meter = Meter()
        self.told = 0
        self.prompt_style = prompt_style or a_prompt_style()
        self.settings = given or settings()
        self.builder = RequestBuilder(self.engine, self.prompt_style, self.task, shots, self.settings)
        self.scorer = CellScorer(
            self.engine,
            fingerprint=fingerprint("a file", self.engine.info),
            store=self.store,
            builder=self.builder,
            task=self.task,
            settings=self.settings,
            meter=self.meter,
            advance=self._hear,
        )

    def _hear(self, prompts: float, *, known: bool = False) -> None:
        self.told += int(prompts)


def answers_of(predictions: Sequence[int | None], *, gap: float = 1.0) -> tuple[Answer, ...]:
    """Answers that choose the given options of four; None for prompts that did not fit."""
    return tuple(answer_of(p, gap=gap) for p in predictions)


def answer_of(prediction: int | None, *, gap: float = 1.0, mass: float = 0.9, dropped: int = 0) -> Answer:
    """One answer whose best option is ``gap`` nats better than the others."""
    if prediction is None:
        return Answer(None, (), None, False, 10, dropped, True, None, "0" * 64)
    logprobs = tuple(-1.0 if i == prediction else -1.0 - gap for i in range(4))
    return Answer(prediction, logprobs, mass, gap == 0, 10, dropped, False, None, "0" * 64)


def known(n: int, state: CheckState = "full") -> AtFullPrecision:
    """What is known of a comparison of ``n`` questions that was scored at full precision, or not checked."""
    settled = state != "none"
    return AtFullPrecision(
        Check(
            state=state,
            against="full",
            confidence=1.0 if settled else None,
            checked=n if settled else 0,
            of=n,
            possible_verdicts=VERDICTS,
        )
    )
