"""The lines of ``samples/*.jsonl``, read back: typed, each with the place where it stands."""

from __future__ import annotations

import math
from dataclasses import dataclass

from medbench_local.files.rows import Row, SourceFile
from medbench_local.results.folder import RunFolder
from medbench_local.tasks.question import MAX_OPTIONS
from medbench_local.text import is_whole

_MOST = 2**53


@dataclass(frozen=True)
class SampledThought:
    """What a model thought before an answer; as `medbench_local.scoring.answers.Thought`."""

    tokens: int
    end: str
    loops: bool
    text: str


@dataclass(frozen=True)
class Sample:
    """One model's answer to one question, as its line has it.

    Attributes:
        row: where it stands, for errors.
        id: of the question.
        precision: at which it was answered.
        prompt_sha256, text_sha256: of the prompt, and of the question's text and options.
        pictures: hashes of the question's pictures.
        tokens, dropped, overlong, logprobs, mass, text, prediction: as of an `Answer`.
        thought: what it thought before; None where it did not.
        answer: index of the correct option.
        correct, acc: whether the line calls the prediction right.
        target: the correct option once more.
    """

    row: Row
    id: str
    precision: str
    prompt_sha256: str
    text_sha256: str | None
    pictures: tuple[str, ...]
    tokens: int
    dropped: int
    overlong: bool
    logprobs: tuple[float, ...]
    mass: float | None
    text: str | None
    thought: SampledThought | None
    prediction: int | None
    answer: int
    correct: bool
    target: int
    acc: int

    @property
    def line(self) -> int:
        """The number of its line."""
        return int(self.row.where.removeprefix("line "))


def read_sample_lines(folder: RunFolder, name: str) -> tuple[Sample, ...]:
    """The lines of ``samples/<name>.jsonl``.

    Raises:
        InputError: the file is missing or damaged, or a line is not what it should be; with the line and the key.
    """
    from medbench_local.files.readers import json_lines  # only who looks at samples needs it

    return tuple(map(_sample, json_lines(SourceFile(folder.samples_file(name)))))


def other_precision(folder: RunFolder, name: str) -> str | None:
    """The name of the same cell's samples at the other precision ("full/medical.medqa.0-shot"), if there are any."""
    samples = folder.path / "samples"
    inner = sorted(path for path in samples.glob("*") if path.is_dir()) if samples.is_dir() else []
    found = [path for path in inner if (path / f"{name}.jsonl").is_file()]
    return f"{found[0].name}/{name}" if found else None


def _sample(row: Row) -> Sample:
    logprobs = _logprobs(row)
    most = len(logprobs) - 1 if logprobs else MAX_OPTIONS - 1
    prediction = row.value("prediction")
    return Sample(
        row=row,
        id=row.text("id"),
        precision=row.text("precision"),
        prompt_sha256=row.text("prompt_sha256"),
        text_sha256=row.optional_text("text_sha256") or None,
        pictures=row.texts("images") if "images" in row.fields else (),
        tokens=row.integer("tokens", 0, _MOST),
        dropped=row.integer("dropped_demonstrations", 0, _MOST),
        overlong=_truth(row, "overlong"),
        logprobs=logprobs,
        mass=_number(row, row.value("mass"), "mass"),
        text=_written(row, row.value("text"), "text"),
        thought=_thought(row),
        prediction=None if prediction is None else row.integer("prediction", 0, most),
        answer=row.integer("answer", 0, most),
        correct=_truth(row, "correct"),
        target=row.integer("target", 0, most),
        acc=row.integer("acc", 0, 1),
    )


def _logprobs(row: Row) -> tuple[float, ...]:
    values = row.value("logprobs")
    if not isinstance(values, list) or len(values) == 1 or len(values) > MAX_OPTIONS:
        raise row.error(f"expected a list of none or 2 to {MAX_OPTIONS} numbers", name="logprobs")
    found = [_number(row, value, "logprobs") for value in values]
    known = tuple(value for value in found if value is not None)
    if (
        len(known) < len(found)
        or any(value == math.inf for value in known)
        or max(known, default=0) == -math.inf
    ):
        raise row.error("expected log-probabilities, one of them finite", name="logprobs")
    return known


def _number(row: Row, value: object, name: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        raise row.error("expected a number", name=name)
    return float(value)


def _truth(row: Row, name: str) -> bool:
    value = row.value(name)
    if not isinstance(value, bool):
        raise row.error("expected true or false", name=name)
    return value


def _written(row: Row, value: object, name: str) -> str | None:
    """What a model wrote may hold any character but halves of one."""
    if value is None:
        return None
    if not isinstance(value, str) or not is_whole(value):
        raise row.error("expected text", name=name)
    return value


def _thought(row: Row) -> SampledThought | None:
    value = row.fields.get("thinking")
    if value is None:
        return None
    if not isinstance(value, dict):
        raise row.error("expected a mapping", name="thinking")
    inner = Row(row.file, row.where, value)
    return SampledThought(
        inner.integer("tokens", 0, _MOST),
        inner.text("end"),
        _truth(inner, "loops"),
        _written(inner, inner.value("text"), "text") or "",
    )
