"""What the lines of an lm-evaluation-harness log say is correct, by one metric and one filter.

Layout of versions 0.4.0 to 0.4.13: a line a question **and filter**, with ``doc_id``, ``doc`` (the data set's own
record), ``target``, ``arguments``, ``resps``, ``filtered_resps``, ``filter``, ``metrics`` (the names of the metrics),
hashes, and each metric under its own name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from string import ascii_uppercase

from medbench_local.errors import InputError
from medbench_local.files.hashes import prompt_sha256, text_sha256
from medbench_local.files.rows import Row, plain
from medbench_local.reference.readers import lm_eval
from medbench_local.reference.readers.record import Record, Selection

_NO_METRIC = frozenset(
    (
        *("doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics"),
        *("doc_hash", "prompt_hash", "target_hash"),
    )
)
_TEXTS = ("question", "QUESTION", "sent1", "query")
"""Under these names records have the question's text."""


class LogScores:
    """Reads the lines of one log, one after the other.

    Args:
        selection: the metric and the filter that are wanted.
        task: the harness's name of the task, or None.
    """

    def __init__(self, selection: Selection, task: str | None) -> None:
        self._selection, self._task = selection, task
        self._filters: list[str] = []
        self._metric: str | None = None
        self._chosen = False

    def record(self, row: Row) -> Record | None:
        """The record of a line; None if it is another filter's.

        Raises:
            InputError: a choice is missing, or the line is malformed or contradicts itself.
        """
        name = str(row.fields.get("filter", "none"))
        if name not in self._filters:
            self._filters.append(name)
        if name != (self._selection.filter or self._filters[0]):
            return None
        if not self._chosen:
            self._chosen, self._metric = True, _chosen(row, self._selection)
        return self._record(row, name)

    def _record(self, row: Row, filtered: str) -> Record:
        doc = row.value("doc")
        if not isinstance(doc, dict):
            raise row.error("expected a mapping", name="doc")
        document = Row(row.file, f"{row.where}, key 'doc'", doc)
        fields: dict[str, object] = {"id": lm_eval.own_id(document) or row.fields.get("doc_id")}
        metric = self._metric
        if metric is not None:
            fields["correct"] = _correct(row, metric)
            fields["scoring"] = metric if filtered == "none" else f"{metric} of {filtered}"
        if self._selection.task is not None:
            fields["task"] = self._selection.task
        fields |= _question(row, document)
        fields["answer"] = _answer(row, checked=metric == "acc" and not self._selection.likelihoods)
        kept = Row(row.file, row.where, fields)
        return Record(kept, scored_by=metric or "log-likelihood", log_task=self._task, log_line=row)

    def finish(self, path: str) -> None:
        """After the last line.

        Raises:
            InputError: lines of several filters were there and none was chosen, or the chosen one was not there.
        """
        wanted, there = self._selection.filter, ", ".join(map(plain, self._filters))
        if wanted is not None and self._filters and wanted not in self._filters:
            raise InputError(path, "", f"no line of the filter {plain(wanted)!r}; filters there: {there}")
        if wanted is None and len(self._filters) > 1:
            raise InputError(
                path,
                "",
                f"every question is there once a filter, and none is chosen: {there}",
                advice=f'Choose one, as in `filter="{plain(self._filters[0])}"`.',
            )


def _chosen(row: Row, selection: Selection) -> str | None:
    """The metric to take, found by the first line.

    Raises:
        InputError: there are several, none, or not the one that is wanted.
    """
    names = _metrics(row)
    there = ", ".join(map(plain, names)) or "none"
    if selection.metric is not None:
        if selection.metric not in row.fields or selection.metric in _NO_METRIC:
            raise row.error(f"no metric {plain(selection.metric)!r}; metrics of one number there: {there}")
        return selection.metric
    if selection.likelihoods:
        return "acc" if "acc" in names else None
    if len(names) != 1:
        raise InputError(
            str(row.file),
            row.where,
            f"a metric has to be chosen that says what is correct; metrics of one number there: {there}",
            advice=f'Choose one, as in `metric="{plain(names[0])}"`.' if names else "",
        )
    return names[0]


def _metrics(row: Row) -> list[str]:
    """Names of the metrics whose value is one number; older logs do not list them."""
    listed = row.fields.get("metrics")
    names = listed if isinstance(listed, list) else [name for name in row.fields if name not in _NO_METRIC]
    return [
        name for name in names if isinstance(name, str) and isinstance(row.fields.get(name), (int, float))
    ]


def _correct(row: Row, metric: str) -> bool:
    value = row.value(metric)
    if value not in (0, 1):
        raise row.error(
            f"expected 1 (correct) or 0 (wrong), found {value!r:.40}: this metric does not say what is correct",
            name=metric,
        )
    return bool(value)


def _question(row: Row, document: Row) -> Mapping[str, object]:
    """What tells the question: its text and options, or else the hash of its record."""
    found: dict[str, object] = {}
    known = lm_eval.question_of(document)
    if known:
        text, options = known
        found |= {"question": text, "options": [*options], "text_sha256": text_sha256(text, options)}
    text_there = next((document.fields[name] for name in _TEXTS if name in document.fields), None)
    if isinstance(text_there, str):
        found["question"] = text_there
    elif isinstance(hashed := row.fields.get("doc_hash"), str):
        found["document_sha256"] = hashed
    contexts = {pair[0] for pair in lm_eval.argument_pairs(row) if isinstance(pair, list) and _is_text(pair)}
    if len(contexts) == 1:
        found["prompt_sha256"] = prompt_sha256(row.readable(contexts.pop(), "arguments"))
    return found


def _is_text(pair: list[object]) -> bool:
    return bool(pair) and isinstance(pair[0], str)


def _answer(row: Row, *, checked: bool) -> object:
    """The correct option as a letter where the line has log-likelihoods of options, else the target as it stands.

    Args:
        row: the line.
        checked: whether ``acc`` must follow from log-likelihoods and target.

    Raises:
        InputError: it does not.
    """
    target = row.fields.get("target")
    several = isinstance(target, list) or (isinstance(target, str) and target.startswith("["))
    if not several and _has_likelihoods(row):
        if checked and "acc_mutual_info" not in row.fields:
            return ascii_uppercase[lm_eval.read_log_line(row).answer]
        text = str(target).strip()
        if re.fullmatch(r"\d{1,2}", text) and int(text) < len(ascii_uppercase):
            return ascii_uppercase[int(text)]
    return target if isinstance(target, (str, int, float)) and not several else None


def _has_likelihoods(row: Row) -> bool:
    """Whether the responses are pairs of log-likelihood and "is greedy", of two options or more."""
    responses = row.fields.get("filtered_resps", row.fields.get("resps"))
    if not isinstance(responses, list) or len(responses) < 2:
        return False
    return all(isinstance(each, list) and (len(each) == 2 or len(each) == 1) for each in responses)
