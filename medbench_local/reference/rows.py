"""Per-question results for `validate`: checked, with options as numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase

from medbench_local.errors import InputError
from medbench_local.files.hashes import prompt_sha256, text_sha256
from medbench_local.files.rows import Row, listed
from medbench_local.reference.readers import lm_eval
from medbench_local.reference.readers.reading import Results
from medbench_local.reference.readers.record import Record, Selection
from medbench_local.reference.shown import places_of, prompt_with_pictures_sha256


@dataclass(frozen=True)
class ResultRow:
    """What one model answered to one question.

    Attributes:
        file: the file that it was read from.
        where: its place in the file, "line 12".
        task: task id, or None where the file does not say.
        model: the model's name, or None.
        role: "medical" or "base" in our own samples, else None.
        shots: demonstrations in the prompt, or None.
        scoring: how the answer was found, or None.
        thinkers: in which of the comparisons of models of which some think: "both", "medical", "none"; or None.
        id: the question's id, or None.
        prompt_sha256: hash of the prompt's text, or None.
        text_sha256: hash of the question's text and options, or None; see `text_sha256`.
        logprobs: log-probability of each option in nats, as compared (of cloze, in nats a byte), or None.
        prediction: index of the chosen option, one of the most probable ones; None if there is no answer.
        answer: index of the correct option, or None where the file does not say.
        thought: what was thought before the answer and how it ended, or None where nothing was.
        pictures: hashes of the question's pictures; of an exported prompt, of those at its last place, which is the
            question's. None where the row says nothing of pictures.
    """

    file: str
    where: str
    task: str | None
    model: str | None
    role: str | None
    shots: int | None
    scoring: str | None
    thinkers: str | None
    id: str | None
    prompt_sha256: str | None
    text_sha256: str | None
    logprobs: tuple[float, ...] | None
    prediction: int | None
    answer: int | None
    thought: tuple[str, str] | None
    pictures: frozenset[str] | None = None


def read_rows(
    path: Path,
    *,
    model: str | None = None,
    task: str | None = None,
    metric: str | None = None,
    filter: str | None = None,
) -> tuple[ResultRow, ...]:
    """Read results of any format that `medbench_local.reference.readers.reading.Results` knows.

    A row is one of: a line of our own ``samples/*.jsonl``; a row of ``prompts export`` with ``prediction`` or
    ``logprobs`` added; a line of an lm-evaluation-harness sample log (``--log_samples``) of a multiple-choice task; a
    sample of an inspect_ai log whose scorer names the chosen option.

    Args:
        path: the file, or a folder of ``*.jsonl`` files, such as a run's.
        model: name of the model where the rows do not say; what logs of other tools call it is not used.
        task: task id where the rows do not say; the name of a harness log tells it as well.
        metric: the scorer of an inspect_ai log; of a harness log only ``acc``, which follows the log-likelihoods.
        filter: the filter of a harness log that has several.

    Raises:
        InputError: a row is not such a row, or contradicts itself: its prediction is not the most probable
            of its options, or ``correct`` is not what prediction and answer say; or a choice is missing.
    """
    selection = Selection(metric=metric, filter=filter, task=task, likelihoods=True)
    return tuple(
        _from_log(record, record.log_line, model) if record.log_line is not None else _own(record, model)
        for record in Results(path, selection)
    )


def read_samples(run: Path) -> tuple[ResultRow, ...]:
    """All samples of a run folder.

    Raises:
        InputError: it has none, or a line is malformed.
    """
    if not any((run / "samples").glob("*.jsonl")):
        raise InputError(
            run, "samples", "no samples", advice="Give the folder of a finished run; `list_runs()` has them."
        )
    return read_rows(run)


def _from_log(record: Record, line: Row, model: str | None) -> ResultRow:
    logged = lm_eval.read_log_line(line)
    if record.scored_by not in ("acc", "log-likelihood"):
        raise line.error(
            "this metric does not follow from the log-likelihoods, which are compared here; take 'acc', or none",
            name=str(record.scored_by),
        )
    question = logged.question
    return ResultRow(
        file=str(line.file),
        where=line.where,
        task=record.task or lm_eval.our_task(record.log_task),
        model=model,
        role=None,
        shots=None,
        scoring=None,
        thinkers=None,
        id=logged.id,
        prompt_sha256=prompt_sha256(logged.prompt),
        text_sha256=text_sha256(*question) if question else None,
        logprobs=logged.logprobs,
        prediction=logged.logprobs.index(max(logged.logprobs)),
        answer=logged.answer,
        thought=None,
    )


def _own(record: Record, model: str | None) -> ResultRow:
    row = record.row
    labels = row.texts("options") if "options" in row.fields else None
    logprobs = _logprobs(row)
    if logprobs is None and "prediction" not in row.fields:
        raise row.error(
            f"expected 'prediction' or 'logprobs' (one for each option); the row has {listed(row.fields)}"
        )
    if labels is not None and logprobs is not None and len(labels) != len(logprobs):
        raise row.error(f"{len(labels)} options, but {len(logprobs)} log-probabilities", name="logprobs")
    count = len(labels) if labels is not None else len(logprobs) if logprobs is not None else None
    if "prediction" in row.fields:
        prediction = _option(row, "prediction", labels, count)
        _need_most_probable(row, prediction, logprobs)
    else:
        prediction = logprobs.index(max(logprobs)) if logprobs is not None else None
    answer = _option(row, "answer", labels, count)
    _need_agreement(record, prediction, answer)
    named = record.scored_by is None  # other tools have names of their own for models and scoring
    return ResultRow(
        file=str(row.file),
        where=row.where,
        task=record.task or lm_eval.our_task(record.log_task),
        model=(_text(row, "model") if named else None) or model,
        role=_text(row, "role"),
        shots=row.integer("shots", 0, 10_000) if row.fields.get("shots") is not None else None,
        scoring=_text(row, "scoring") if named else None,
        thinkers=_text(row, "thinkers") if named else None,
        id=record.id,
        prompt_sha256=_prompt_hash(row),
        text_sha256=_hash(row, "text_sha256"),
        logprobs=logprobs,
        prediction=prediction,
        answer=answer,
        thought=_thought(row) if named else None,
        pictures=_pictures(row) if named else None,
    )


def _pictures(row: Row) -> frozenset[str] | None:
    """Of a question: as samples have them under "images", or as an exported prompt has them at its places."""
    if places := places_of(row):
        return frozenset(picture.sha256 for picture in places[-1]) or None
    found = row.fields.get("images")
    if not isinstance(found, list) or not all(isinstance(one, str) and _is_hash(one) for one in found):
        return None  # names of files
    return frozenset(found) or None


def _thought(row: Row) -> tuple[str, str] | None:
    """The text and the end of what was thought, as our own samples and the reference have them."""
    found = row.fields.get("thinking")
    if found is None:
        return None
    text, end = (found.get(name) if isinstance(found, dict) else None for name in ("text", "end"))
    if not isinstance(text, str) or not isinstance(end, str):
        raise row.error("expected an object with the texts 'text' and 'end'", name="thinking")
    return text, end


def _need_most_probable(row: Row, prediction: int | None, logprobs: Sequence[float] | None) -> None:
    """Of equally probable options any may be chosen."""
    if logprobs is None or (prediction is not None and logprobs[prediction] == max(logprobs)):
        return
    best = logprobs.index(max(logprobs))
    chosen = "none is predicted" if prediction is None else f"option {prediction} is predicted"
    raise row.error(
        f"{chosen}, but option {best} is the most probable one by the row's own 'logprobs' (options are counted "
        "from 0; log-probabilities must be those that the prediction was made by: of cloze, in nats a byte)",
        name="prediction",
    )


def _need_agreement(record: Record, prediction: int | None, answer: int | None) -> None:
    if answer is None or record.correct is None:
        return
    if record.correct != (prediction == answer):
        raise record.row.error("it contradicts the row's own prediction and answer", name="correct")


def _text(row: Row, name: str) -> str | None:
    return row.text(name) if row.fields.get(name) is not None else None


def _prompt_hash(row: Row) -> str | None:
    given = _hash(row, "prompt_sha256")
    if row.fields.get("prompt") is None:
        return given
    prompt = row.text("prompt")
    if (places := places_of(row)) is not None:
        found = prompt_with_pictures_sha256(prompt, places)
        if found is None:
            problem = f"{len(places)} places, but the prompt does not say <image> so often"
            raise row.error(problem, name="images")
        computed = found
    elif row.fields.get("images"):
        return given  # the prompt's text does not say which pictures were shown
    else:
        computed = prompt_sha256(prompt)
    if given not in (None, computed):
        raise row.error("it is not the hash of the row's own prompt", name="prompt_sha256")
    return computed


def _hash(row: Row, name: str) -> str | None:
    value = _text(row, name)
    if value is not None and not _is_hash(value):
        raise row.error("expected a SHA-256 hash, 64 hexadecimal digits", name=name)
    return value


def _is_hash(value: str) -> bool:
    return len(value) == 64 and not set(value) - set("0123456789abcdef")


def _logprobs(row: Row) -> tuple[float, ...] | None:
    values = row.fields.get("logprobs")
    if values is None or values == []:
        return None
    if not isinstance(values, list):
        raise row.error("expected a list of numbers, one for each option", name="logprobs")
    return checked_logprobs(row, "logprobs", values)


def checked_logprobs(row: Row, name: str, values: Sequence[object]) -> tuple[float, ...]:
    """``values`` as log-probabilities of at least two options, at least one of them possible.

    Raises:
        InputError: they are not.
    """
    result = []
    for value in values:
        try:
            number = (
                math.nan if isinstance(value, bool) or not isinstance(value, (int, float)) else float(value)
            )
        except OverflowError:  # a whole number of more than 308 digits
            number = math.nan
        if math.isnan(number) or number > 1e-3:
            raise row.error(f"expected log-probabilities (0 or below), found {value!r:.40}", name=name)
        result.append(number)
    if not 2 <= len(result) <= len(ascii_uppercase) or max(result) == -math.inf:
        raise row.error("expected the log-probabilities of 2 to 26 options, one at least finite", name=name)
    return tuple(result)


def _option(row: Row, name: str, labels: Sequence[str] | None, count: int | None) -> int | None:
    """An option given by index, by letter or by its label; None for null, "" and -1."""
    value = row.fields.get(name)
    if value is None or value == "" or (value == -1 and not isinstance(value, bool)):
        return None
    limit = count if count is not None else len(ascii_uppercase)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < limit:
        return value
    if isinstance(value, str):
        text = value.strip()
        stripped = [label.strip() for label in labels or ()]
        if stripped.count(text) == 1:
            return stripped.index(text)
        if len(text) == 1 and text in ascii_uppercase[:limit]:
            return ascii_uppercase.index(text)
        if row.file.kind == ".csv" and text.isascii() and text.isdigit() and int(text[:3]) < limit:
            return int(text)
    raise row.error(
        f"expected an option: its index from 0 to {limit - 1}, its letter or its label; found {value!r:.40}",
        name=name,
    )
