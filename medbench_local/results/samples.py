"""The lines of ``samples/*.jsonl``: one question each, with everything needed to check its score.

``images`` are the SHA-256 hashes of the question's pictures, where it has any.
``target`` and ``acc`` repeat ``answer`` and ``correct`` under the names that users of lm-evaluation-harness know.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from medbench_local.files.hashes import text_sha256
from medbench_local.results.record import Thinkers
from medbench_local.results.record import samples_name as samples_name
from medbench_local.scoring.answers import Answer
from medbench_local.tasks.question import Question


def _thinking(answer: Answer) -> dict[str, Any]:
    """What was thought before the answer, where something was."""
    thought = answer.thought
    if thought is None:
        return {}
    said = {"tokens": thought.tokens, "end": thought.end, "loops": thought.loops, "text": thought.text}
    return {"thinking": said}


def sample_rows(
    questions: Sequence[Question],
    answers: Sequence[Answer],
    *,
    model: str,
    role: str,
    precision: str,
    task: str,
    shots: int,
    scoring: str,
    thinkers: Thinkers | None = None,
) -> Iterator[dict[str, Any]]:
    """One row a question, in the questions' order."""
    for question, answer in zip(questions, answers, strict=True):
        correct = answer.prediction == question.answer
        yield {
            "task": task,
            "shots": shots,
            "scoring": scoring,
            **({} if thinkers is None else {"thinkers": thinkers}),
            "model": model,
            "role": role,
            "precision": precision,
            "id": question.id,
            "prompt_sha256": answer.prompt_sha256,
            "text_sha256": text_sha256(question.text, question.options),
            **({"images": [picture.sha256 for picture in question.pictures]} if question.pictures else {}),
            "tokens": answer.tokens,
            "dropped_demonstrations": answer.dropped,
            "overlong": answer.overlong,
            "logprobs": list(answer.logprobs),
            "mass": answer.mass,
            "text": answer.text,
            **_thinking(answer),
            "prediction": answer.prediction,
            "answer": question.answer,
            "correct": correct,
            "target": question.answer,
            "acc": int(correct),
        }
