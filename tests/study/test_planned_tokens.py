"""A plan's tokens against those of real runs, by llama.cpp's own count: the bound holds, and the expected is close."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.plan import planned, protocol, tokens_of_run
from medbench_local.results.cost import PHASES, ComparisonCost
from medbench_local.study.options import CompareOptions

EXHAUSTIVE = protocol("exhaustive", 2, 2, 20)
LIMITED = protocol("limited", 2, 2, 60)
RACE = protocol("racing", 2, 2, 60)
NONE = protocol("none", 1, 1, 20)

CASES: dict[str, dict[str, Any]] = {
    "exhaustive, 3-shot": {"protocol": EXHAUSTIVE, "shots": (3,), "check": "sample"},
    "exhaustive, 0-shot": {"protocol": EXHAUSTIVE, "shots": (0,), "check": "none"},
    "ablation": {"protocol": NONE, "shots": (0,), "check": "none", "ablation": True},
    "limited": {"protocol": LIMITED, "shots": (3,), "check": "none", "limit": 60},
    "race": {"protocol": RACE, "shots": (0,), "check": "none", "limit": 60},
    "label, checked in full": {"protocol": EXHAUSTIVE, "shots": (0,), "scoring": "label", "check": "full"},
    "cloze": {"protocol": EXHAUSTIVE, "shots": (3,), "scoring": "cloze", "check": "sample"},
    "greedy": {"protocol": NONE, "shots": (3,), "scoring": "greedy", "check": "sample", "limit": 20},
    "greedy, 0-shot": {"protocol": NONE, "shots": (0,), "scoring": "greedy", "check": "none", "limit": 20},
    # with 100 questions the first precision holds, with so many none but the last
    "auto": {"protocol": NONE, "shots": (0,), "quant": "auto", "check": "sample", "limit": 120},
    "exact": {"protocol": NONE, "shots": (3,), "mode": "exact", "check": "none"},
    "fast": {"protocol": NONE, "shots": (3,), "mode": "fast", "check": "none"},
    "check of many": {"protocol": NONE, "shots": (0,), "check": "sample", "limit": None},
}
LIKE = 0.2
"""How far what is expected may be off where the length is known."""


@pytest.fixture(autouse=True)
def home(demo_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pair is converted once for all tests."""
    monkeypatch.setenv("MEDBENCH_HOME", str(demo_home))


@pytest.mark.parametrize("name", CASES)
def test_a_real_run(name: str, tmp_path: Path) -> None:
    asked = {"tasks": ("demo-anatomy",), "limit": 40, **CASES[name], "output": tmp_path / "run"}
    options = CompareOptions(**asked)
    cost = planned("demo-med", "demo-base", options)
    assert all(model.counted == "tokenizer" for model in cost.models)
    decoded = tokens_of_run("demo-med", "demo-base", options)
    for model in cost.models:
        for phase in PHASES:
            true, own = decoded[model.name, phase], model.phase(phase)
            assert own.tokens <= own.tokens_most
            assert true <= own.tokens_most, f"{model.name}, {phase}"
            known = phase == "test" or (phase == "search" and model.cells[0].length_known)
            known &= len(cost.precisions) == 1
            if known and true and not own.written:
                assert abs(own.tokens - true) <= LIKE * true, f"{model.name}, {phase}"
    assert sum(decoded.values()) <= cost.tokens_most
    if all(cell.length_known for model in cost.models for cell in model.cells) and options.check == "none":
        assert_close(cost, sum(decoded.values()))


def assert_close(cost: ComparisonCost, true: int) -> None:
    """What is expected of the whole run, texts that end when they end aside."""
    if not any(model.phase("test").written for model in cost.models):
        assert abs(cost.tokens - true) <= LIKE * true


def test_prompts_that_lose_demonstrations(shared_data: Path, tmp_path: Path) -> None:
    """A context of 512 tokens and a vocabulary of 512: few prompts keep all three of their demonstrations."""
    stories = str(shared_data / "weights" / "stories260K")
    options = CompareOptions(
        tasks=("mmlu-anatomy",),
        data_dir=shared_data,
        limit=30,
        shots=(3,),
        scoring="label",
        check="none",
        protocol=protocol("exhaustive", 1, 1, 10),
        output=tmp_path / "run",
    )
    cost = planned(stories, "demo-base", options)
    decoded = tokens_of_run(stories, "demo-base", options)
    for model in cost.models:
        for phase in PHASES:
            assert decoded[model.name, phase] <= model.phase(phase).tokens_most
    assert abs(cost.tokens - sum(decoded.values())) <= LIKE * sum(decoded.values())


def test_without_a_tokenizer_the_bound_holds_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pair's own vocabulary is small, so that it takes more tokens than an allowance for large ones expects."""
    options = CompareOptions(
        tasks=("demo-anatomy",), limit=40, shots=(3,), check="none", protocol=NONE, output=tmp_path / "run"
    )
    with monkeypatch.context() as changed:
        changed.setattr("medbench_local.study.token_counter.vocabulary_file", lambda *_: None)
        cost = planned("demo-med", "demo-base", options)
    assert all(model.counted == "allowance" for model in cost.models)
    decoded = tokens_of_run("demo-med", "demo-base", options)
    for model in cost.models:
        assert decoded[model.name, "test"] <= model.phase("test").tokens_most
        assert model.phase("test").tokens < model.phase("test").tokens_most
