"""Logs of inspect_ai, ``.json`` and ``.eval``: which samples were scored as correct, by one scorer.

Layout of log version 2 (as of inspect_ai 0.3.285): ``eval`` says task and model, ``samples`` have ``id``, ``epoch``,
``input``, ``choices``, ``target``, ``error`` and ``scores`` (a mapping from scorer to ``value`` and ``answer``), and
``reductions`` hold, for each scorer and reducer, one value a sample over all epochs. An ``.eval`` file is a zip archive
with ``header.json``, ``samples/*.json``, ``summaries.json`` and ``reductions.json``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medbench_local.errors import InputError
from medbench_local.files.hashes import text_sha256
from medbench_local.files.json_objects import parse_json, parse_json_object
from medbench_local.files.rows import Row, SourceFile, listed, plain
from medbench_local.files.zip_members import open_archive
from medbench_local.reference.readers.record import Record, Selection, id_text

_TRUTH = {"C": True, "I": False, "N": False}
_CUT = "(content truncated)"
_ATTACHED = "attachment://"


@dataclass(frozen=True)
class _Sample:
    """What is kept of a sample: the rest may be large.

    Attributes:
        row: its place, with the fields of `Record` that do not depend on the scorer.
        epoch: the round it was asked in.
        scores: value and answer by scorer.
    """

    row: Row
    epoch: int
    scores: Mapping[str, tuple[object, object]]


@dataclass(frozen=True)
class _Log:
    header: Mapping[str, Any]
    samples: Sequence[_Sample]
    reductions: Sequence[Any]


def is_inspect_log(document: object) -> bool:
    """Whether a JSON file's value is such a log."""
    return (
        isinstance(document, dict)
        and isinstance(document.get("eval"), dict)
        and {"status", "version"} <= document.keys()
    )


def records_of_document(
    file: SourceFile, document: Mapping[str, Any], selection: Selection, notes: list[str]
) -> Iterator[Record]:
    """The records of a ``.json`` log; see `records_of_archive`."""
    samples = _list(file, document, "samples")
    rows = (
        Row(file, f"sample {i}", _mapping(file, f"sample {i}", each)) for i, each in enumerate(samples, 1)
    )
    log = _Log(document, [*map(_sample, rows)], _list(file, document, "reductions"))
    return _records(file, log, selection, notes)


def records_of_archive(path: Path, selection: Selection, notes: list[str]) -> Iterator[Record]:
    """The records of an ``.eval`` log.

    Args:
        path: the file.
        selection: the scorer that is wanted.
        notes: gets a clause on each thing that a reader of the result should know.

    Raises:
        InputError: it is no such log, a choice is missing, or a sample's score does not say whether it is correct.
    """
    file = SourceFile(path)
    with open_archive(path) as archive:
        if "header.json" not in archive.names:
            raise InputError(
                path,
                "",
                f"no header.json in it (but {listed(archive.names)}): not a finished inspect_ai log",
            )
        header = parse_json_object(archive.read("header.json"), path, "header.json")
        if not is_inspect_log(header):
            raise InputError(path, "header.json", "not the header of an inspect_ai log")
        members = [name for name in archive.names if name.startswith("samples/") and name.endswith(".json")]
        samples = [_sample(_row(file, name, parse_json(archive.read(name), path, name))) for name in members]
        if not members and "summaries.json" in archive.names:
            summaries = parse_json(archive.read("summaries.json"), path, "summaries.json")
            every = summaries if isinstance(summaries, list) else []
            samples = [_sample(_row(file, f"summary {i}", each)) for i, each in enumerate(every, 1)]
        reductions: Any = header.get("reductions") or []
        if "reductions.json" in archive.names:
            reductions = parse_json(archive.read("reductions.json"), path, "reductions.json")
    if not isinstance(reductions, list):
        raise InputError(path, "reductions.json", "expected a list")
    return _records(file, _Log(header, samples, reductions), selection, notes)


def _list(file: SourceFile, document: Mapping[str, Any], name: str) -> list[Any]:
    value = document.get(name) or []
    if not isinstance(value, list):
        raise InputError(str(file), f"key '{name}'", "expected a list")
    return value


