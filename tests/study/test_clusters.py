"""Questions that share pictures: what stands beside their verdict, and what their samples say."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from medbench_local.catalog.protocol import BootstrapSettings
from medbench_local.prompts.prompt import Candidate
from medbench_local.results.checks import Check
from medbench_local.results.samples import sample_rows
from medbench_local.results.schema import Comparison
from medbench_local.statistics.clusters import cluster_bootstrap
from medbench_local.statistics.paired import paired_bootstrap
from medbench_local.study.prompt_search import unsearched
from medbench_local.study.verdicts import AtFullPrecision, Side, comparison, over_pictures
from medbench_local.tasks.picture import Picture
from medbench_local.tasks.question import Question
from tests.study.material import answers_of, known, questions

SETTINGS = BootstrapSettings(confidence=0.95)
UNSEARCHED = unsearched(Candidate(None, None))


def picture(name: object) -> Picture:
    return Picture(hashlib.sha256(str(name).encode()).hexdigest(), str(name))


def about(names: Sequence[Sequence[object]]) -> list[Question]:
    """Questions, each about the pictures of these names."""
    return [
        replace(question, pictures=tuple(map(picture, those)))
        for question, those in zip(questions("test", len(names)), names, strict=True)
    ]


def _answers(asked: Sequence[Question], right: Sequence[bool]) -> list[int | None]:
    return [q.answer if good else (q.answer + 1) % 4 for q, good in zip(asked, right, strict=True)]


def _compare(
    asked: Sequence[Question],
    medical: Sequence[bool],
    base: Sequence[bool],
    found: AtFullPrecision | None = None,
) -> Comparison:
    return comparison(
        task="made-up",
        shots=0,
        scoring="constrained",
        precision="q8_0",
        questions=asked,
        medical=Side(UNSEARCHED, answers_of(_answers(asked, medical))),
        base=Side(UNSEARCHED, answers_of(_answers(asked, base))),
        shared_prompt=None,
        settings=SETTINGS,
        near_tie=0.01,
        reference_near_tie=0.01,
        found=found or known(len(asked)),
    )


# Twelve questions about two pictures, which only the medical model answers, and sixty about pictures of their own.
NAMES = [[place // 6] for place in range(12)] + [[place] for place in range(100, 160)]
BOTH = [True] * 12 + [True, False] * 30, [False] * 12 + [True, False] * 30


def test_a_win_over_questions_is_a_tie_over_pictures() -> None:
    found = _compare(about(NAMES), *BOTH)
    over_questions = paired_bootstrap(*BOTH)
    assert (found.verdict, found.ci) == ("win", (over_questions.low, over_questions.high))
    beside = found.clusters
    assert beside is not None
    direct = cluster_bootstrap(*BOTH, [those[0] for those in NAMES])
    assert (beside.by, beside.n, beside.ci, beside.verdict) == ("picture", 62, (0.0, direct.high), "tie")
    assert beside.largest == 6
    assert [tuple(kind.model_dump().values()) for kind in beside.kinds] == [(1, 0, 60), (6, 6, 2)]


def test_without_shared_pictures_nothing_stands_beside_and_nothing_is_written() -> None:
    alone = _compare(about([[place] for place in range(72)]), *BOTH)
    none = _compare(questions("test", 72), *BOTH)
    assert alone == none
    assert none.clusters is None
    assert "clusters" not in none.model_dump(mode="json")
    assert "clusters" not in none.model_dump_json()


def test_questions_that_share_any_picture_are_one_cluster() -> None:
    asked = about([["a", "b"], ["c"], ["b", "d"], [], ["d"], [], ["e"], ["e"]])
    right = answers_of(_answers(asked, [True] * 8))
    wrong = answers_of(_answers(asked, [False] * 8))
    found = over_pictures(asked, right, wrong, SETTINGS)
    assert found is not None
    assert [(kind.questions, kind.clusters) for kind in found.kinds] == [(1, 3), (2, 1), (3, 1)]
    assert found.n == 5


def test_the_content_of_a_picture_counts_not_its_name() -> None:
    one, other = questions("test", 2)
    first = picture("x")
    asked = [
        replace(one, pictures=(first,)),
        replace(other, pictures=(Picture(first.sha256, "another name"),)),
    ]
    answers = answers_of([0, 0])
    found = over_pictures(asked, answers, answers, SETTINGS)
    assert found is not None
    assert found.n == 1


def test_it_is_of_full_precision_where_that_is_reported() -> None:
    asked = about(NAMES)
    full = [False] * 12 + [True, False] * 30
    everything = Check(
        state="full", against="full", confidence=1.0, checked=72, of=72, possible_verdicts=("tie",)
    )
    at_full = answers_of(_answers(asked, full))
    found = _compare(asked, *BOTH, AtFullPrecision(everything, at_full, at_full))
    assert found.precision == "full"
    assert found.clusters is not None
    assert found.clusters.ci == (0.0, 0.0)
    some = Check(
        state="confident", against="full", confidence=0.95, checked=40, of=72, possible_verdicts=("win",)
    )
    found = _compare(asked, *BOTH, AtFullPrecision(some))
    assert found.precision == "q8_0"
    assert found.clusters is not None
    assert found.clusters.ci[1] > 0.2


def test_clusters_of_real_sizes() -> None:
    sizes = [1] * 67 + [2] * 49 + [3] * 18 + [4] * 8 + [5] * 3 + [6]
    names = [[name] for name, size in enumerate(sizes) for _ in range(size)]
    generator = np.random.default_rng(1)
    medical, base = (generator.random((2, len(names))) < [[0.7], [0.6]]).tolist()
    found = _compare(about(names), medical, base)
    assert found.n == 272
    assert found.clusters is not None
    assert found.clusters.n == 146


def test_samples_have_the_hashes_of_pictures_where_there_are_any() -> None:
    asked = [*about([["a", "b"]]), questions("test", 2)[1]]
    first, second = sample_rows(
        asked,
        answers_of([0, 1]),
        model="m",
        role="medical",
        precision="full",
        task="made-up",
        shots=0,
        scoring="constrained",
    )
    assert first["images"] == [picture("a").sha256, picture("b").sha256]
    assert "images" not in second
    assert [name for name in first if name != "images"] == list(second)
