"""A plan on the terminal: every number is whole at 60 columns, and says what it is."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from medbench_local.report.planned import amount
from medbench_local.report.terminal import show_plan
from medbench_local.results.cost import CellCost, ComparisonCost, ModelCost, PhaseCost

CELL = CellCost(
    task="mmlu-professional-medicine",
    shots=3,
    candidates=110,
    search=PhaseCost(5400, 5400, 9_000_000, 12_000_000),
    test=PhaseCost(1273, 1273, 700_000, 800_000),
    check=PhaseCost(585, 1273, 300_000, 800_000),
)
MEDICAL = ModelCost(
    name="meditron-7b",
    precision="q8_0",
    download=13_500_000_000,
    disk=34_000_000_000,
    ready=False,
    cells=(CELL, replace(CELL, shots=0)),
    counted="tokenizer",
    memory=8 * 2**30,
    check_memory=15 * 2**30,
    timed="machine",
    speed=40.0,
    full_speed=20.0,
)
COST = ComparisonCost(
    medical=MEDICAL,
    base=replace(MEDICAL, name="llama-2-7b", counted="allowance"),
    precisions=("q8_0",),
    warnings=(),
    detectable=("With 1,273 questions …",),
    memory_free=20 * 2**30,
)


def shown(cost: ComparisonCost, width: int) -> list[str]:
    """The lines on a terminal."""
    console = Console(file=io.StringIO(), width=width)
    console.print(show_plan(cost))
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text.splitlines()


@pytest.mark.parametrize("width", [60, 80, 120])
def test_numbers_are_whole_at_every_width(width: int) -> None:
    lines = shown(COST, width)
    assert max(map(len, lines)) <= width
    text = " ".join(" ".join(lines).split())
    beginning = text[text.index(" search") :]
    numbers = re.findall(r"[\d,.]+(?:M| h|(?=[ ;]))", beginning)
    assert numbers[:6] == ["10,800", "10,800", "18.0M", "24.0M", "125.0 h", "333.3 h"]
    assert "…" not in "".join(line for line in lines if "questions" not in line)


def test_the_phases_times_by_hand() -> None:
    """Search and test at 40 tokens a second, at most at the slower 20 of full precision; the check at that."""
    assert MEDICAL.phase_seconds("test") == pytest.approx(2 * 700_000 / 40)
    assert MEDICAL.phase_seconds("check") == pytest.approx(2 * 300_000 / 20)
    assert MEDICAL.phase_seconds("test", most=True) == pytest.approx(2 * 800_000 / 20)
    assert COST.seconds == pytest.approx(2 * 2 * (9_700_000 / 40 + 300_000 / 20))
    unknown = replace(COST, base=replace(MEDICAL, speed=None))
    assert unknown.seconds is None
    assert unknown.to_dict()["base"]["phases"]["check"]["seconds"] == MEDICAL.phase_seconds("check")


def test_written_tokens_take_their_own_time() -> None:
    cell = CellCost("a", 0, 1, test=PhaseCost(10, 10, 1000, 1000, 600, 600))
    model = replace(MEDICAL, cells=(cell,))
    assert model.phase_seconds("test") is None, "how fast it writes is not known"
    writes = replace(model, writing_speed=5.0, full_writing_speed=4.0)
    assert writes.phase_seconds("test") == pytest.approx(400 / 40 + 600 / 5)
    assert writes.phase_seconds("check") == 0.0


def test_it_says_how_tokens_were_counted() -> None:
    text = " ".join(shown(COST, 200))
    assert "Tokens of meditron-7b are counted with the tokenizer" in text
    assert "The tokenizer of llama-2-7b is not here" in text
    assert "With 1,273 questions" in text
    assert "8.0 GiB (15.0 GiB to be checked)" in text


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (999, "999"), (1000, "1.00k"), (39_530, "39.5k"), (999_999, "1.00M"), (123_456_789, "123M")],
)
def test_amounts(number: int, text: str) -> None:
    assert amount(number) == text
