"""The log-likelihoods in a line of an lm-evaluation-harness sample log: multiple-choice tasks only.

A line holds ``doc`` (the data set's own record), ``target``, ``arguments`` (context and continuation of each
option: a list of pairs, or since 0.4.3 a mapping gen_args_0, gen_args_1, ... of arg_0 and arg_1) and ``resps``
or ``filtered_resps`` (log-likelihood and "is greedy" of each option; newer versions write both as text).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from medbench_local.files.rows import Row

_FILE = re.compile(r"samples_(?P<task>.+?)(_\d{4}-\d{2}-\d{2}T[\d.:-]+)?\.jsonl?(\.gz)?")
_OURS = {"medqa_4options": "medqa-4", "medmcqa": "medmcqa", "pubmedqa": "pubmedqa"}


@dataclass(frozen=True)
class LogLine:
    """One line of a log.

    Attributes:
        id: the data set's own id, or None.
        prompt: the context that the options continue.
        logprobs: log-likelihood of each option in nats.
        answer: index of the correct option.
        question: text and options where the record is of a known form, else None.
    """

    id: str | None
    prompt: str
    logprobs: tuple[float, ...]
    answer: int
    question: tuple[str, tuple[str, ...]] | None


def task_of_file(name: str) -> str | None:
    """The harness's name of the task whose log has this file name; None if it is none."""
    match = _FILE.fullmatch(name)
    return match["task"] if match else None


def our_task(name: str | None) -> str | None:
    """Our id of a task with this name in the harness; None if it is not one of ours."""
    if name is not None and name.startswith("mmlu_"):
        return name.replace("_", "-")
    return _OURS.get(name or "")


def is_log(row: Row) -> bool:
    """Whether a row is a line of such a log."""
    return "doc" in row.fields and ("resps" in row.fields or "filtered_resps" in row.fields)


def read_log_line(row: Row) -> LogLine:
    """The line as numbers.

    Raises:
        InputError: it is of another kind of task, or does not agree with itself.
    """
    logprobs = _likelihoods(row)
    prompt, options = _arguments(row)
    if len(options) != len(logprobs):
        raise row.error(
            f"{len(options)} continuations, but {len(logprobs)} log-likelihoods", name="arguments"
        )
    doc = row.value("doc")
    if not isinstance(doc, dict):
        raise row.error("expected a mapping", name="doc")
    record = Row(row.file, f"{row.where}, key 'doc'", doc)
    return LogLine(
        id=own_id(record),
        prompt=prompt,
        logprobs=logprobs,
        answer=_answer(row, options, logprobs),
        question=question_of(record),
    )


def _likelihoods(row: Row) -> tuple[float, ...]:
    name = "filtered_resps" if "filtered_resps" in row.fields else "resps"
    responses = row.value(name)
    if not isinstance(responses, list) or not 2 <= len(responses) <= 26:
        raise row.error("expected the responses of 2 to 26 options (a multiple-choice task)", name=name)
    values = []
    for response in responses:
        # "resps" has one more layer: the repeats of one request
        pair = response[0] if isinstance(response, list) and len(response) == 1 else response
        if not isinstance(pair, list) or len(pair) != 2 or str(pair[1]) not in ("True", "False"):
            raise row.error(
                f"expected [log-likelihood, is greedy] for each option, found {response!r:.60}", name=name
            )
        values.append(_number(row, name, pair[0]))
    if max(values) == -math.inf:
        raise row.error("no option is possible", name=name)
    return tuple(values)


def _number(row: Row, name: str, value: object) -> float:
    try:
        number = float(value) if isinstance(value, (str, float, int)) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if math.isnan(number) or number > 1e-3:
        raise row.error(f"expected a log-likelihood (0 or below), found {value!r:.40}", name=name)
    return number


def argument_pairs(row: Row) -> list[Any]:
    """The arguments of each request, in both forms that logs have: mostly a context and a continuation."""
    value = row.fields.get("arguments")
    if isinstance(value, dict):
        numbered = [value.get(f"gen_args_{i}") for i in range(len(value))]
        return [[a.get("arg_0"), a.get("arg_1")] if isinstance(a, dict) else a for a in numbered]
    return value if isinstance(value, list) else []


def _arguments(row: Row) -> tuple[str, tuple[str, ...]]:
    """The common context, and what each option adds to it."""
    row.value("arguments")
    pairs = argument_pairs(row)
    contexts, options = [], []
    for pair in pairs:
        if not isinstance(pair, list) or len(pair) != 2:
            raise row.error("expected a context and a continuation for each option", name="arguments")
        contexts.append(row.readable(pair[0], "arguments"))
        options.append(row.readable(pair[1], "arguments"))
    if len(set(contexts)) != 1:
        raise row.error("expected the same context for every option", name="arguments")
    return contexts[0], tuple(options)


def _answer(row: Row, options: tuple[str, ...], logprobs: tuple[float, ...]) -> int:
    """The correct option: ``target`` is its index or its text; ``acc`` must agree with the choice."""
    target = row.value("target")
    texts = [option.strip() for option in options]
    found: set[int] = set()
    if isinstance(target, (int, str)) and not isinstance(target, bool):
        text = str(target).strip()
        if re.fullmatch(r"\d{1,2}", text) and int(text) < len(options):
            found.add(int(text))
        found.update(i for i, option in enumerate(texts) if option == text)
    correct = row.fields.get("acc")
    if correct is not None:
        if correct not in (0, 1):
            raise row.error(f"expected 0 or 1, found {correct!r:.40}", name="acc")
        chosen = logprobs.index(max(logprobs))
        agreeing = {i for i in found if (i == chosen) == bool(correct)}
        if found and not agreeing:
            raise row.error("it contradicts the log-likelihoods and the target", name="acc")
        found = agreeing
    if len(found) != 1:
        raise row.error(
            f"expected the index or the text of exactly one option, found {target!r:.60}", name="target"
        )
    return found.pop()


def own_id(record: Row) -> str | None:
    """The id that the data set gives a record, or None."""
    for name in ("id", "PMID", "pubid"):
        value = record.fields.get(name)
        if isinstance(value, (str, int)) and not isinstance(value, bool):
            return str(value)
    return None


def question_of(record: Row) -> tuple[str, tuple[str, ...]] | None:
    """Text and options of the records of MMLU, MedMCQA and four-option MedQA."""
    fields = record.fields
    if isinstance(fields.get("choices"), list) and "question" in fields:
        return record.text("question").strip(), record.texts("choices")
    for text, options in (
        ("question", ("opa", "opb", "opc", "opd")),
        ("sent1", ("ending0", "ending1", "ending2", "ending3")),
    ):
        if all(name in fields for name in (text, *options)):
            return record.text(text).strip(), tuple(record.text(name) for name in options)
    return None
