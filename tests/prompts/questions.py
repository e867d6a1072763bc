"""Questions for the tests of this room."""

from __future__ import annotations

from hypothesis import strategies as st

from medbench_local.tasks.question import Question

ASKED = Question("q1", "Longest bone?", ("Femur", "Tibia", "Ulna"), 0)
SHOWN = Question("d1", "Prevents scurvy?", ("A", "C", "D"), 1)
SHOWN_TOO = Question("d2", "Insulin comes from the", ("spleen", "liver", "pancreas"), 2)

texts = st.text(min_size=1, max_size=40)


@st.composite
def questions(draw: st.DrawFn) -> Question:
    """Any question, its text stripped."""
    text = draw(texts.map(str.strip).filter(bool))
    options = tuple(draw(st.lists(texts, min_size=2, max_size=6)))
    answer = options.index(draw(st.sampled_from(options)))
    return Question("x", text, options, answer)
