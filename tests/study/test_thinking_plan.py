"""What a plan says of models that think, before anything is fetched or computed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from medbench_local.acquire.inventory import ModelPlan
from medbench_local.acquire.source import ModelSource
from medbench_local.catalog.protocol import Protocol, ThinkingSettings
from medbench_local.errors import UsageError
from medbench_local.results.cost import ComparisonCost
from medbench_local.study import cost
from medbench_local.study.options import CompareOptions, resolve
from medbench_local.study.tools import Tools
from tests.study import thinking_pair
from tests.study.conftest import Fakes


def _plan(fakes: Fakes, *models: str, budget: int, shots: int = 0, **asked: Any) -> ComparisonCost:
    protocol = Protocol(
        name="thinks",
        summary="Small.",
        shots=(shots,),
        scoring="thinking",
        thinking=ThinkingSettings(budget=budget),
    )
    options = CompareOptions(protocol=protocol, tasks=("./made-up",), quant="q8_0", **asked)
    medical, base = models or ("demo-med", "demo-base")
    return cost.plan_comparison(medical, base, resolve(options), Tools(fakes.start))


@pytest.mark.parametrize("budget", [1024, 5000])
def test_a_budget_beyond_the_context_is_refused_by_the_plan_too(fakes: Fakes, budget: int) -> None:
    with pytest.raises(UsageError, match="do not fit the context of 1,024 tokens of demo-med") as plan:
        _plan(fakes, budget=budget)
    assert plan.value.advice.startswith("Name a protocol with a smaller `thinking: {budget: …}`")


def test_a_budget_that_fits_is_not(fakes: Fakes) -> None:
    assert not any("thinking behind prompts" in warning for warning in _plan(fakes, budget=500).warnings)
    cell = _plan(fakes, budget=500).medical.cells[0]
    assert cell.test.written == cell.check.written == 60 * 499, "the last token is read and not decoded"
    assert cell.test.prompts == 60 * 2, "after thinking, and at once"


def test_a_budget_that_may_not_fit_is_said(fakes: Fakes) -> None:
    (warning,) = (w for w in _plan(fakes, budget=980).warnings if "thinking behind prompts" in w)
    assert "980 tokens of thinking" in warning
    assert "may not fit the context of 1,024 tokens of demo-med" in warning


def test_the_context_of_a_folder_is_known_before_it_is_converted(fakes: Fakes, tmp_path: Path) -> None:
    models = [str(thinking_pair.write(tmp_path / name)) for name in ("med", "base")]
    with pytest.raises(UsageError, match="do not fit the context of 4,096 tokens of med"):
        _plan(fakes, *models, budget=4096)


def test_bases_that_hold_conversations_think_in_the_plan_too(
    fakes: Fakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whose chat template is known once they are here only."""

    def plan_model(source: ModelSource, *_: Any, **__: Any) -> ModelPlan:
        return ModelPlan(source.name, "q8_0", None, None, 0, 0, False, 0, False)

    monkeypatch.setattr(cost, "plan_model", plan_model)
    monkeypatch.setattr(cost, "weights_of", lambda *_: (0, 0))
    chat = _plan(fakes, "huatuogpt-o1-7b", "qwen2.5-7b-instruct", budget=500)
    assert chat.base.phase("test").written == chat.medical.phase("test").written > 0
    assert _plan(fakes, "huatuogpt-o1-7b", "qwen2.5-7b", budget=500).base.phase("test").written == 0
    at_once = _plan(fakes, "huatuogpt-o1-7b", "qwen2.5-7b", budget=500, scoring="cloze")
    (warning,) = (text for text in at_once.warnings if "without thinking" in text)
    assert warning.startswith("huatuogpt-o1-7b was trained to think")
    marked = _plan(fakes, "huatuogpt-o1-7b", "qwen2.5-7b", budget=500, think_close="</think>")
    assert marked.base.phase("test").written > 0
