"""What a comparison would cost: files to fetch, memory, prompts, tokens and time, by model and phase."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from medbench_local.results.presented import Brief

PhaseName = Literal["search", "test", "check"]
PHASES: tuple[PhaseName, ...] = get_args(PhaseName)
"""What a model does in a cell, in order: the prompt is chosen, the test is taken, the verdict is checked."""

Counted = Literal["tokenizer", "allowance"]
"""How tokens are counted: with the model's own tokenizer, or with an allowance that is not below the truth."""

Timed = Literal["model", "machine"]
"""What was timed: a decode of the model itself, or one of a model made for it, once for the machine."""


@dataclass(frozen=True)
class PhaseCost:
    """What one model costs in one phase; each number as it is expected, and at most.

    Attributes:
        prompts, prompts_most: that are scored.
        tokens, tokens_most: that are decoded, by the engine's own count.
        written, written_most: those of them that the model writes one after another, which takes several times as
            long.
    """

    prompts: int = 0
    prompts_most: int = 0
    tokens: int = 0
    tokens_most: int = 0
    written: int = 0
    written_most: int = 0

    def __add__(self, other: PhaseCost) -> PhaseCost:
        return PhaseCost(*(a + b for a, b in zip(vars(self).values(), vars(other).values(), strict=True)))


@dataclass(frozen=True)
class CellCost:
    """What one model costs in one cell.

    At most all precisions that may be tried are, and nothing is known from an earlier run; the first precision is
    expected to do.

    Attributes:
        task: its id.
        shots: demonstrations in a prompt.
        candidates: prompts to choose from.
        search: choosing one of them on validation questions.
        test: the test questions, with those of the ablation.
        check: asking test questions again at full precision.
        length_known: whether the length of the search is known beforehand; where it is not, the expected numbers of
            the search are rough.
    """

    task: str
    shots: int
    candidates: int
    search: PhaseCost = PhaseCost()
    test: PhaseCost = PhaseCost()
    check: PhaseCost = PhaseCost()
    length_known: bool = True

    @property
    def all_phases(self) -> PhaseCost:
        """Everything."""
        return self.search + self.test + self.check

    def phase(self, name: PhaseName) -> PhaseCost:
        """One phase by its name."""
        return {"search": self.search, "test": self.test, "check": self.check}[name]

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


@dataclass(frozen=True)
class ModelCost:
    """What one model costs.

    Attributes:
        name: of the model.
        precision: that is tried first.
        download: bytes still to be fetched.
        disk: bytes of disk still needed, for the download and for what is made of it.
        ready: whether the file at ``precision`` is there already.
        cells: one for each task and number of shots.
        counted: how tokens are counted.
        memory: bytes that it takes to score with it, about; None if its size is not known.
        check_memory: the same at the precision that is checked against; None if nothing is checked.
        timed: what the speeds come from; None if they are not known.
        speed: tokens a second on this machine at ``precision``, about; None if it was not measured.
        full_speed: the same at full precision.
        writing_speed, full_writing_speed: the same of tokens that are written one after another.
    """

    name: str
    precision: str
    download: int
    disk: int
    ready: bool
    cells: tuple[CellCost, ...]
    counted: Counted = "allowance"
    memory: int | None = None
    check_memory: int | None = None
    timed: Timed | None = None
    speed: float | None = None
    full_speed: float | None = None
    writing_speed: float | None = None
    full_writing_speed: float | None = None

    def phase(self, name: PhaseName) -> PhaseCost:
        """One phase over all cells."""
        return sum((cell.phase(name) for cell in self.cells), PhaseCost())

    @property
    def tokens(self) -> int:
        """Tokens that are expected to be decoded."""
        return sum(cell.all_phases.tokens for cell in self.cells)

    @property
    def tokens_most(self) -> int:
        """Tokens decoded at most."""
        return sum(cell.all_phases.tokens_most for cell in self.cells)

    @property
    def seconds(self) -> float | None:
        """Time that decoding is expected to take; None if the speed is not known."""
        return known_sum(self.phase_seconds(name) for name in PHASES)

    @property
    def seconds_most(self) -> float | None:
        """The same at most."""
        return known_sum(self.phase_seconds(name, most=True) for name in PHASES)

    def phase_seconds(self, name: PhaseName, *, most: bool = False) -> float | None:
        """Time that a phase is expected to take, or takes at most; None if the speed is not known."""
        cost = self.phase(name)
        tokens, written = (cost.tokens_most, cost.written_most) if most else (cost.tokens, cost.written)
        reading, writing = self._speeds(name, most=most)
        if not tokens:
            return 0.0
        if reading is None or (written and writing is None):
            return None
        return (tokens - written) / reading + (written / writing if writing else 0.0)

    def _speeds(self, name: PhaseName, *, most: bool) -> tuple[float | None, float | None]:
        """Of reading and writing; of several precisions that may be tried the slowest counts."""
        full = self.full_speed, self.full_writing_speed
        if name == "check":
            return full
        own = self.speed, self.writing_speed
        if not most:
            return own
        return _slower(own[0], full[0]), _slower(own[1], full[1])

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "model": self.name,
            "precision": self.precision,
            "download": self.download,
            "disk": self.disk,
            "ready": self.ready,
            "counted": self.counted,
            "memory": self.memory,
            "check_memory": self.check_memory,
            "timed": self.timed,
            "speed": self.speed,
            "full_speed": self.full_speed,
            "writing_speed": self.writing_speed,
            "full_writing_speed": self.full_writing_speed,
            "tokens": self.tokens,
            "tokens_most": self.tokens_most,
            "seconds": self.seconds,
            "seconds_most": self.seconds_most,
            "phases": {
                name: {
                    **asdict(self.phase(name)),
                    "seconds": self.phase_seconds(name),
                    "seconds_most": self.phase_seconds(name, most=True),
                }
                for name in PHASES
            },
            "cells": [cell.to_dict() for cell in self.cells],
        }


