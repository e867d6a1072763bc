"""Which reference row belongs to which of a run's samples; everything left over is counted."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from medbench_local.reference.rows import ResultRow
from medbench_local.results.record import thinkers_said

By = Literal["id and prompt", "prompt", "text", "id"]
PromptRelation = Literal["same", "other", "unknown"]


@dataclass(frozen=True)
class Cell:
    """Whose answers to what, asked how; None for what a file does not say.

    Attributes:
        role: "medical" or "base".
        model: its name.
        task: task id.
        shots: demonstrations in the prompt.
        scoring: how answers were found.
        thinkers: in which of the comparisons, where some models think before they answer: "both", "medical", "none".
    """

    role: str | None
    model: str | None
    task: str | None
    shots: int | None
    scoring: str | None
    thinkers: str | None = None

    def __str__(self) -> str:
        parts = [self.task or "all questions"]
        if self.shots is not None:
            parts.append(f"{self.shots}-shot")
        if self.scoring is not None:
            parts.append(self.scoring)
        if self.thinkers is not None:
            parts.append(f"where {thinkers_said(self.thinkers)}")
        return f"{self.model or ''} {', '.join(parts)}".strip()


@dataclass(frozen=True)
class Match:
    """One question on both sides.

    Attributes:
        sample: the run's row.
        reference: the other row.
        by: "id and prompt": the same id and the very same prompt; "prompt": the very same prompt, of which one
            side has no id; "text": the same question, by its text and options; "id": the same task and question
            id, of which one side has no text to compare.
    """

    sample: ResultRow
    reference: ResultRow
    by: By

    @property
    def prompt(self) -> PromptRelation:
        """Whether both sides were asked with the same prompt; unknown where one of them has no hash of it."""
        ours, theirs = self.sample.prompt_sha256, self.reference.prompt_sha256
        if ours is None or theirs is None:
            return "unknown"
        return "same" if ours == theirs else "other"

    @property
    def same_context(self) -> bool:
        """Whether the options were read behind the same text: not where other things were thought before."""
        return self.sample.thought == self.reference.thought


@dataclass(frozen=True)
class Matches:
    """The outcome of matching.

    Attributes:
        matches: in the order of the samples.
        cells: all of the run, in the order of the samples.
        addressed: those that the reference speaks of: with a match, or meant by a row without one.
        other_questions: reference rows with the task and id of a sample, but the text or pictures of another question.
        unmatched_samples: samples without a reference row.
        unmatched_reference: reference rows that no sample belongs to.
        duplicates: reference rows of a question that an earlier row had matched, with the same prediction.
        conflicting: the same with another prediction.
        ambiguous: reference rows that could belong to several cells, as they do not name the model, task,
            shots or scoring.
    """

    matches: tuple[Match, ...]
    cells: tuple[Cell, ...]
    addressed: tuple[Cell, ...]
    other_questions: tuple[ResultRow, ...]
    unmatched_samples: int
    unmatched_reference: int
    duplicates: int
    conflicting: int
    ambiguous: int


def cell_of(row: ResultRow) -> Cell:
    """The cell of a row."""
    return Cell(row.role, row.model, row.task, row.shots, row.scoring, row.thinkers)


def match_rows(samples: Sequence[ResultRow], reference: Sequence[ResultRow]) -> Matches:
    """Match by prompt hash, else by the hash of the question's text, else by task and question id.

    What both rows state (model, task, shots, scoring, pictures, with the same prompt or id the text) must agree; with
    the same prompt, or without a text, so must the ids. Each sample is matched once: by a row with its own
    prompt if there is one, else by one that does not name its prompt, else by one with another prompt. A row that does
    not say in which comparison of models that think it was answered belongs to all of them: a model that thinks does
    not know whether the other one does.
    """
    matching = _Matching(samples)
    rest = [row for row in reference if not matching.add_same_prompt(row)]
    for row in sorted(rest, key=lambda row: row.prompt_sha256 is not None):
        matching.add_same_question(row)
    matching.note_other_questions(reference)
    return matching.result()


@dataclass
class _Matching:
    samples: Sequence[ResultRow]
    taken: dict[int, Match] = field(default_factory=dict)
    addressed: set[Cell] = field(default_factory=set)
    other_questions: list[ResultRow] = field(default_factory=list)
    counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("unmatched", "duplicates", "conflicting", "ambiguous"), 0)
    )

    def __post_init__(self) -> None:
        self._by_prompt = self._index(lambda row: row.prompt_sha256)
        self._by_text = self._index(lambda row: row.text_sha256)
        self._by_id = self._index(_task_and_id)
        self._cells = tuple(dict.fromkeys(map(cell_of, self.samples)))

    def _index(self, key: Callable[[ResultRow], Hashable]) -> dict[Hashable, list[int]]:
        found: dict[Hashable, list[int]] = {}
        for i, row in enumerate(self.samples):
            value = key(row)
            if value is not None:
                found.setdefault(value, []).append(i)
        return found

    def add_same_prompt(self, row: ResultRow) -> bool:
        """Match a row whose very prompt the run asked; whether it did."""
        found = [
            i
            for i in self._by_prompt.get(row.prompt_sha256, [])
            if self._agree(i, row)
            and _agrees(self.samples[i].id, row.id)
            and _same_question(self.samples[i], row)
        ]
        if found:
            self._take(found, row)
        return bool(found)

    def add_same_question(self, row: ResultRow) -> None:
        """Match a row of which only the question is the run's, or count it as left over."""
        found = [
            i
            for i in self._by_text.get(row.text_sha256, [])
            if self._agree(i, row) and _same_question(self.samples[i], row)
        ]
        found = [i for i in found if self.samples[i].id == row.id] or found
        found = found or [
            i
            for i in self._same_id(row)
            if (row.text_sha256 is None or self.samples[i].text_sha256 is None)
            and _same_question(self.samples[i], row)
        ]
        if found:
            self._take(found, row)
            return
        self.counts["unmatched"] += 1
        meant = [cell for cell in self._cells if _cells_agree(cell, cell_of(row))]
        if len(meant) == 1:
            self.addressed.add(meant[0])

    def note_other_questions(self, rows: Iterable[ResultRow]) -> None:
        """Keep the rows whose id the run has, always with another text or other pictures."""
        for row in rows:
            same_id = self._same_id(row)
            if same_id and not any(_same_question(self.samples[i], row) for i in same_id):
                self.other_questions.append(row)

    def _same_id(self, row: ResultRow) -> list[int]:
        return [i for i in self._by_id.get(_task_and_id(row), []) if self._agree(i, row)]

    def _take(self, candidates: Sequence[int], row: ResultRow) -> None:
        candidates = [i for i in candidates if self.samples[i].role == row.role] or candidates
        cells = dict.fromkeys(cell_of(self.samples[i]) for i in candidates)
        self.addressed |= set(cells)
        if len({replace(cell, thinkers=None) for cell in cells}) > 1:
            self.counts["ambiguous"] += 1
            return
        free = [
            next((i for i in candidates if i not in self.taken and cell_of(self.samples[i]) == cell), None)
            for cell in cells
        ]
        for i in free:
            if i is not None:
                self.taken[i] = Match(self.samples[i], row, _by(self.samples[i], row))
        if any(i is not None for i in free):
            return
        asked = [self.samples[i].prompt_sha256 for i in candidates]
        if not any(_agrees(row.prompt_sha256, prompt) for prompt in asked):
            self.counts["unmatched"] += 1  # of a prompt that the run did not ask
            return
        earlier = [self.taken[i].reference.prediction for i in candidates]
        self.counts["duplicates" if row.prediction in earlier else "conflicting"] += 1

    def _agree(self, i: int, row: ResultRow) -> bool:
        return _cells_agree(cell_of(self.samples[i]), cell_of(row))

    def result(self) -> Matches:
        return Matches(
            matches=tuple(self.taken[i] for i in sorted(self.taken)),
            cells=self._cells,
            addressed=tuple(cell for cell in self._cells if cell in self.addressed),
            other_questions=tuple(self.other_questions),
            unmatched_samples=len(self.samples) - len(self.taken),
            unmatched_reference=self.counts["unmatched"],
            duplicates=self.counts["duplicates"],
            conflicting=self.counts["conflicting"],
            ambiguous=self.counts["ambiguous"],
        )


