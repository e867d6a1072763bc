"""A model that does not fit is refused before anything is computed, with the numbers and what to do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from medbench_local import EngineError, Protocol, UsageError, load_protocol
from medbench_local.catalog.protocol import ThinkingSettings
from medbench_local.engine import memory
from medbench_local.engine.memory import memory_needed
from medbench_local.progress import Silent
from medbench_local.study.options import CompareOptions, resolve
from medbench_local.study.planner import Planner
from tests.study.conftest import Fakes

SOME: dict[str, Any] = {"tasks": ["./made-up"], "shots": [0], "limit": 5}


def test_a_model_that_does_not_fit_is_refused_unless_forced(
    fakes: Fakes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(memory, "memory_available", lambda: 10_000_000)
    with pytest.raises(EngineError, match=r"demo-med \(q8_0\) needs about .* are free") as caught:
        fakes.compare("demo-med", "demo-base", output=tmp_path / "run", **SOME)
    assert "`force=True`" in caught.value.advice
    assert fakes.prompts == 0
    assert fakes.compare("demo-med", "demo-base", output=tmp_path / "run", force=True, **SOME).computed


def test_where_only_full_precision_does_not_fit_the_ways_out_are_named(
    fakes: Fakes, monkeypatch: pytest.MonkeyPatch, demo_home: Path
) -> None:
    real = memory_needed
    sizes: list[int] = []

    def needed(path: Path, options: Any, **more: Any) -> Any:
        found = real(path, options, **more)
        sizes.append(found.total)
        return found

    monkeypatch.setattr(memory, "memory_needed", needed)
    fakes.compare("demo-med", "demo-base", limit=4, **{k: v for k, v in SOME.items() if k != "limit"})
    between = (min(sizes) + max(sizes)) // 2
    monkeypatch.setattr(memory, "memory_available", lambda: between)
    scored = fakes.prompts
    with pytest.raises(EngineError, match=r"\(full\) needs about") as caught:
        fakes.compare("demo-med", "demo-base", check="full", **SOME)
    for way in ('`check_precision="q8_0"`', "`force=True` (memory-mapped and slow"):
        assert way in caught.value.advice
    with pytest.raises(UsageError, match=r"\(full\) needs about") as climb:
        fakes.compare("demo-med", "demo-base", quant="auto", **SOME)
    assert "`quant=`" in climb.value.advice
    assert fakes.prompts == scored
    run = fakes.compare("demo-med", "demo-base", **SOME)
    check = run.results.comparisons[0].check
    assert (check.state, check.obstacle, check.checked) == ("unavailable", "does-not-fit", 0)
    assert run.results.comparisons[0].reported == "not verified"
    assert run.results.summary.win_rate_high == 1.0
    assert not fakes.compare("demo-med", "demo-base", **SOME).computed, "it still does not fit"
    here = Path.cwd()
    monkeypatch.undo()
    monkeypatch.chdir(here)
    monkeypatch.setenv("MEDBENCH_HOME", str(demo_home))
    again = fakes.compare("demo-med", "demo-base", **SOME)
    assert again.computed, "what did not fit once may fit now"
    assert again.folder == run.folder
    assert again.results.comparisons[0].verified


def test_the_memory_of_generated_answers_is_that_of_the_exact_mode(
    fakes: Fakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    real = memory_needed

    def needed(path: Path, options: Any, *, generates: bool, thinks: bool) -> Any:
        assert not thinks
        asked.append((options.mode, generates))
        exact = real(path, replace(options, mode="exact"), generates=generates)
        found = real(path, options, generates=generates)
        assert (found == exact) is generates
        return found

    monkeypatch.setattr(memory, "memory_needed", needed)
    for scoring, generates in (("greedy", True), ("constrained", False)):
        fakes.compare(scoring=scoring, mode="reproducible", check="full", **SOME)
        assert len(asked) >= 4, "two models at two precisions"
        assert set(asked) == {("reproducible", generates)}
        asked.clear()


def _thinking(budget: int, **more: Any) -> Protocol:
    protocol = load_protocol("demo")
    return protocol.model_copy(update={"thinking": ThinkingSettings(budget=budget, **more)})


def test_the_thinking_of_the_longest_prompt_has_to_fit(fakes: Fakes, monkeypatch: pytest.MonkeyPatch) -> None:
    real = memory_needed
    asked: dict[int, int] = {}

    def needed(path: Path, options: Any, **more: Any) -> Any:
        found = real(path, options, **more)
        if more.get("thinks"):
            asked[options.n_ctx] = found.total
        return found

    monkeypatch.setattr(memory, "memory_needed", needed)
    think: dict[str, Any] = {**SOME, "scoring": "thinking", "think_close": "</think>"}
    fakes.compare(protocol=_thinking(40), **think)
    (small,) = asked
    fakes.compare(protocol=_thinking(140), output="longer", **think)
    large = max(asked)
    assert large == small + 100
    scored = fakes.prompts
    monkeypatch.setattr(memory, "memory_available", lambda: asked[large] - 1)
    with pytest.raises(
        EngineError, match=rf"to think with prompts of up to {large} tokens; .* are free"
    ) as caught:
        fakes.compare(protocol=_thinking(140), output="refused", **think)
    for way in ("thinking: {budget: …}", "`quant=`", "`shots=`", "`force=True`"):
        assert way in caught.value.advice
    assert fakes.prompts == scored
    assert fakes.compare(protocol=_thinking(40), output="less", **think).computed


def test_that_memory_allows_fewer_at_once_is_said(
    fakes: Fakes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from medbench_local.study import thinking_room

    think: dict[str, Any] = {**SOME, "scoring": "thinking", "think_close": "</think>", "mode": "fast"}
    planner = Planner(
        "demo-med", "demo-base", resolve(CompareOptions(protocol=_thinking(40), **think)), Silent()
    )
    plan = planner.plan(planner.quants[0])
    assert thinking_room.slots_note(plan) == ""
    room = thinking_room.thinking_room(plan, "medical")
    path, options = plan.medical.quantised.path, plan.engine()
    three = memory_needed(path, replace(options, n_ctx=3 * room), thinks=True).total
    monkeypatch.setattr(thinking_room, "memory_available", lambda: three)
    assert "at once: 3 of 8 with demo-med" in thinking_room.slots_note(plan)
