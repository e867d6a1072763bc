"""Protocols: what fixes a study's shots, scoring, selection, bootstrap and limits."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    AliasChoices,
    BeforeValidator,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
)

from medbench_local.catalog.load import DATA, StrictModel, read_built_in, read_yaml
from medbench_local.catalog.model import models
from medbench_local.catalog.names import Scoring as Scoring
from medbench_local.catalog.names import ShotImages, VisionLnPost
from medbench_local.catalog.prompts import PromptOverrides, Text
from medbench_local.errors import UsageError
from medbench_local.paths import user_path

MultipleLetters = Literal["first", "none"]
"""What several letters in one answer mean: the first of them (the study's final code), or no option (its code
as first submitted)."""

TooLong = Literal["drop-demonstrations", "count-as-wrong"]
"""What becomes of a prompt that is longer than the context."""

_FIRST_TOO_LONG: Mapping[TooLong, str] = {
    "drop-demonstrations": "drop-demonstrations",
    "count-as-wrong": "wrong",
}
"""The values of `TooLong` as the first release wrote them."""

PICTURE_KEYS = ("shot_images", "vision_ln_post")
"""The keys that decide something for models that read pictures only."""

FOLDER = DATA / "protocols"
"""The built-in protocols, one YAML file each, named as the protocol."""


def _distinct(values: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(values)) < len(values):
        raise ValueError("the same number is given twice")
    return values


def _todays_too_long(value: object) -> object:
    old = {first: today for today, first in _FIRST_TOO_LONG.items()}
    return old.get(value, value) if isinstance(value, str) else value


Count = Annotated[StrictInt, Field(ge=1)]
Seed = Annotated[StrictInt, Field(ge=0, lt=2**32)]
Seeds = Annotated[tuple[Seed, ...], AfterValidator(_distinct)]
Shots = Annotated[StrictInt, Field(ge=0, le=64)]
Probability = Annotated[float, Field(gt=0, lt=1, strict=True)]
Gain = Annotated[float, Field(gt=0, strict=True, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0, le=1, strict=True)]
Nats = Annotated[float, Field(ge=0, strict=True, allow_inf_nan=False)]


class SelectionSettings(StrictModel):
    """How the best prompt of a model is found on validation questions."""

    RETIRED: ClassVar[Mapping[str, str]] = {"enough": "`min_gain` says when a search ends."}

    method: Literal["exhaustive", "racing", "none"] = Field(
        default="exhaustive",
        description="exhaustive: every candidate on every validation question; racing: the same candidates, "
        "dropped as soon as the evidence allows; none: the default format and demonstration_seed.",
    )
    validation_questions: Count | None = Field(
        default=500,
        description="Most validation questions used; a larger split is cut to the fixed subset. null: all.",
    )
    formats: Seeds = Field(
        default=tuple(range(10)),
        description="Seeds of the sampled formats, beside the model's default, which always comes first.",
    )
    demonstration_seeds: Annotated[Seeds, Field(min_length=1)] = Field(
        default=tuple(range(10)), description="Seeds of the demonstration sets (few-shot only)."
    )
    error_rate: Probability = Field(
        default=0.05,
        description="racing: probability allowed for dropping the prompt that an exhaustive search would "
        "have chosen; under max_fraction or max_prompts, the estimated probability at which it ends early.",
    )
    max_fraction: Share | None = Field(
        default=None,
        description="racing: most prompts scored, as a share of what an exhaustive search scores; the "
        "winner is then the best estimate. Up to 48 questions are raced to the end all the same. null: no limit.",
    )
    max_prompts: Count | None = Field(
        default=None,
        description="racing: most prompts scored in one search of more than 48 questions; up to 48 are raced to the "
        "end all the same. null: no limit.",
    )
    min_gain: Gain | None = Field(
        default=None,
        description="racing under max_fraction or max_prompts: ends early once a million further characters of "
        "questions and demonstrations are expected to gain less accuracy than this, a fraction. null: never.",
    )
    seed: Seed = Field(default=42, description="racing: seed of the order of the validation questions.")


class BootstrapSettings(StrictModel):
    """The paired bootstrap behind a verdict."""

    RETIRED: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("resamples", "seed"), "the bootstrap is computed exactly, without draws."
    )

    confidence: Probability = Field(default=0.95, description="Level of the interval of the difference.")


class GreedySettings(StrictModel):
    """Generation for the scoring `greedy`."""

    max_tokens: Annotated[StrictInt, Field(ge=1, le=4096)] = Field(
        default=64, description="Most tokens generated for one question."
    )


class ThinkingSettings(StrictModel):
    """How a model thinks and answers for the scoring `thinking`; the same for both models of a comparison."""

    budget: Annotated[StrictInt, Field(ge=1, le=65536)] = Field(
        default=4096, description="Most tokens of thinking; the thinking is then closed for the model."
    )
    reading: Literal["constrained", "label"] = Field(
        default="constrained", description="How the options are scored behind the thinking."
    )
    lead: Annotated[StrictStr, Field(max_length=200)] = Field(
        default="The answer is ", description="What begins the answer, before the option's label."
    )
    questions: Count | None = Field(
        default=300,
        description="Most test questions of a task, a fixed sample: one costs hundreds of tokens. null: all.",
    )
    selection: SelectionSettings = Field(
        default=SelectionSettings(method="none"),
        description="The prompt search; none by default: one candidate costs as much as the test.",
    )


class CheckSettings(StrictModel):
    """What `medbench-local check` does; null means what the quantisation config says.

    The check of a comparison's verdicts has no settings: see `medbench_local.statistics.verification`.
    """

    questions: Count | Literal["all"] | None = Field(
        default=None, description="Number of test questions of a task that are checked, or all."
    )
    margin: Share | None = Field(default=None, description="Largest accuracy difference that counts as none.")
    confidence: Probability | None = Field(
        default=None, description="Level of the interval of that difference."
    )
    seed: Seed = Field(default=42, description="Seed of the drawn subset of questions.")


class ReferenceSettings(StrictModel):
    """What `validate` demands of a run that is compared with reference results; for cloze, nats are nats a byte."""

    prediction_agreement: Share = Field(
        default=0.99,
        description="Least share of equal predictions, questions within prediction_tolerance aside.",
    )
    logprob_median: Nats = Field(
        default=0.02, description="Largest median of a cell's absolute log-probability differences, in nats."
    )
    logprob_p99: Nats = Field(
        default=0.2, description="Largest 99th percentile of these differences, in nats."
    )
    logprob_largest: Nats | None = Field(
        default=None, description="Largest single difference, in nats. null: reported, not judged."
    )
    prediction_tolerance: Nats = Field(
        default=0.05,
        validation_alias=AliasChoices("prediction_tolerance", "near_tie"),
        description="A question whose two best options are at most this far apart on both sides, in nats, may "
        "differ; `near_tie` is its old name.",
    )
    same_verdicts: StrictBool = Field(
        default=True,
        description="Whether every comparison that both sides have must come to the same verdict.",
    )


class Protocol(StrictModel):
    """One way to run the study; the fields are the keys of a protocol file."""

    name: Annotated[StrictStr, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=64)] = Field(
        description="Short name, lower case; part of every result."
    )
    summary: Text = Field(description="What it is for, in one line.")
    shots: Annotated[tuple[Shots, ...], Field(min_length=1), AfterValidator(_distinct)] = Field(
        default=(0, 3), description="Numbers of demonstrations; each is a study of its own."
    )
    scoring: Scoring = Field(
        default="constrained", description="How a prompt and its options become an answer."
    )
    selection: SelectionSettings = Field(default=SelectionSettings(), description="The prompt search.")
    demonstration_seed: Seed = Field(
        default=42, description="Seed of the demonstration set where nothing is selected."
    )
    ablation: StrictBool = Field(
        default=False,
        description="Whether the base model is also scored with the medical model's prompts, which shows what "
        "choosing a prompt for each model is worth; costs one more pass over the test questions.",
    )
    test_questions: Count | None = Field(
        default=None, description="Most test questions of a task, the first in its order. null: all."
    )
    context: Count | None = Field(
        default=None,
        description="Longest prompt in tokens, if shorter than the model's trained context. null: that one.",
    )
    too_long: Annotated[TooLong, BeforeValidator(_todays_too_long)] = Field(
        default="drop-demonstrations",
        validation_alias=AliasChoices("too_long", "overlong"),
        description="Prompts longer than the context: leave out demonstrations, farthest first, or count the "
        "question as wrong; `overlong` is its old name, with `wrong` for `count-as-wrong`.",
    )
    chat_bos: Literal["once", "twice"] = Field(
        default="once", description="BOS tokens before a chat prompt whose text begins with one."
    )
    shot_images: ShotImages = Field(
        default="all",
        description="Pictures of demonstrations: paper, as the study's code handed them over; all, each at its place.",
    )
    vision_ln_post: VisionLnPost = Field(
        default="original",
        description="Flamingo models: features of pictures behind the tower's last LayerNorm, as with the study's "
        "version of open_clip (paper), or before it, as in the models' own time (original).",
    )
    multiple_letters: MultipleLetters = Field(
        default="first",
        validation_alias=AliasChoices("multiple_letters", "letters"),
        description="greedy: an output that names several option letters means the first one, or none; `letters` "
        "is its old name.",
    )
    greedy: GreedySettings = Field(default=GreedySettings(), description="greedy: generation.")
    thinking: ThinkingSettings = Field(
        default=ThinkingSettings(), description="thinking: budget, reading and sample."
    )
    bootstrap: BootstrapSettings = Field(default=BootstrapSettings(), description="The verdict.")
    check: CheckSettings = Field(
        default=CheckSettings(), description="The equivalence test of `medbench-local check`."
    )
    reference: ReferenceSettings = Field(default=ReferenceSettings(), description="Thresholds of `validate`.")
    prompts: PromptOverrides = Field(
        default=PromptOverrides(),
        description="System prompts of your own: model name (or `all`), then task id (or `all`), then the text.",
    )

    @property
    def notes(self) -> tuple[str, ...]:
        """One sentence for each key of an older file that no longer means anything."""
        parts = {"bootstrap": self.bootstrap, "selection": self.selection}
        return tuple(
            f"Protocol {self.name}: {name} key {text}"
            for name, part in parts.items()
            for text in part.ignored
        )

    def in_first_names(self, *, pictures: bool = False) -> dict[str, Any]:
        """Keys and values as JSON has them, under the names of the first release.

        Runs are named by a hash of this: a key that got a better name is no reason to compute a run again.

        Args:
            pictures: whether a model reads pictures; if none does, what is said of pictures decides nothing.
        """
        data = self.model_dump(mode="json")
        data["overlong"] = _FIRST_TOO_LONG[self.too_long]
        data["letters"] = self.multiple_letters
        del data["too_long"], data["multiple_letters"]
        for selection in (data["selection"], data["thinking"]["selection"]):
            if selection["min_gain"] is None:
                del selection["min_gain"]
        if self.thinking == ThinkingSettings():  # which the first release did not have
            del data["thinking"]
        if not pictures:
            for name in PICTURE_KEYS:
                del data[name]
        return data


def protocol_names() -> tuple[str, ...]:
    """The built-in protocols, sorted."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


def default_protocol(*models_named: str) -> str:
    """The protocol of a comparison that names none: ``demo`` for the embedded pair, else ``laptop``."""
    known = models()
    return "demo" if all(name in known and known[name].embedded for name in models_named) else "laptop"


def load_protocol(name_or_path: str | Path) -> Protocol:
    """A built-in protocol by its name, or one read from a YAML file.

    Args:
        name_or_path: a built-in name, or else the path of a file.

    Raises:
        UsageError: neither a built-in name nor a file that can be meant.
        InputError: the file is malformed; the error names the line and the key.
    """
    names = protocol_names()
    text = str(name_or_path)
    if text in names:
        return read_built_in(FOLDER / f"{text}.yaml", Protocol)
    path = user_path(name_or_path)
    if path.suffix.lower() in {".yaml", ".yml"} or path.is_file():
        return read_yaml(path, Protocol)
    close = difflib.get_close_matches(text, names, n=1)
    raise UsageError(
        f"no protocol is called '{text}'" + (f"; did you mean '{close[0]}'?" if close else "."),
        advice=f"Built in are {', '.join(names)}; or name a YAML file.",
    )
