"""Matching: the order of its rules, what must agree, and that nothing is dropped uncounted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from medbench_local.reference.match import match_rows
from medbench_local.reference.rows import ResultRow
from tests.reference.written import result

CELL = {"model": "m", "task": "t", "shots": 0, "scoring": "constrained"}


def test_the_prompt_comes_first() -> None:
    samples = [
        result(**CELL, id="1", prompt_sha256="p1", text_sha256="t1"),
        result(**CELL, id="2", prompt_sha256="p2", text_sha256="t2"),
    ]
    found = match_rows(samples, [result(prompt_sha256="p2", text_sha256="t1"), result(text_sha256="t1")])
    assert [(m.sample.id, m.by) for m in found.matches] == [("2", "prompt"), ("1", "text")]
    assert found.unmatched_samples == found.unmatched_reference == 0


def test_an_id_does_not_stand_against_a_differing_text() -> None:
    samples = [result(**CELL, id="1", text_sha256="t1")]
    assert match_rows(samples, [result(task="t", id="1", text_sha256="other")]).unmatched_reference == 1
    (match,) = match_rows(samples, [result(task="t", id="1")]).matches
    assert match.by == "id"
    assert match_rows(samples, [result(id="1")]).unmatched_reference == 1


def test_what_both_state_must_agree() -> None:
    samples = [result(**CELL, id="1", prompt_sha256="p")]
    for other in ({"model": "n"}, {"task": "u"}, {"shots": 3}, {"scoring": "label"}, {"id": "2"}):
        assert match_rows(samples, [result(prompt_sha256="p", **other)]).unmatched_reference == 1


def test_two_models_with_the_same_prompt() -> None:
    samples = [result(**(CELL | {"model": name}), id="1", prompt_sha256="p") for name in ("m", "n")]
    assert match_rows(samples, [result(prompt_sha256="p")]).ambiguous == 1
    found = match_rows(samples, [result(prompt_sha256="p", model="n")])
    assert [m.sample.model for m in found.matches] == ["n"]
    assert found.unmatched_samples == 1


def test_duplicates_are_counted() -> None:
    samples = [result(**CELL, id="1", prompt_sha256="p")]
    rows = [result(prompt_sha256="p", prediction=k) for k in (1, 1, 2)]
    found = match_rows(samples, rows)
    assert (len(found.matches), found.duplicates, found.conflicting) == (1, 1, 1)
    assert found.matches[0].reference.prediction == 1


def test_a_question_that_a_task_has_twice() -> None:
    samples = [result(**CELL, id=i, prompt_sha256="p") for i in "12"]
    found = match_rows(samples, [result(prompt_sha256="p"), result(prompt_sha256="p", id="1")])
    assert len(found.matches) + found.duplicates + found.conflicting == 2
    by_id = match_rows(samples, [result(prompt_sha256="p", id="2"), result(prompt_sha256="p", id="1")])
    assert [m.sample.id for m in by_id.matches] == ["2", "1"]


few = st.sampled_from([None, "1", "2"])
rows = st.lists(
    st.builds(
        lambda model, task, id, prompt, text, prediction: result(
            model=model, task=task, id=id, prompt_sha256=prompt, text_sha256=text, prediction=prediction
        ),
        few,
        few,
        few,
        few,
        few,
        st.sampled_from([None, 0, 1]),
    ),
    max_size=8,
)


@given(rows, rows)
def test_every_row_is_accounted_for(samples: list[ResultRow], reference: list[ResultRow]) -> None:
    found = match_rows(samples, reference)
    left_over = found.unmatched_reference + found.duplicates + found.conflicting + found.ambiguous
    assert len(found.matches) + left_over == len(reference)
    assert len(found.matches) + found.unmatched_samples == len(samples)


@given(st.integers(1, 20))
def test_a_run_matches_itself(n: int) -> None:
    samples = [result(**CELL, id=str(i), prompt_sha256=f"p{i}", text_sha256=f"t{i}") for i in range(n)]
    found = match_rows(samples, list(reversed(samples)))
    assert len(found.matches) == n
    assert all(m.sample.id == m.reference.id and m.by == "prompt" for m in found.matches)
