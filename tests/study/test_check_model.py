"""One model at two precisions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from medbench_local import UsageError
from medbench_local.catalog.protocol import load_protocol
from medbench_local.engine.base import Engine, EngineOptions
from medbench_local.engine.several import ANY_EFFORT, Crew, Effort, EngineState
from medbench_local.study.check_model import run_check
from medbench_local.study.options import CheckOptions, resolve
from medbench_local.study.tools import Tools
from tests.study.conftest import Fakes, knowing, precision_of

SOME: dict[str, Any] = {"tasks": ["./made-up"], "shots": [0]}


def _lenient() -> Any:
    protocol = load_protocol("laptop")
    return protocol.model_copy(update={"check": protocol.check.model_copy(update={"margin": 0.1})})


def test_the_same_answers_are_equivalent(fakes: Fakes) -> None:
    found = fakes.check("demo-med", quant="q8_0", protocol=_lenient(), **SOME)
    assert found.outcome == "equivalent"
    assert (found.overall.outcome, found.overall.n, found.overall.flips) == ("equivalent", 60, 0)
    assert repr(found) == "<ModelCheck: demo-med: q8_0 may stand in for full, 0 of 60 predictions differ>"
    lines = str(found).splitlines()
    assert lines[0] == "demo-med: q8_0 may stand in for full"
    assert any(line.startswith("made-up, 0-shot") for line in lines)
    assert found.to_dict()["outcome"] == "equivalent"
    # what was scored is found again, also by a check of another precision for the full one
    scored = fakes.prompts
    fakes.check("demo-med", quant="q8_0", protocol=_lenient(), **SOME)
    assert fakes.prompts == scored
    fakes.check("demo-med", quant="q4_0", protocol=_lenient(), **SOME)
    assert fakes.prompts == scored + 60


class Kinds:
    """Engines of two kinds, each crew of the other one; what they answer with was started by `Fakes`."""

    def __init__(self, fakes: Fakes) -> None:
        self._start, self.kinds, self.memory, self.stopped = fakes.start, list[int](), 2**40, False

    def crew(self) -> Crew:
        """See `Engines.crew`."""
        self._crews = getattr(self, "_crews", 0) + 1
        kinds, start, kind = self.kinds, self._start, self._crews % 2

        class Kind:
            def start(self, path: Path, options: EngineOptions, effort: Effort = ANY_EFFORT) -> Engine:
                kinds.append(kind)
                return start(path, options)

        return Kind()

    def stop(self) -> None:
        """See `Engines.stop`."""

    def describe(self) -> list[dict[str, Any]]:
        """See `Engines.describe`."""
        return []

    def states(self) -> list[EngineState]:
        """See `Engines.states`."""
        return []


def test_both_precisions_are_answered_by_engines_of_one_kind(fakes: Fakes) -> None:
    engines = Kinds(fakes)
    tools = Tools(fakes.start, engines=engines)
    run_check("demo-med", resolve(CheckOptions(quant="q8_0", **SOME)), tools)
    assert engines.kinds == [1, 1]


def test_a_comparison_finds_what_a_check_scored(fakes: Fakes) -> None:
    protocol = _lenient()
    protocol = protocol.model_copy(
        update={"selection": protocol.selection.model_copy(update={"method": "none"})}
    )
    fakes.check("demo-med", quant="q8_0", protocol=protocol, **SOME)
    scored = fakes.prompts
    run = fakes.compare("demo-med", "demo-base", quant="q8_0", protocol=protocol, ablation=False, **SOME)
    assert run.results.timing.prompts_reused == scored == 2 * 60
    assert run.results.timing.prompts_scored == 2 * 60


def test_a_damaged_model_is_different(fakes: Fakes) -> None:
    fakes.make = lambda path: knowing("demo-med", 0.9 if precision_of(path) == "full" else 0.3)
    found = fakes.check("demo-med", quant="q8_0", **SOME)
    assert found.outcome == "different"
    assert found.overall.outcome == "different"
    assert found.overall.difference < -0.3
    assert found.overall.correct_to_wrong > 20
    assert "may not stand in for" in str(found)


def test_too_few_questions_leave_it_open(fakes: Fakes) -> None:
    found = fakes.check("demo-med", quant="q8_0", limit=10, **SOME)
    assert found.outcome == found.overall.outcome == "inconclusive"
    assert "too few questions" in str(found)
    assert found.overall.questions_needed


def test_one_precision_is_checked(fakes: Fakes) -> None:
    with pytest.raises(UsageError, match="A check is of one precision"):
        fakes.check("demo-med", quant="auto", **SOME)


def test_there_must_be_something_fuller_to_check_against(fakes: Fakes, demo_home: Path) -> None:
    with pytest.raises(UsageError, match="no fuller precision"):
        fakes.check("demo-med", quant="none", **SOME)
    fakes.check("demo-med", quant="q8_0", limit=5, **SOME)
    quantised = next(demo_home.glob("models/demo-med-*/q8_0-*.gguf"))
    with pytest.raises(UsageError):
        fakes.check(str(quantised), quant="q4_0", **SOME)
