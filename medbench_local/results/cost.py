"""What a comparison would cost: files to fetch, prompts and tokens."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from medbench_local.results.presented import Brief


@dataclass(frozen=True)
class CellCost:
    """What one model costs in one cell; tokens are estimated from the length of the text.

    Attributes:
        task: its id.
        shots: demonstrations in a prompt.
        candidates: prompts to choose from.
        selection_prompts: most validation prompts that are scored to choose one.
        test_prompts: test questions, with those of the ablation.
        check_expected: test questions that the check is expected to ask again at full precision.
        check_most: how many it asks at most.
        tokens: tokens decoded at most, over all precisions that may be tried; each shared prefix counted once.
        tokens_expected: the same at the first precision, with the expected check.
        check_tokens, check_tokens_expected: those of them that are decoded at full precision.
        written, written_expected, check_written, check_written_expected: tokens that the model writes one after
            another, which takes several times as long; not among the others.
    """

    task: str
    shots: int
    candidates: int
    selection_prompts: int
    test_prompts: int
    check_expected: int
    check_most: int
    tokens: int
    tokens_expected: int
    check_tokens: int = 0
    check_tokens_expected: int = 0
    written: int = 0
    written_expected: int = 0
    check_written: int = 0
    check_written_expected: int = 0


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
    speed: float | None = None
    full_speed: float | None = None
    writing_speed: float | None = None
    full_writing_speed: float | None = None

    @property
    def tokens(self) -> int:
        """Most tokens decoded, written ones too."""
        return sum(cell.tokens + cell.written for cell in self.cells)

    @property
    def tokens_expected(self) -> int:
        """Tokens decoded if the check ends where it is expected to."""
        return sum(cell.tokens_expected + cell.written_expected for cell in self.cells)

    @property
    def seconds(self) -> float | None:
        """Most time that decoding takes; None if the speed is not known."""
        read = [(cell.tokens, cell.check_tokens) for cell in self.cells]
        return self._seconds(read, [(cell.written, cell.check_written) for cell in self.cells])

    @property
    def seconds_expected(self) -> float | None:
        """Time that decoding takes if the check ends where it is expected to."""
        read = [(cell.tokens_expected, cell.check_tokens_expected) for cell in self.cells]
        return self._seconds(
            read, [(cell.written_expected, cell.check_written_expected) for cell in self.cells]
        )

    def _seconds(self, read: list[tuple[int, int]], written: list[tuple[int, int]]) -> float | None:
        """Time for tokens that are read and written: all of each, and those of them at full precision."""
        total = _time(read, self.speed, self.full_speed)
        if total is None or not any(all_of_it for all_of_it, _ in written):
            return total
        return _sum(total, _time(written, self.writing_speed, self.full_writing_speed))


@dataclass(frozen=True, repr=False)
class ComparisonCost(Brief):
    """What a comparison would cost.

    Attributes:
        medical, base: each model.
        precisions: those that may be tried, in order.
        warnings: of the tasks.
        detectable: which differences are likely to be missed, where models think about a sample of the questions.
        pictures: that are asked about, and encoded once for both models, which takes a second or two each.
        assumed: what was assumed where files are not here and the hub was not asked, a sentence each.
    """

    medical: ModelCost
    base: ModelCost
    precisions: tuple[str, ...]
    warnings: tuple[str, ...]
    detectable: tuple[str, ...] = ()
    pictures: int = 0
    assumed: tuple[str, ...] = ()

    @property
    def tokens(self) -> int:
        """Tokens decoded if everything ends where it is expected to."""
        return self.medical.tokens_expected + self.base.tokens_expected

    @property
    def tokens_most(self) -> int:
        """Tokens decoded at most."""
        return self.medical.tokens + self.base.tokens

    @property
    def seconds(self) -> float | None:
        """Time that decoding is expected to take on this machine; None if its speed is not known."""
        return _sum(self.medical.seconds_expected, self.base.seconds_expected)

    @property
    def seconds_most(self) -> float | None:
        """The same at most."""
        return _sum(self.medical.seconds, self.base.seconds)

    def __str__(self) -> str:
        lines = []
        for model in (self.medical, self.base):
            lines.append(f"{model.name} at {model.precision}: {model.download / 1e9:.2f} GB to fetch")
            lines += [
                f"  {cell.task}, {cell.shots}-shot: {cell.selection_prompts:,} validation and "
                f"{cell.test_prompts:,} test prompts, check {cell.check_expected:,} to {cell.check_most:,}, "
                f"up to {cell.tokens:,} tokens"
                for cell in model.cells
            ]
        if self.pictures:
            lines.append(f"{self.pictures:,} pictures, each encoded once")
        assumed = (f"assumed: {text}" for text in self.assumed)
        return "\n".join(
            [*lines, *self.detectable, *assumed, *(f"warning: {text}" for text in self.warnings)]
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        data: dict[str, Any] = {"precisions": list(self.precisions), "warnings": list(self.warnings)}
        if self.detectable:
            data["detectable"] = list(self.detectable)
        if self.pictures:
            data["pictures"] = self.pictures
        if self.assumed:
            data["assumed"] = list(self.assumed)
        for role, model in (("medical", self.medical), ("base", self.base)):
            data[role] = {
                "model": model.name,
                "precision": model.precision,
                "download": model.download,
                "disk": model.disk,
                "tokens": model.tokens,
                "tokens_expected": model.tokens_expected,
                "seconds": model.seconds,
                "seconds_expected": model.seconds_expected,
                "cells": [asdict(cell) for cell in model.cells],
            }
        return data


def _time(tokens: list[tuple[int, int]], speed: float | None, full_speed: float | None) -> float | None:
    if speed is None or full_speed is None:
        return None
    return sum((most - checked) / speed + checked / full_speed for most, checked in tokens)


def _sum(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one + other
