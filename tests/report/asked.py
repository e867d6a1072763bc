"""Evidence made up for pages: questions with answers of every kind, and texts that try to break out."""

from __future__ import annotations

import io
from collections.abc import Sequence

from PIL import Image

from medbench_local.results.evidence import AskedQuestion, ChosenPrompt, Evidence, Given
from medbench_local.results.record import ROLES, Thinkers
from medbench_local.results.schema import Results

BREAKING_OUT = (
    "</script><script>document.title='injected'</script>",
    "<!--<script>",
    "--></textarea></style></title><img src=x onerror=\"document.title='injected'\">",
    "line\u2028and paragraph\u2029separators",
    "\u202eturned round\u202c and \u2066isolated\u2069",
    "a NUL \x00 and a bell \x07",
    '"}]}, "names": [',
    "{{ 7 * 7 }} ${7 * 7} &lt;b&gt; &#60;",
    "نص من اليمين إلى اليسار",
)
PICTURE = "ab" * 32


def jpeg() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 6), "teal").save(file, "JPEG")
    return file.getvalue()


def question(
    number: int,
    *,
    task: str = "medqa",
    shots: int = 3,
    thinkers: Thinkers | None = None,
    text: str | None = None,
) -> AskedQuestion:
    """Question ``number``; of every twelve three are answered by the medical model only, two by the base only."""
    right = number % 4
    wrong = (right + 1) % 4
    kind = number % 12
    medical = right if kind < 7 else wrong
    base = right if kind in (0, 1, 2, 3, 7, 8) else wrong
    return AskedQuestion(
        task=task,
        shots=shots,
        thinkers=thinkers,
        id=f"q/{number}",
        subject=("anatomy", "physiology", "")[number % 3],
        text=text or f"What is the diagnosis of patient number{number}?\nHe has had fever for {number} days.",
        options=tuple(f"disease {number + i}" for i in range(4)),
        answer=right,
        medical=_given(
            medical, near_tie=number % 50 == 0, text="The answer is (B)." if number % 5 == 0 else ""
        ),
        base=_given(
            base, flipped=number % 40 == 0, thought="Let me think.\n" * 30 if number % 7 == 0 else ""
        ),
        pictures=(PICTURE,) if number % 11 == 0 else (),
    )


def _given(
    prediction: int, *, near_tie: bool = False, flipped: bool = False, text: str = "", thought: str = ""
) -> Given:
    shares = tuple(0.7 if i == prediction else 0.1 for i in range(4))
    return Given(prediction, shares, text, thought, near_tie, flipped)


def evidence(questions: Sequence[AskedQuestion], results: Results) -> Evidence:
    """What a run's folder may hold beside ``results``."""
    return Evidence(
        questions=tuple(questions),
        prompts=tuple(
            ChosenPrompt(role, c.task, c.shots, c.thinkers, f"Question of {role}:\n(A) yes\n(B) no\nAnswer: ")
            for c in results.comparisons
            for role in ROLES
        ),
        command="medbench-local compare meditron-7b llama-2-7b --tasks medqa,medmcqa,pubmedqa --shots 0,3 "
        "--protocol laptop --quant q8_0 --check sample",
        started="2026-01-02T03:04:05+00:00",
        facts={"machine": "2 cores, 8 GB", "Python": "3.11"},
        notes=("Probabilities are of the options' letters.",),
        thumbnails={PICTURE: jpeg()},
    )


def some(results: Results, count: int = 60) -> Evidence:
    """``count`` questions for each comparison of ``results``."""
    return evidence(
        [
            question(number, task=c.task, shots=c.shots, thinkers=c.thinkers)
            for c in results.comparisons
            for number in range(count)
        ],
        results,
    )


def hostile(results: Results) -> Evidence:
    """Questions all of whose texts try to break out, with hostile names of tasks and files."""
    asked = [
        AskedQuestion(
            task=text,
            shots=3,
            thinkers=None,
            id=text,
            subject=text,
            text=text,
            options=(text, "other"),
            answer=0,
            medical=Given(0, (0.6, 0.4), text, text),
            base=Given(None, (), text, text),
        )
        for text in BREAKING_OUT
    ]
    prompts = tuple(ChosenPrompt("medical", text, 3, None, text) for text in BREAKING_OUT)
    everything = " ".join(BREAKING_OUT)
    return Evidence(
        tuple(asked), prompts, everything, everything, {text: text for text in BREAKING_OUT}, {}, BREAKING_OUT
    )