def _mapping(file: SourceFile, where: str, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(str(file), where, "expected an object")
    return value


def _row(file: SourceFile, where: str, value: object) -> Row:
    return Row(file, where, _mapping(file, where, value))


def _sample(row: Row) -> _Sample:
    epoch = row.fields.get("epoch", 1)
    if not isinstance(epoch, int):
        raise row.error(f"expected a number, found {epoch!r:.40}", name="epoch")
    fields: dict[str, object] = {"id": id_text(row, row.value("id"))}
    target = row.fields.get("target")
    if isinstance(target, list) and len(target) == 1:
        target = target[0]
    if isinstance(target, (str, int, float)) and not _is_cut(target):
        fields["answer"] = target
    choices = row.fields.get("choices")
    if isinstance(choices, list) and len(choices) > 1:
        fields["options"] = [*row.readables(choices, "choices")]
    question = _question(row)
    if question is not None:
        fields["question"] = question
        if "options" in fields:
            fields["text_sha256"] = text_sha256(question, row.readables(choices, "choices"))
    scores = row.fields.get("scores") or {}
    if not isinstance(scores, dict):
        raise row.error("expected a mapping from scorer to score", name="scores")
    found: dict[str, tuple[object, object]] = {}
    for name, score in scores.items():
        if isinstance(score, dict):
            found |= _values(name, score)
    return _Sample(Row(row.file, row.where, fields), epoch, found)


def _values(name: str, score: Mapping[str, object]) -> dict[str, tuple[object, object]]:
    """Value and answer of a scorer, or of each part of one that gives several values: "scorer/part"."""
    value, answer = score.get("value"), score.get("answer")
    if isinstance(value, dict):
        return {f"{name}/{part}": (each, answer) for part, each in value.items()}
    return {name: (value, answer)}


def _question(row: Row) -> str | None:
    """The question's text, from a text or from the user's messages; None if it is cut or not only text."""
    asked = row.fields.get("input")
    if isinstance(asked, list):
        said = [
            message.get("content")
            for message in asked
            if isinstance(message, dict) and message.get("role") == "user"
        ]
        asked = "\n".join(map(str, said)) if said and all(isinstance(text, str) for text in said) else None
    if isinstance(asked, str) and asked.startswith(_ATTACHED):
        attachments = row.fields.get("attachments")
        asked = attachments.get(asked.removeprefix(_ATTACHED)) if isinstance(attachments, dict) else None
    if not isinstance(asked, str) or _is_cut(asked):
        return None
    return row.readable(asked, "input")


def _is_cut(text: object) -> bool:
    return isinstance(text, str) and text.endswith(_CUT)


def _records(file: SourceFile, log: _Log, selection: Selection, notes: list[str]) -> Iterator[Record]:
    status = log.header.get("status")
    if status != "success":
        notes.append(f"the log says that its evaluation did not end well (status {plain(str(status))!r})")
    if log.header.get("invalidated"):
        notes.append("the log is marked as invalidated")
    epochs = len({sample.epoch for sample in log.samples})
    samples = _reduced(file, log) if epochs > 1 else log.samples
    _refuse_repeated(samples)
    if not samples:
        return
    scorer = _chosen(file, samples, selection)
    run = log.header["eval"]
    scoring = scorer if epochs == 1 else f"{scorer} of {epochs} epochs"
    shared = {"scoring": scoring, "model": run.get("model"), "task": selection.task}
    unscored = no_answer = 0
    for sample in samples:
        value, answer = sample.scores.get(scorer, (None, None))
        if value is None or (isinstance(value, float) and math.isnan(value)):
            unscored += 1
            continue
        no_answer += value == "N"
        fields = {**sample.row.fields, **{name: each for name, each in shared.items() if each is not None}}
        fields["correct"] = _correct(sample.row, scorer, value)
        fields["prediction"] = answer
        name = run.get("task")
        yield Record(
            Row(sample.row.file, sample.row.where, fields),
            scored_by=scorer,
            log_task=name if isinstance(name, str) else None,
        )
    if no_answer:
        notes.append(f"{no_answer:,} of {len(samples):,} samples have no answer (score N) and count as wrong")
    if unscored:
        notes.append(
            f"{unscored:,} of {len(samples):,} samples have no score by {plain(scorer)} and are left out"
        )


def _refuse_repeated(samples: Iterable[_Sample]) -> None:
    seen: dict[object, str] = {}
    for sample in samples:
        key = sample.row.fields["id"]
        if key in seen:
            raise sample.row.error(f"sample {plain(str(key))!r} is also {seen[key]}")
        seen[key] = sample.row.where


def _reduced(file: SourceFile, log: _Log) -> list[_Sample]:
    """One sample for each id, with the scores that the log's reducers made of its epochs.

    Raises:
        InputError: the log has none.
    """
    scores: dict[str, dict[str, tuple[object, object]]] = {}
    for reduction in log.reductions:
        if not isinstance(reduction, dict) or not isinstance(reduction.get("samples"), list):
            raise InputError(str(file), "reductions", "expected objects with a list of samples each")
        reducer = reduction.get("reducer")
        name = f"{reduction.get('scorer')}/{reducer}" if reducer else str(reduction.get("scorer"))
        for each in reduction["samples"]:
            if isinstance(each, dict) and each.get("sample_id") is not None:
                scores.setdefault(str(each["sample_id"]), {}).update(_values(name, each))
    if not scores:
        raise InputError(
            str(file),
            "",
            "samples were asked in several epochs, and no reducer made one score of them",
            advice="Evaluate with one epoch, or with a reducer that gives right or wrong, such as mode.",
        )
    first: dict[str, _Sample] = {}
    for sample in log.samples:
        first.setdefault(str(sample.row.fields["id"]), sample)
    return [_Sample(sample.row, 1, scores.get(id, {})) for id, sample in first.items()]


def _chosen(file: SourceFile, samples: Sequence[_Sample], selection: Selection) -> str:
    names = [*dict.fromkeys(name for sample in samples for name in sample.scores)]
    there = ", ".join(map(plain, names)) or "none"
    if selection.metric is not None:
        if selection.metric not in names:
            raise InputError(str(file), "", f"no scorer {plain(selection.metric)!r}; scorers there: {there}")
        return selection.metric
    if len(names) != 1:
        raise InputError(
            str(file),
            "",
            f"a scorer has to be chosen that says what is correct; scorers there: {there}",
            advice=f'Choose one, as in `metric="{plain(names[0])}"`.' if names else "",
        )
    return names[0]


def _correct(row: Row, scorer: str, value: object) -> bool:
    if isinstance(value, str) and value in _TRUTH:
        return _TRUTH[value]
    if isinstance(value, (bool, int, float)) and value in (0, 1):
        return bool(value)
    raise row.error(
        f"expected C (correct), I (incorrect), N (no answer), 1 or 0, found {value!r:.40}: this score does not say "
        "whether the answer is right",
        name=f"scores.{plain(scorer)}",
    )
