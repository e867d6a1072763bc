"""What stands behind a run's verdicts, question by question: what a sceptic asks a report for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from medbench_local.results.record import Role, Thinkers


@dataclass(frozen=True)
class Given:
    """What one model gave as its answer to one question, at the precision that is reported.

    Attributes:
        prediction: index of the option; None where no option was found in what it wrote.
        probabilities: of the options, between 0 and 1, summing to 1; empty where the scoring reads none.
        text: what it wrote as its answer; "" where it writes nothing.
        thought: what it thought before; "" where it did not think.
        near_tie: whether its two best options are no further apart than the noise of the engine's mode.
        flipped: whether its prediction is another one at the other precision; None where that was not asked.
    """

    prediction: int | None
    probabilities: tuple[float, ...] = ()
    text: str = ""
    thought: str = ""
    near_tie: bool = False
    flipped: bool | None = None


@dataclass(frozen=True)
class AskedQuestion:
    """One test question and both answers.

    Attributes:
        task: id of the task.
        shots: demonstrations in a prompt.
        thinkers: who thinks, where the scoring lets models think.
        id: the question's own.
        subject: what it is about; "" where the data do not say.
        text: the question, any passage before it included.
        options: texts of the options.
        answer: index of the correct one.
        pictures: SHA-256 of each of its pictures' files.
        medical: what the medical model answered.
        base: what its base answered.
    """

    task: str
    shots: int
    thinkers: Thinkers | None
    id: str
    subject: str
    text: str
    options: tuple[str, ...]
    answer: int
    medical: Given
    base: Given
    pictures: tuple[str, ...] = ()


@dataclass(frozen=True)
class ChosenPrompt:
    """The prompt that was chosen for one model in one comparison, as it was sent for the first test question.

    Attributes:
        role: whose.
        task: id of the task.
        shots: demonstrations in it.
        thinkers: who thinks, where the scoring lets models think.
        text: exactly as rendered.
    """

    role: Role
    task: str
    shots: int
    thinkers: Thinkers | None
    text: str


@dataclass(frozen=True)
class Evidence:
    """All that a run's folder says beside its ``results.json``; `medbench_local.results.evidence_reading` reads it.

    Attributes:
        questions: in the order of the comparisons and of the data; empty where the folder has none.
        prompts: one for each comparison and model; empty where the folder has none.
        command: that computes this run anew, as it would be typed; "" where nobody wrote it down.
        started: when, ISO 8601 with the zone; "" where nobody wrote it down.
        facts: label to value of what else the manifest says of where it was computed: machine, device, versions.
        thumbnails: by a picture's SHA-256 the bytes of a small JPEG.
        notes: sentences that a reader must see: why questions or pictures are missing, what probabilities are of.
    """

    questions: tuple[AskedQuestion, ...] = ()
    prompts: tuple[ChosenPrompt, ...] = ()
    command: str = ""
    started: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    thumbnails: Mapping[str, bytes] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
