"""What a sample is likely to miss is said beforehand, by the same rule as of a tie afterwards."""

from __future__ import annotations

import re
from math import sqrt

import pytest

from medbench_local import plan
from medbench_local.catalog.protocol import Scoring, load_protocol
from medbench_local.progress import Silent
from medbench_local.study.compare import run_comparison
from medbench_local.study.detectable import detectable_beforehand
from medbench_local.study.options import CompareOptions, resolve
from medbench_local.study.tools import Tools
from tests.study.conftest import Fakes


def test_three_hundred_questions() -> None:
    """By hand: (1.96 + 0.84) * sqrt(0.2 / 300) and sqrt(0.5 / 300)."""
    said = detectable_beforehand({"medqa": 300}, confidence=0.95)
    low, high = (float(number) for number in re.findall(r"\d+\.\d", said))
    assert low == pytest.approx(280 * sqrt(0.2 / 300), abs=0.1)
    assert high == pytest.approx(280 * sqrt(0.5 / 300), abs=0.1)
    assert "has to be about 7.2 to 11.4 points with 300 questions of medqa (" in said


def test_tasks_of_a_size_are_said_together() -> None:
    said = detectable_beforehand({"a": 300, "b": 100, "c": 300}, confidence=0.9)
    spans = re.findall(r"with ([\d,]+) questions of ([^;(]+?)(?: \(|;)", said)
    assert spans == [("300", "each of a and c"), ("100", "b")]


@pytest.mark.usefixtures("fakes")
def test_whatever_the_scoring() -> None:
    asked: list[Scoring] = ["thinking", "constrained"]
    thinking = load_protocol("laptop").thinking.model_copy(update={"budget": 64})
    protocol = load_protocol("laptop").model_copy(update={"thinking": thinking})
    for scoring in asked:
        cost = plan(
            "demo-med",
            "demo-base",
            tasks=["./made-up"],
            shots=[0],
            scoring=scoring,
            quant="none",
            protocol=protocol,
        )
        assert len(cost.detectable) == 1
        assert "with 60 questions of made-up" in str(cost)
        assert cost.to_dict()["detectable"] == list(cost.detectable)


class Noting(Silent):
    """Keeps the notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        """Keep it."""
        self.notes.append(text)


def test_before_the_run(fakes: Fakes) -> None:
    progress = Noting()
    options = CompareOptions(tasks=("./made-up",), shots=(0,), limit=20)
    run_comparison("demo-med", "demo-base", resolve(options), Tools(fakes.start, progress))
    assert any("points with 20 questions of made-up" in note for note in progress.notes)