@dataclass(frozen=True, repr=False)
class ComparisonCost(Brief):
    """What a comparison would cost.

    Attributes:
        medical, base: each model.
        precisions: those that may be tried, in order.
        warnings: of the tasks.
        detectable: which differences are likely to be missed with so many test questions.
        pictures: that are asked about, and encoded once for both models; neither their time nor their memory is
            among the numbers.
        memory_free: bytes of memory that can be had now.
        both_loaded: whether both models stay loaded at once while they take turns, at the precision that is tried first
            and on the processor; else each is loaded again when its turn comes, for several comparisons at once.
        assumed: what was assumed where files are not here and the hub was not asked, a sentence each.
    """

    medical: ModelCost
    base: ModelCost
    precisions: tuple[str, ...]
    warnings: tuple[str, ...]
    detectable: tuple[str, ...] = ()
    pictures: int = 0
    memory_free: int | None = None
    assumed: tuple[str, ...] = ()
    both_loaded: bool = False

    @property
    def models(self) -> tuple[ModelCost, ModelCost]:
        """Both models."""
        return self.medical, self.base

    @property
    def tokens(self) -> int:
        """Tokens that are expected to be decoded."""
        return self.medical.tokens + self.base.tokens

    @property
    def tokens_most(self) -> int:
        """Tokens decoded at most."""
        return self.medical.tokens_most + self.base.tokens_most

    @property
    def seconds(self) -> float | None:
        """Time that decoding is expected to take on this machine; None if its speed is not known."""
        return known_sum(model.seconds for model in self.models)

    @property
    def seconds_most(self) -> float | None:
        """The same at most."""
        return known_sum(model.seconds_most for model in self.models)

    def __str__(self) -> str:
        lines = []
        for model in self.models:
            lines.append(f"{model.name} at {model.precision}: {model.download / 1e9:.2f} GB to fetch")
            for cell in model.cells:
                phases = ", ".join(
                    f"{name} {cell.phase(name).tokens:,} to {cell.phase(name).tokens_most:,}"
                    for name in PHASES
                )
                lines.append(f"  {cell.task}, {cell.shots}-shot, tokens: {phases}")
        lines.append(f"about {self.tokens:,} tokens, {self.tokens_most:,} at most")
        if self.pictures:
            lines.append(f"{self.pictures:,} pictures, each encoded once")
        assumed = (f"assumed: {text}" for text in self.assumed)
        return "\n".join(
            [*lines, *self.detectable, *assumed, *(f"warning: {text}" for text in self.warnings)]
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it; each number as it is expected, and with ``_most`` as it is at most."""
        data: dict[str, Any] = {
            "precisions": list(self.precisions),
            "tokens": self.tokens,
            "tokens_most": self.tokens_most,
            "seconds": self.seconds,
            "seconds_most": self.seconds_most,
            "memory_free": self.memory_free,
            "both_loaded": self.both_loaded,
            "warnings": list(self.warnings),
            "detectable": list(self.detectable),
        }
        if self.pictures:
            data["pictures"] = self.pictures
        if self.assumed:
            data["assumed"] = list(self.assumed)
        return {**data, "medical": self.medical.to_dict(), "base": self.base.to_dict()}


def known_sum(parts: Iterable[float | None]) -> float | None:
    """The sum; None if a part is not known."""
    known = list(parts)
    return None if None in known else sum(part for part in known if part is not None)


def _slower(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else min(one, other)
