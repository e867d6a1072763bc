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
    found = match_rows(samples, [result(prompt_sha256="p2"), result(text_sha256="t1")])
    assert [(m.sample.id, m.by) for m in found.matches] == [("1", "text"), ("2", "prompt")]
    assert [m.prompt for m in found.matches] == ["unknown", "same"]
    assert found.unmatched_samples == found.unmatched_reference == 0


def test_the_same_prompt_does_not_stand_against_another_text() -> None:
    """A cloze prompt does not show the options."""
    samples = [result(**CELL, id="1", prompt_sha256="p", text_sha256="t1")]
    found = match_rows(samples, [result(prompt_sha256="p", text_sha256="t2")])
    assert (found.matches, found.unmatched_reference) == ((), 1)


def test_the_prompt_that_was_asked_is_found_among_others() -> None:
    """A reference with every format of the prompt, in any order: only one of them was asked."""
    samples = [result(**CELL, id="1", prompt_sha256="p3", text_sha256="t1")]
    rows = [
        result(task="t", id="1", prompt_sha256=f"p{k}", text_sha256="t1", prediction=k % 3) for k in range(6)
    ]
    for order in (rows, rows[::-1]):
        found = match_rows(samples, order)
        assert [(m.reference.prompt_sha256, m.by) for m in found.matches] == [("p3", "id and prompt")]
        assert (found.unmatched_reference, found.duplicates, found.conflicting) == (5, 0, 0)
    found = match_rows(samples, [row for row in rows if row.prompt_sha256 != "p3"])
    assert [m.prompt for m in found.matches] == ["other"]
    assert (found.unmatched_reference, found.conflicting) == (4, 0)


def test_a_row_without_a_prompt_is_rather_used_than_one_with_another() -> None:
    samples = [result(**CELL, id="1", prompt_sha256="p")]
    rows = [result(task="t", id="1", prompt_sha256="q"), result(task="t", id="1")]
    (match,) = match_rows(samples, rows).matches
    assert match.prompt == "unknown"


def test_the_role_tells_two_models_of_one_name_apart() -> None:
    samples = [result(**CELL, role=role, id="1", prompt_sha256="p") for role in ("medical", "base")]
    assert match_rows(samples, [result(prompt_sha256="p", model="m")]).ambiguous == 1
    (match,) = match_rows(samples, [result(prompt_sha256="p", role="base")]).matches
    assert match.sample.role == "base"
    (match,) = match_rows(samples[:1], [result(prompt_sha256="p", role="base")]).matches
    assert match.sample.role == "medical", "the medical model of one pair may be the base of another"


def test_other_questions_under_the_same_id() -> None:
    samples = [result(**CELL, id=str(i), text_sha256=f"t{i}") for i in range(4)]
    shifted = [result(task="t", id=str(i + 1), text_sha256=f"t{i}") for i in range(4)]
    found = match_rows(samples, shifted)
    assert [row.id for row in found.other_questions] == ["1", "2", "3"]
    assert match_rows(samples, samples).other_questions == ()
    elsewhere = [result(task="u", id="1", text_sha256="x"), result(id="1", text_sha256="x")]
    assert match_rows(samples, elsewhere).other_questions == ()


def test_cells_that_are_meant() -> None:
    samples = [result(**(CELL | {"task": task}), id="1", prompt_sha256=task) for task in "tu"]
    found = match_rows(samples, [result(prompt_sha256="t"), result(task="u", id="2"), result(id="3")])
    assert [cell.task for cell in found.addressed] == ["t", "u"]
    assert [str(cell) for cell in found.cells] == ["m t, 0-shot, constrained", "m u, 0-shot, constrained"]
    assert [cell.task for cell in match_rows(samples, [result(id="3")]).addressed] == []


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
    assert [(m.sample.id, m.reference.id) for m in by_id.matches] == [("1", "1"), ("2", "2")]


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
    assert all(m.sample.id == m.reference.id and m.by == "id and prompt" for m in found.matches)
