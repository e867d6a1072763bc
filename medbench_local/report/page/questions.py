"""The questions of a run as the page carries them: one compressed text that cannot end the element it lies in."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

from medbench_local.report import words
from medbench_local.results.evidence import AskedQuestion, Evidence, Given
from medbench_local.results.record import Thinkers
from medbench_local.results.schema import Results

DIGITS = 4
"""Of a probability."""


def packed(results: Results, evidence: Evidence) -> str:
    """What ``questions.js`` reads: JSON, gzip, base64; "" where the folder has no questions.

    A question that several comparisons ask is in it once. The JSON's keys:

    - ``names``: of the medical and the base model.
    - ``comparisons``: ``[task, shots, thinkers or null, name for people]``.
    - ``questions``: ``[id, subject, text, options, answer, hashes of pictures]``.
    - ``rows``: ``[index of the question, index of the comparison, medical, base]``, each side as
      ``[prediction or null, probabilities, text, thought, near-tie, flipped or null]``.
    - ``pictures``: a JPEG in base64 by its picture's hash.
    """
    if not evidence.questions:
        return ""
    comparisons: dict[tuple[str, int, Thinkers | None], int] = {}
    questions: dict[tuple[Any, ...], int] = {}
    rows: list[list[Any]] = []
    for asked in evidence.questions:
        cell = (asked.task, asked.shots, asked.thinkers)
        question = (asked.task, *_question(asked))
        rows.append(
            [
                questions.setdefault(question, len(questions)),
                comparisons.setdefault(cell, len(comparisons)),
                _given(asked.medical),
                _given(asked.base),
            ]
        )
    shown = {picture for asked in evidence.questions for picture in asked.pictures}
    text = json.dumps(
        {
            "names": words.names(results),
            "comparisons": [[*cell, words.named(*cell)] for cell in comparisons],
            "questions": [question[1:] for question in questions],
            "rows": rows,
            "pictures": {
                name: base64.b64encode(content).decode("ascii")
                for name, content in evidence.thumbnails.items()
                if name in shown
            },
        },
        separators=(",", ":"),
    )
    return base64.b64encode(gzip.compress(text.encode("ascii"), mtime=0)).decode("ascii")


def _question(asked: AskedQuestion) -> tuple[Any, ...]:
    return (
        words.plain(asked.id),
        words.plain(asked.subject),
        words.lines(asked.text),
        tuple(words.lines(option) for option in asked.options),
        asked.answer,
        asked.pictures,
    )


def _given(given: Given) -> list[Any]:
    return [
        given.prediction,
        [round(share, DIGITS) for share in given.probabilities],
        words.lines(given.text),
        words.lines(given.thought),
        given.near_tie,
        given.flipped,
    ]