def _task_and_id(row: ResultRow) -> tuple[str, str] | None:
    return None if row.task is None or row.id is None else (row.task, row.id)


def _by(sample: ResultRow, row: ResultRow) -> By:
    if sample.prompt_sha256 is not None and sample.prompt_sha256 == row.prompt_sha256:
        return "prompt" if sample.id is None or row.id is None else "id and prompt"
    same_text = sample.text_sha256 is not None and sample.text_sha256 == row.text_sha256
    return "text" if same_text else "id"


def _cells_agree(one: Cell, other: Cell) -> bool:
    """Whether all that both state is the same; the role says nothing, a base model may be another pair's medical."""
    return (
        _agrees(one.model, other.model)
        and _agrees(one.task, other.task)
        and _agrees(one.shots, other.shots)
        and _agrees(one.scoring, other.scoring)
        and _agrees(one.thinkers, other.thinkers)
    )


def _same_question(sample: ResultRow, row: ResultRow) -> bool:
    """Whether text and pictures are the same, as far as both state them.

    Either side may know of some of the pictures only: a prompt has places for those that its text tags.
    """
    if not _agrees(sample.text_sha256, row.text_sha256):
        return False
    ours, theirs = sample.pictures, row.pictures
    return ours is None or theirs is None or ours <= theirs or theirs <= ours


def _agrees(one: object, other: object) -> bool:
    return one is None or other is None or one == other
