"""A run's samples as the answers that they are, each line held against itself and against the other model's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from medbench_local.engine.base import TraceEnd
from medbench_local.errors import InputError
from medbench_local.results.folder import RunFolder
from medbench_local.results.record import ROLES, Role, samples_name
from medbench_local.results.sample_reading import Sample, other_precision, read_sample_lines
from medbench_local.results.schema import Comparison
from medbench_local.scoring.answers import Answer, Thought
from medbench_local.tasks.picture import Picture
from medbench_local.tasks.question import Question

_ENDS: dict[str, TraceEnd] = {"closed": "closed", "ended": "ended", "budget": "budget"}


@dataclass(frozen=True)
class SampledSide:
    """One model's samples in one comparison.

    Attributes:
        name: of the file, as `samples_name` has it.
        inner: of the file at the other precision; None if there is none.
        reported: the lines of the reported answers.
        other: the lines at the other precision, of all questions or of those that were checked.
    """

    name: str
    inner: str | None
    reported: tuple[Sample, ...]
    other: tuple[Sample, ...]


def read_side(folder: RunFolder, comparison: Comparison, role: Role) -> SampledSide:
    """The samples of one model in one comparison.

    Raises:
        InputError: a file is missing or damaged.
    """
    name = samples_name(role, comparison.task, comparison.shots, comparison.thinkers)
    inner = other_precision(folder, name)
    return SampledSide(
        name,
        inner,
        read_sample_lines(folder, name),
        () if inner is None else read_sample_lines(folder, inner),
    )


def problems(comparison: Comparison, model: str, role: Role, side: SampledSide) -> Iterator[InputError]:
    """What in one model's lines cannot be."""
    if len(side.reported) != comparison.n:
        yield _of_file(
            side.reported,
            f"expected the {comparison.n:,} questions of results.json, found {len(side.reported):,}",
        )
    for lines in (side.reported, side.other):
        seen: dict[str, Sample] = {}
        for sample in lines:
            if (first := seen.setdefault(sample.id, sample)) is not sample:
                yield sample.row.error(
                    f"the question {sample.id} is that of {first.row.where} already", name="id"
                )
            yield from _of_line(comparison, model, role, sample)
    known = {sample.id: sample for sample in side.reported}
    for sample in side.other:
        if sample.id not in known:
            yield sample.row.error(f"the reported samples have no question {sample.id}", name="id")
        else:
            yield from _other_question(sample, known[sample.id])


def _of_line(comparison: Comparison, model: str, role: Role, sample: Sample) -> Iterator[InputError]:
    row = sample.row
    expected = {"task": comparison.task, "shots": comparison.shots, "model": model, "role": role}
    for name, value in expected.items():
        if row.fields.get(name) != value:
            yield row.error(
                f"expected {value!r} as in results.json, found {row.fields.get(name)!r:.80}", name=name
            )
    right = sample.prediction == sample.answer
    if sample.correct != right:
        yield row.error(
            f"question {sample.id}: the prediction {sample.prediction} and the answer {sample.answer} make it "
            f"{str(right).lower()}, found {str(sample.correct).lower()}",
            name="correct",
        )
    if sample.acc != int(right):
        yield row.error(f"question {sample.id}: expected {int(right)}, found {sample.acc}", name="acc")
    if sample.target != sample.answer:
        yield row.error(
            f"question {sample.id}: expected {sample.answer}, found {sample.target}", name="target"
        )
    if sample.logprobs and sample.prediction != (best := sample.logprobs.index(max(sample.logprobs))):
        yield row.error(
            f"question {sample.id}: the log-probabilities are largest for option {best}, found {sample.prediction}",
            name="prediction",
        )
    if sample.overlong and (sample.logprobs or sample.prediction is not None):
        yield row.error(
            f"question {sample.id}: its prompt did not fit, and it has an answer", name="overlong"
        )


def unlike(medical: SampledSide, base: SampledSide) -> Iterator[InputError]:
    """Where two models were not asked the same questions in the same order."""
    for one, other in zip(medical.reported, base.reported, strict=False):
        if one.id != other.id:
            yield other.row.error(
                f"the question {other.id} stands where the medical model has {one.id}", name="id"
            )
            return  # all others are then displaced, too
        yield from _other_question(other, one)


def _other_question(sample: Sample, like: Sample) -> Iterator[InputError]:
    where = f"{like.row.where} of {like.row.file.path.name}"
    for name, own, its in (
        ("answer", sample.answer, like.answer),
        ("text_sha256", sample.text_sha256, like.text_sha256),
        ("images", sample.pictures, like.pictures),
    ):
        if own != its:
            yield sample.row.error(f"question {sample.id}: another value than in {where}", name=name)


def _of_file(lines: Sequence[Sample], problem: str) -> InputError:
    return InputError(str(lines[0].row.file) if lines else "samples", "", problem)


def questions_of(lines: Sequence[Sample]) -> list[Question]:
    """What is known of the questions from samples alone: enough to count answers."""
    return [
        Question(
            id=sample.id,
            text="",
            options=("",) * max(len(sample.logprobs), 2),
            answer=sample.answer,
            pictures=tuple(map(Picture, sample.pictures)),
        )
        for sample in lines
    ]


def answer_of(sample: Sample) -> Answer:
    """The answer that a line is."""
    thought = sample.thought
    return Answer(
        sample.prediction,
        sample.logprobs,
        sample.mass,
        bool(sample.logprobs) and sample.logprobs.count(max(sample.logprobs)) > 1,
        sample.tokens,
        sample.dropped,
        sample.overlong,
        sample.text,
        sample.prompt_sha256,
        None
        if thought is None
        else Thought(thought.tokens, _ENDS.get(thought.end, "closed"), thought.loops, thought.text),
    )


def both_sides(folder: RunFolder, comparison: Comparison) -> dict[Role, SampledSide]:
    """The samples of both models in one comparison; errors as of `read_side`."""
    return {role: read_side(folder, comparison, role) for role in ROLES}
