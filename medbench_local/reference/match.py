"""Which reference row belongs to which of a run's samples; everything left over is counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from medbench_local.reference.rows import ResultRow

By = Literal["prompt", "text", "id"]
Cell = tuple[str | None, str | None, int | None, str | None]


@dataclass(frozen=True)
class Match:
    """One question on both sides.

    Attributes:
        sample: the run's row.
        reference: the other row.
        by: "prompt": the very same prompt; "text": the same question; "id": the same task and question id, of
            which one side has no text to compare.
    """

    sample: ResultRow
    reference: ResultRow
    by: By


@dataclass(frozen=True)
class Matches:
    """The outcome of matching.

    Attributes:
        matches: in the order of the reference.
        unmatched_samples: samples without a reference row.
        unmatched_reference: reference rows that no sample belongs to.
        duplicates: reference rows of a question that an earlier row had matched, with the same prediction.
        conflicting: the same with another prediction.
        ambiguous: reference rows that could belong to several cells, as they do not name the model, task,
            shots or scoring.
    """

    matches: tuple[Match, ...]
    unmatched_samples: int
    unmatched_reference: int
    duplicates: int
    conflicting: int
    ambiguous: int


def cell_of(row: ResultRow) -> Cell:
    """Model, task, shots and scoring of a row."""
    return row.model, row.task, row.shots, row.scoring


def match_rows(samples: Sequence[ResultRow], reference: Sequence[ResultRow]) -> Matches:
    """Match by prompt hash, else by the hash of the question's text, else by task and question id.

    What both rows state (model, task, shots, scoring) must agree; with the same prompt, or without a text, so
    must the ids. Each sample is matched once.
    """
    matching = _Matching(samples)
    for row in reference:
        matching.add(row)
    return matching.result()


@dataclass
class _Matching:
    samples: Sequence[ResultRow]
    taken: dict[int, Match] = field(default_factory=dict)
    counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("unmatched", "duplicates", "conflicting", "ambiguous"), 0)
    )

    def __post_init__(self) -> None:
        self._by_prompt = self._index(lambda row: row.prompt_sha256)
        self._by_text = self._index(lambda row: row.text_sha256)
        self._by_id = self._index(lambda row: row.id if row.task is not None else None)

    def _index(self, key: Callable[[ResultRow], str | None]) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for i, row in enumerate(self.samples):
            value = key(row)
            if value is not None:
                found.setdefault(value, []).append(i)
        return found

    def add(self, row: ResultRow) -> None:
        candidates, by = self._candidates(row)
        if not candidates:
            self.counts["unmatched"] += 1
        elif len({cell_of(self.samples[i]) for i in candidates}) > 1:
            self.counts["ambiguous"] += 1
        else:
            free = next((i for i in candidates if i not in self.taken), None)
            if free is None:
                earlier = [self.taken[i].reference.prediction for i in candidates]
                self.counts["duplicates" if row.prediction in earlier else "conflicting"] += 1
            else:
                self.taken[free] = Match(self.samples[free], row, by)

    def _candidates(self, row: ResultRow) -> tuple[list[int], By]:
        prompt = self._by_prompt.get(row.prompt_sha256 or "", [])
        if found := [i for i in prompt if self._agree(i, row) and _agrees(self.samples[i].id, row.id)]:
            return found, "prompt"
        text = self._by_text.get(row.text_sha256 or "", [])
        if found := [i for i in text if self._agree(i, row)]:
            same_id = [i for i in found if self.samples[i].id == row.id]
            return same_id or found, "text"
        named = self._by_id.get(row.id or "", []) if row.task is not None else []
        found = [
            i
            for i in named
            if self._agree(i, row) and (row.text_sha256 is None or self.samples[i].text_sha256 is None)
        ]
        return found, "id"

    def _agree(self, i: int, row: ResultRow) -> bool:
        return all(_agrees(a, b) for a, b in zip(cell_of(self.samples[i]), cell_of(row), strict=True))

    def result(self) -> Matches:
        return Matches(
            matches=tuple(self.taken.values()),
            unmatched_samples=len(self.samples) - len(self.taken),
            unmatched_reference=self.counts["unmatched"],
            duplicates=self.counts["duplicates"],
            conflicting=self.counts["conflicting"],
            ambiguous=self.counts["ambiguous"],
        )


def _agrees(one: object, other: object) -> bool:
    return one is None or other is None or one == other
