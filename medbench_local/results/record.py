"""What every part of results.json is made of: validated values, finite numbers, texts that can be written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, ValidationInfo, field_validator

from medbench_local.catalog.load import StrictModel
from medbench_local.statistics.paired import verdict
from medbench_local.text import whole

Verdict = Literal["win", "tie", "loss"]
VERDICTS: tuple[Verdict, ...] = ("loss", "tie", "win")
Role = Literal["medical", "base"]
ROLES: tuple[Role, Role] = ("medical", "base")
Thinkers = Literal["both", "medical", "none"]
"""Who thinks before it answers in a comparison of models of which at least one was trained to."""
THINKERS: Mapping[Thinkers, str] = {
    "both": "both think",
    "medical": "the medical model thinks",
    "none": "nobody thinks",
}
"""The same for people."""


def thinkers_said(thinkers: str) -> str:
    """Who thinks, for people; what is none of `THINKERS` as it is."""
    return {str(one): words for one, words in THINKERS.items()}.get(thinkers, thinkers)


_FILES: Mapping[Thinkers, str] = {"both": "both-think", "medical": "medical-thinks", "none": "none-think"}


def samples_name(role: Role, task: str, shots: int, thinkers: Thinkers | None) -> str:
    """The name of the file of one model's samples in one comparison, without its folder and its ending."""
    name = f"{role}.{task}.{shots}-shot"
    return name if thinkers is None else f"{name}.{_FILES[thinkers]}"


Share = Annotated[float, Field(ge=0, le=1)]
Difference = Annotated[float, Field(ge=-1, le=1)]
Positive = Annotated[float, Field(ge=0)]
LARGEST = 2**53
"""Up to here a float holds every whole number; nobody asks more questions."""

Count = Annotated[int, Field(ge=0, le=LARGEST)]
Some = Annotated[int, Field(ge=1, le=LARGEST)]


def _follows_from_interval(given: Verdict, info: ValidationInfo) -> Verdict:
    ci = info.data.get("ci")
    if ci is not None and given != (follows := verdict(*ci)):
        raise ValueError(f"the interval {list(ci)} of key 'ci' gives '{follows}'")
    return given


VerdictOfInterval = Annotated[Verdict, AfterValidator(_follows_from_interval)]
"""A verdict that has to be the one of the interval in the field ``ci`` before it."""


class Record(StrictModel):
    """Base of everything in the file: every number is finite, every text can be written as UTF-8."""

    model_config = ConfigDict(allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _texts_are_whole(cls, value: object) -> object:
        for text in value if isinstance(value, list | tuple) else (value,):
            if isinstance(text, str):
                whole(text)
        return value


class Accuracies(Record):
    """Accuracy of each side on the same questions."""

    medical: Share
    base: Share


class Discordant(Record):
    """Numbers of questions that only one side answers correctly."""

    medical_only: Count
    base_only: Count
