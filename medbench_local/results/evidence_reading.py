"""From a run's folder to its evidence: questions, both models' answers at both precisions, prompts, provenance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from math import exp
from typing import Any

import numpy as np

from medbench_local.engine.base import NEAR_TIE
from medbench_local.errors import InputError
from medbench_local.files.streams import open_file
from medbench_local.results.asked import KeptQuestion, has_questions, read_prompts, read_questions
from medbench_local.results.evidence import AskedQuestion, ChosenPrompt, Evidence, Given
from medbench_local.results.folder import RunFolder
from medbench_local.results.record import ROLES, Role, samples_name
from medbench_local.results.sample_reading import Sample, other_precision, read_sample_lines
from medbench_local.results.schema import Comparison, Results
from medbench_local.scoring.rules import RULES
from medbench_local.statistics.options import near_ties
from medbench_local.vision.thumbnails import MOST_BYTES, MOST_IN_TOTAL

EQUAL = 1e-9
"""Difference of two shares that are the same but for rounding."""

CITATION = (
    "Jeong et al., Medical Adaptation of Large Language and Vision-Language Models: Are We Making Progress?, EMNLP "
    "2024, https://aclanthology.org/2024.emnlp-main.677"
)
"""Of the method."""

ABSENT = "This run's folder has no questions and no prompts: a release made it that kept none, or they were removed."
LEFT_OUT = "Questions, prompts and what the models wrote were left out, as was asked for."
NO_PICTURES = "Pictures were left out, as was asked for."
PER_BYTE = (
    "Probabilities of comparisons scored by cloze are of the options' log-probabilities per byte, by which they are "
    "compared: how they stand to each other, not how probable a text is."
)
NARROWED = (
    "Probabilities are of a question's options among themselves: whatever else a model might say is left out."
)


def read_evidence(
    folder: RunFolder, results: Results, *, questions: bool = True, pictures: bool = True
) -> Evidence:
    """What stands behind a run's results.

    Args:
        folder: of the run; it may be of a release that kept no questions, or hold nothing but results.
        results: of the run.
        questions: whether questions, prompts and what the models wrote are wanted.
        pictures: whether thumbnails are wanted.

    Raises:
        InputError: a file is damaged, or of other questions than the results; one that is there in part is missing.
    """
    manifest = folder.manifest() if folder.manifest_file.is_file() else {}
    told = Evidence(
        command=_text(manifest, "command"),
        started=_text(manifest, "started") or results.timing.started,
        facts=_facts(manifest),
    )
    kept = manifest.get("kept")
    kept = kept if isinstance(kept, dict) else {}
    if not questions or kept.get("questions") is False:
        return _with(told, notes=(LEFT_OUT,))
    if not has_questions(folder):
        return _with(told, notes=(ABSENT,))
    asked = tuple(question for c in results.comparisons for question in _asked(folder, results, c))
    shown = {sha256 for question in asked for sha256 in question.pictures}
    wanted = pictures and kept.get("pictures") is not False
    thumbnails = _thumbnails(folder, shown) if wanted else {}
    return _with(
        told,
        questions=asked,
        prompts=tuple(_prompts(folder, results)),
        thumbnails=thumbnails,
        notes=tuple(_notes(results, asked, shown, thumbnails, wanted=wanted)),
    )


def _prompts(folder: RunFolder, results: Results) -> Iterator[ChosenPrompt]:
    """The chosen prompts, each held against the first prompt that its samples say was sent."""
    cells = {(c.task, c.shots, c.thinkers) for c in results.comparisons}
    for one in read_prompts(folder):
        if (one.task, one.shots, one.thinkers) not in cells:
            raise InputError(folder.prompts_file, one.where, "it is of no comparison of results.json")
        name = samples_name(one.role, one.task, one.shots, one.thinkers)
        first = read_sample_lines(folder, name)[0]
        if one.sha256 != first.prompt_sha256:
            raise InputError(
                folder.prompts_file,
                one.where,
                f"it is not the prompt that was sent ({first.row.where} of {first.row.file.path.name})",
            )
        yield ChosenPrompt(one.role, one.task, one.shots, one.thinkers, one.text)


def _with(told: Evidence, **more: Any) -> Evidence:
    return Evidence(command=told.command, started=told.started, facts=told.facts, **more)


def _notes(
    results: Results,
    asked: Sequence[AskedQuestion],
    shown: set[str],
    thumbnails: Mapping[str, bytes],
    *,
    wanted: bool,
) -> Iterator[str]:
    if any(question.medical.probabilities or question.base.probabilities for question in asked):
        yield NARROWED
    if any(RULES[c.scoring].scores_option_texts for c in results.comparisons):
        yield PER_BYTE
    if shown and not wanted:
        yield NO_PICTURES
    elif missing := len(shown - set(thumbnails)):
        yield (
            f"{missing:,} of {len(shown):,} pictures are not shown: they could not be made smaller than the limit of "
            f"{MOST_BYTES // 1024} KiB each and {MOST_IN_TOTAL >> 20} MiB together, or could not be read."
        )


def _asked(folder: RunFolder, results: Results, comparison: Comparison) -> Iterator[AskedQuestion]:
    questions = read_questions(folder, comparison.task)
    if len(questions) != comparison.n:
        raise InputError(
            folder.questions_file(comparison.task),
            "",
            f"expected the {comparison.n:,} questions of results.json, found {len(questions):,}",
        )
    given = {role: _given(folder, results, comparison, role, questions) for role in ROLES}
    right = {
        role: [
            one.prediction == question.answer for one, question in zip(given[role], questions, strict=True)
        ]
        for role in ROLES
    }
    only = Counter(zip(right["medical"], right["base"], strict=True))
    counts = (only[True, False], only[False, True])
    claimed = (comparison.discordant.medical_only, comparison.discordant.base_only)
    share = {role: sum(right[role]) / len(questions) for role in ROLES}
    if counts != claimed or any(
        abs(share[role] - getattr(comparison.accuracy, role)) > EQUAL for role in ROLES
    ):
        raise InputError(
            folder.samples_file(
                samples_name("medical", comparison.task, comparison.shots, comparison.thinkers)
            ),
            "",
            "its answers and those of the base model do not give the accuracies and counts of results.json",
            advice="`verify()` says what does not hold.",
        )
    for question, medical, base in zip(questions, given["medical"], given["base"], strict=True):
        yield AskedQuestion(
            task=comparison.task,
            shots=comparison.shots,
            thinkers=comparison.thinkers,
            id=question.id,
            subject=question.subject,
            text=question.text,
            options=question.options,
            answer=question.answer,
            pictures=question.pictures,
            medical=medical,
            base=base,
        )


def _given(
    folder: RunFolder,
    results: Results,
    comparison: Comparison,
    role: Role,
    questions: Sequence[KeptQuestion],
) -> list[Given]:
    name = samples_name(role, comparison.task, comparison.shots, comparison.thinkers)
    samples = read_sample_lines(folder, name)
    if len(samples) != len(questions):
        raise InputError(
            folder.samples_file(name), "", f"expected {len(questions):,} lines, found {len(samples):,}"
        )
    for question, sample in zip(questions, samples, strict=True):
        hold_together(question, sample)
    inner = other_precision(folder, name)
    again = {} if inner is None else {one.id: one.prediction for one in read_sample_lines(folder, inner)}
    noise = near_tie(results, comparison)
    scored = [sample for sample in samples if sample.logprobs]
    close = near_ties([sample.logprobs for sample in scored], noise) if scored else np.zeros(0, bool)
    tied = {sample.id for sample, near in zip(scored, close, strict=True) if near}
    return [
        Given(
            prediction=sample.prediction,
            probabilities=softmax(sample.logprobs),
            text=sample.text or "",
            thought=sample.thought.text if sample.thought else "",
            near_tie=sample.id in tied,
            flipped=again[sample.id] != sample.prediction if sample.id in again else None,
        )
        for sample in samples
    ]


def near_tie(results: Results, comparison: Comparison) -> float:
    """The threshold of near-ties of the reported answers: that of the mode in which they were computed, in nats."""
    replaced = comparison.quantised is not None and comparison.precision == "full"
    return NEAR_TIE[(results.check_mode or results.mode) if replaced else results.mode]


def hold_together(question: KeptQuestion, sample: Sample) -> None:
    """Refuse a question that is not the one that a sample is of.

    Raises:
        InputError: it is not; with the line of the question.
    """
    row = question.row
    beside = f"{sample.row.where} of {sample.row.file.path.name}"
    if question.id != sample.id:
        raise row.error(f"{beside} is of the question {sample.id!r:.80}", name="id")
    if sample.text_sha256 not in (None, question.text_sha256):
        raise row.error(
            f"the text or the options of question {question.id} are not those that were asked ({beside})"
        )
    if question.answer != sample.answer:
        raise row.error(f"expected {sample.answer}, as {beside} has it", name="answer")
    if question.pictures != sample.pictures:
        raise row.error(f"other pictures than in {beside}", name="images")
    if sample.logprobs and len(sample.logprobs) != len(question.options):
        raise row.error(f"{beside} has {len(sample.logprobs)} options", name="options")


def softmax(logprobs: Sequence[float]) -> tuple[float, ...]:
    """Probabilities of options among themselves; empty for none."""
    if not logprobs:
        return ()
    most = max(logprobs)
    parts = [exp(value - most) for value in logprobs]
    total = sum(parts)
    return tuple(part / total for part in parts)


def _thumbnails(folder: RunFolder, shown: set[str]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    total = 0
    for sha256 in sorted(shown):
        path = folder.thumbnails_folder / f"{sha256}.jpg"
        try:
            size = path.stat().st_size
            with open_file(path) as file:
                data = file.read() if size <= MOST_BYTES else b""
        except FileNotFoundError:
            continue
        except OSError as error:
            raise InputError(path, "", f"cannot be read: {error.strerror or error}") from error
        total += len(data)
        if not data.startswith(b"\xff\xd8\xff") or total > MOST_IN_TOTAL:
            raise InputError(
                path,
                "",
                f"expected a JPEG of at most {MOST_BYTES // 1024} KiB, {MOST_IN_TOTAL >> 20} MiB with all others",
                advice="Remove it: the question is shown without.",
            )
        found[sha256] = data
    return found


def _facts(manifest: Mapping[str, Any]) -> dict[str, str]:
    """What a manifest says that results do not, and the citation of the method."""
    versions = _inner(manifest, "versions")
    found = {
        "machine": ", ".join(filter(None, (_text(versions, "platform"), _text(manifest, "processor")))),
        "Python": _text(versions, "python"),
    }
    models = _inner(manifest, "models")
    device = {role: _text(_inner(models, role), "device") for role in ROLES}
    found["device"] = (
        device["medical"]
        if len(set(device.values())) == 1
        else "; ".join(f"{role}: {said}" for role, said in device.items() if said)
    )
    chosen = _inner(manifest, "precision_choice")
    found["precision chosen"] = ", ".join(str(each) for each in chosen.values() if each)
    seeds = _inner(manifest, "seeds")
    found["seeds"] = ", ".join(f"{name} {value}" for name, value in seeds.items())
    engine = _inner(_inner(manifest, "settings"), "engine")
    found["engine settings"] = ", ".join(
        f"{name.replace('_', ' ')} {value}" for name, value in engine.items() if value is not None
    )
    for role in ROLES:
        model = _inner(models, role)
        files = [
            f"{name.replace('_', ' ')} {_text(file, 'path')} sha256 {_text(file, 'sha256')}"
            for name in ("scored", "checked_against")
            if (file := _inner(model, name))
        ]
        found[f"files of {role}"] = "; ".join(files)
    found |= {"method": CITATION, "tool": "medbench-local, cited as in its CITATION.cff"}
    return {name: text for name, text in found.items() if text}


def _inner(mapping: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A mapping in a manifest, which somebody may have edited; empty if there is none."""
    found = mapping.get(name)
    return found if isinstance(found, dict) else {}


def _text(mapping: Mapping[str, Any], name: str) -> str:
    found = mapping.get(name)
    return found if isinstance(found, str) else ""
