"""The study's published rates, to set a sweep beside."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from medbench_local.catalog.load import StrictModel, read_built_in

FILE = Path(__file__).with_name("published.yaml")

Rate = Annotated[float, Field(ge=0, le=1)]


class PublishedRate(StrictModel):
    """One published result; rates that were not found are None.

    Attributes:
        name: short, for people.
        paper: "emnlp2024", "extended-v1" or "extended-v2".
        scope: which pairs and tasks.
        pair: "<medical>-vs-<base>" by their catalog names, where it is about one pair.
        shots: demonstrations in the prompt, or None where the source does not say.
        win_rate: share of wins, 0 to 1.
        tie_rate: share of ties.
        loss_rate: share of losses.
        win_rate_above: all that is known of the win rate.
        counterpart: what of a sweep goes with it: the rates over "all" comparisons, those of the "pair", or those with
            a "shared prompt"; None for what this tool does not compute.
        certainty: "read" in the paper itself, or "secondary", in somebody else's summary.
        source: where it was read.
        note: what is uncertain about it.
    """

    name: str
    paper: Literal["emnlp2024", "extended-v1", "extended-v2"]
    scope: str
    pair: str | None = None
    shots: int | None = None
    win_rate: Rate | None = None
    tie_rate: Rate | None = None
    loss_rate: Rate | None = None
    win_rate_above: Rate | None = None
    counterpart: Literal["all", "pair", "shared prompt"] | None = None
    certainty: Literal["read", "secondary"]
    source: str
    note: str = ""


class _Published(StrictModel):
    rates: tuple[PublishedRate, ...]


@cache
def published_rates() -> tuple[PublishedRate, ...]:
    """All published rates, the study's headline first."""
    return read_built_in(FILE, _Published).rates
