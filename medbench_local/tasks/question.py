"""A question, a split of questions, and a task: the words everything else is built from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from medbench_local.files.compact import divided, joined, kept_as
from medbench_local.files.rows import Row
from medbench_local.tasks.picture import Picture

SplitName = Literal["demonstrations", "validation", "test"]
SPLITS: tuple[SplitName, ...] = ("demonstrations", "validation", "test")

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""What options are called."""

MAX_OPTIONS = len(LETTERS)


@kept_as("options", joined, divided)
@dataclass(frozen=True)
class Question:
    """One multiple-choice item.

    Attributes:
        id: unique within its task and split; the data set's own id where it has one.
        text: the question as shown, stripped of surrounding white space. With pictures, it may say where they stand:
            see `medbench_local.tasks.picture.TAG`.
        options: the answer options in the data set's order, unaltered; 2 to 26 of them.
        answer: index of the correct option; the first one if several are identical.
        subject: the data set's own subject name, or "".
        contradiction: where and how its row names two different answers, or "".
        pictures: that it is about, in the data set's order.
    """

    id: str
    text: str
    options: tuple[str, ...]
    answer: int
    subject: str = ""
    contradiction: str = ""
    pictures: tuple[Picture, ...] = ()


def question_of(
    row: Row,
    *,
    text: str,
    options: Sequence[str],
    answer: int,
    expected: int | None,
    id: str = "",
    subject: str = "",
    contradiction: str = "",
    pictures: tuple[Picture, ...] = (),
) -> Question:
    """A question of one row of a file: text stripped, the first of identical options correct.

    Args:
        row: where it stands.
        text: the question.
        options: in the data set's order.
        answer: index into ``options``.
        expected: how many options there must be; None if 2 to 26 will do.
        id: the data set's own, or "".
        subject: the data set's own, or "".
        contradiction: how the row names two different answers, or ""; its place is put before it.
        pictures: that it is about.

    Raises:
        InputError: the number of options or the answer does not fit.
    """
    if expected is not None and len(options) != expected:
        raise row.error(f"expected {expected} options, found {len(options)}")
    if not 2 <= len(options) <= MAX_OPTIONS:
        raise row.error(f"expected 2 to {MAX_OPTIONS} options, found {len(options)}")
    if not 0 <= answer < len(options):
        raise row.error(f"the answer is option {answer}, but there are only options 0 to {len(options) - 1}")
    first = options.index(options[answer])
    return Question(
        id=id,
        text=text.strip(),
        options=tuple(options),
        answer=first,
        subject=subject,
        contradiction=contradiction and f"{row.where} of {Path(str(row.file)).name}: {contradiction}",
        pictures=pictures,
    )


class SplitRead(NamedTuple):
    """What a reader found: the questions of a split, and sentences on what is odd about them."""

    questions: Sequence[Question]
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class DataFile:
    """One file that questions were read from, as the manifest names it.

    Attributes:
        path: the file's path on this machine.
        sha256: hash of the bytes as stored.
        source: where it came from: "local", "embedded", or "hub:<repository>@<revision>".
    """

    path: str
    sha256: str
    source: str


@dataclass(frozen=True)
class Split:
    """The questions of one split.

    Attributes:
        questions: in the data set's order.
        expected: how many the official split has, or None where no official number exists.
        files: what was read.
    """

    questions: tuple[Question, ...]
    expected: int | None
    files: tuple[DataFile, ...]


@dataclass(frozen=True)
class Task:
    """A set of questions with its three splits.

    Attributes:
        id: "medqa", "medqa-4", "medmcqa", "pubmedqa", "mmlu-anatomy", ..., "demo-...".
        title: for people.
        splits: those that were asked for; by default all three.
        warnings: one sentence for each thing that differs from the official data.
        notes: how its questions were read, where that was found out, one sentence each: for whoever has them read.
    """

    id: str
    title: str
    splits: dict[SplitName, Split]
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def questions(self, split: SplitName) -> tuple[Question, ...]:
        """The questions of ``split`` in the data set's order."""
        return self.splits[split].questions
