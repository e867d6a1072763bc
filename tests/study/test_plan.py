"""Which precisions are tried, which tasks are asked, and what it would cost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest

from medbench_local import UsageError, plan
from medbench_local.catalog.model import models
from medbench_local.catalog.prompts import PromptOverrides
from medbench_local.catalog.protocol import Protocol, Scoring, SelectionSettings
from medbench_local.catalog.quantisation import load_quant
from medbench_local.engine.base import EngineOptions
from medbench_local.engine.fake import FakeEngine
from medbench_local.progress import Silent
from medbench_local.scoring.answers import Meter
from medbench_local.store.scores import ScoreStore
from medbench_local.study import manifest
from medbench_local.study.ladder import ladder
from medbench_local.study.manifest import identity_of
from medbench_local.study.opening import session_for
from medbench_local.study.options import CompareOptions, ResolvedOptions, resolve
from medbench_local.study.plan import Plan, default_tasks
from medbench_local.study.planner import Planner
from medbench_local.study.prompt_search import search_prompts
from tests.study.conftest import Fakes, write_task

EXHAUSTIVE = Protocol(name="all", summary="All.", shots=(0, 3), selection=SelectionSettings())
RACING = Protocol(
    name="some",
    summary="Some.",
    shots=(0, 3),
    selection=SelectionSettings(method="racing", max_fraction=0.25),
)


def resolved(**options: Any) -> ResolvedOptions:
    return resolve(CompareOptions(**options))


def test_the_ladder_goes_up_to_full_precision() -> None:
    steps = ladder(resolved(quant="auto"))
    bits = [step.bits_per_weight for step in steps]
    assert bits == sorted(bits)
    assert len(set(bits)) == len(bits)
    assert (steps[0].name, steps[-1].name) == ("q4_0", "full")


def test_one_precision_is_a_ladder_of_one() -> None:
    assert [s.name for s in ladder(resolved())] == ["q8_0"]
    assert [s.name for s in ladder(resolved(quant="none"))] == ["full"]
    assert [s.name for s in ladder(resolved(quant="q4_k_m"))] == ["q4_k_m"]
    below = ladder(resolved(quant="auto", check_precision="q8_0"))
    assert "q8_0" not in [s.name for s in below]
    assert [s.name for s in ladder(resolved(quant="auto", check_precision="q8_0", check="none"))][
        -1
    ] == "full"
    with pytest.raises(UsageError, match="q4_k_m"):
        ladder(resolved(quant="q4_km"))


def test_the_demo_pair_takes_the_demo_tasks_and_others_the_study_s() -> None:
    demo, other = models()["demo-med"], models()["llama-2-7b"]
    assert all(name.startswith("demo-") for name in default_tasks([demo, models()["demo-base"]]))
    assert len(default_tasks([demo, other])) == len(default_tasks([None, other])) == 13


def test_the_cost_is_counted_without_computing_anything(fakes: Fakes, demo_home: Path) -> None:
    options: dict[str, Any] = {"tasks": ["./made-up"], "limit": 10}
    full = plan("demo-med", "demo-base", protocol=EXHAUSTIVE, **options)
    zero, few = full.medical.cells
    assert (zero.candidates, zero.selection_prompts, zero.test_prompts) == (11, 11 * 10, 10)
    assert (few.candidates, few.selection_prompts) == (110, 110 * 10)
    assert few.tokens > zero.tokens > 0
    raced = plan("demo-med", "demo-base", protocol=RACING, **options)
    assert raced.medical.cells[1].selection_prompts == 110 * 10, "few questions are raced to the end"
    assert search_prompts(110, 60, RACING.selection) == 110 * 60 // 4
    assert search_prompts(110, 60, EXHAUSTIVE.selection) == 110 * 60
    shared = plan("demo-med", "demo-base", protocol=RACING, ablation=True, **options)
    assert shared.medical.cells == raced.medical.cells
    assert shared.base.cells[1].test_prompts == raced.base.cells[1].test_prompts + 10
    assert (zero.check_expected, zero.check_most) == (10, 10), "few questions are checked whole"
    none = plan("demo-med", "demo-base", protocol=RACING, check="none", **options).base.cells[0]
    assert (none.test_prompts, none.check_expected, none.check_most) == (10, 0, 0)
    assert none.tokens_expected == none.tokens < raced.base.cells[0].tokens
    many = plan("demo-med", "demo-base", protocol=RACING, tasks=["demo"], shots=[0]).base.cells[0]
    assert 100 < many.check_expected < many.check_most == 300
    assert many.tokens_expected < many.tokens
    assert fakes.started == []
    assert full.medical.name in str(full)
    assert full.to_dict()["medical"]["cells"][0]["task"] == "made-up"


def test_two_tasks_of_one_name_are_refused(fakes: Fakes, tmp_path: Path) -> None:
    write_task(tmp_path / "other" / "made-up")
    with pytest.raises(UsageError, match=r"\./made-up and \./other/made-up are both called made-up"):
        plan("demo-med", "demo-base", tasks=["./made-up", "./other/made-up"], limit=5)


def test_an_importance_matrix_counts_by_its_content(fakes: Fakes, tmp_path: Path) -> None:
    quant = load_quant("q8_0")
    planned = Planner("demo-med", "demo-base", resolved(tasks=["./made-up"], limit=5), Silent()).plan(quant)

    def with_matrix(name: str, content: bytes) -> str:
        (tmp_path / name).write_bytes(content)
        return identity_of(planned, [quant.model_copy(update={"imatrix": tmp_path / name})])

    assert with_matrix("one.gguf", b"one") == with_matrix("two.gguf", b"one")
    assert (
        with_matrix("two.gguf", b"another")
        != with_matrix("one.gguf", b"one")
        != identity_of(planned, [quant])
    )


def test_a_run_is_named_by_the_protocols_first_names(fakes: Fakes, monkeypatch: pytest.MonkeyPatch) -> None:
    protocol = Protocol.model_validate({"name": "old", "summary": "Old.", "overlong": "wrong"})
    hashed: list[dict[str, Any]] = []

    def keep(parts: dict[str, Any]) -> str:
        hashed.append(parts)
        return "0" * 8

    monkeypatch.setattr(manifest, "identity", keep)
    options = resolved(tasks=["./made-up"], limit=5, protocol=protocol)
    identity_of(Planner("demo-med", "demo-base", options, Silent()).plan(load_quant("q8_0")), [])
    (parts,) = hashed
    assert parts["protocol"] == protocol.in_first_names()
    assert parts["protocol"]["overlong"] == "wrong"
    assert parts["engine"] == {"mode": "exact"}


def test_how_many_texts_are_written_at_once_counts_where_it_changes_them(
    fakes: Fakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def name(scoring: Scoring, parallel: int) -> str:
        options = resolved(tasks=["./made-up"], limit=5, scoring=scoring)
        monkeypatch.setattr(ResolvedOptions, "engine", EngineOptions(parallel=parallel))
        return identity_of(Planner("demo-med", "demo-base", options, Silent()).plan(load_quant("q8_0")), [])

    assert name("greedy", 4) != name("greedy", 8)
    assert name("constrained", 4) == name("constrained", 8)


def test_texts_that_are_written_cost_their_tokens(fakes: Fakes) -> None:
    options: dict[str, Any] = {"protocol": EXHAUSTIVE, "tasks": ["./made-up"], "limit": 10}
    scored = plan("demo-med", "demo-base", **options).base.cells[0]
    written = plan("demo-med", "demo-base", scoring="greedy", **options).base.cells[0]
    prompts = scored.selection_prompts + scored.test_prompts + scored.check_most
    assert written.tokens - scored.tokens == 64 * prompts


@pytest.mark.parametrize(
    ("prompts", "says"),
    [
        ({"llama2-7b": {"all": "Answer."}}, "model 'llama2-7b'"),
        ({"demo-med": {"mmlu-anatomi": "Answer."}}, "task 'mmlu-anatomi'"),
    ],
)
def test_system_prompts_for_nobody_are_refused(
    fakes: Fakes, demo_home: Path, prompts: dict[str, dict[str, str]], says: str
) -> None:
    protocol = RACING.model_copy(update={"prompts": PromptOverrides(prompts)})
    for go in (plan, fakes.compare):
        with pytest.raises(UsageError, match=says):
            go("demo-med", "demo-base", protocol=protocol, tasks=["./made-up"], limit=5)
    known = {"llama-2-7b": {"medqa": "Answer."}, "all": {"made-up": "Answer."}}
    protocol = RACING.model_copy(update={"prompts": PromptOverrides(known)})
    assert plan("demo-med", "demo-base", protocol=protocol, tasks=["./made-up"], limit=5)


def test_the_same_weights_with_another_attention_cache_are_not_full_precision(
    demo_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def planned(mode: Literal["exact", "fast"]) -> Plan:
        options = replace(
            resolved(quant="full", mode=mode, tasks=["demo-anatomy"], shots=[0]), home=demo_home
        )
        return Planner("demo-med", "demo-base", options, Silent()).plan(load_quant("full"))

    plan = planned("exact")
    assert plan.at_full_precision
    assert plan.scored_at_reference("medical")
    coarser = load_quant("full").model_copy(update={"kv_cache": "f16"})
    changed = replace(plan, quant=coarser)
    assert not changed.at_full_precision
    assert changed.checkable
    assert not changed.scored_at_reference("medical"), "it is asked again"
    caches: list[str] = []

    def start(path: Path, options: EngineOptions) -> FakeEngine:
        caches.append(options.cache)
        return FakeEngine()

    with ScoreStore(tmp_path / "scores.sqlite") as store:
        for reference in (False, True):
            with session_for(
                changed,
                plan.medical,
                plan.medical.quantised,
                start=start,
                reference=reference,
                store=store,
                meter=Meter(),
            ):
                pass
    assert caches == ["f16", "f32"]
    assert replace(planned("fast"), quant=coarser).at_full_precision, (
        "the fast mode caches alike at all precisions"
    )


def test_the_plan_of_a_ladder_counts_every_precision(fakes: Fakes, demo_home: Path) -> None:
    options: dict[str, Any] = {"tasks": ["demo-anatomy"], "shots": [0]}
    one = plan("demo-med", "demo-base", quant="q4_0", **options)
    ladder_ = plan("demo-med", "demo-base", quant="auto", **options)
    assert len(ladder_.precisions) > 3
    assert ladder_.medical.tokens > 3 * one.medical.tokens_expected
    assert ladder_.medical.tokens_expected == one.medical.tokens_expected


def test_the_plan_of_a_gguf_that_is_quantised_already_says_so(fakes: Fakes, demo_home: Path) -> None:
    options: dict[str, Any] = {"tasks": ["./made-up"], "shots": [0], "limit": 5}
    fakes.compare("demo-med", "demo-base", **options)
    given = next(demo_home.glob("models/demo-med-*/q8_0-*.gguf"))
    cost = plan(str(given), "demo-base", **options)
    assert (cost.medical.precision, cost.base.precision) == ("q8_0", "q8_0")
    assert cost.medical.cells[0].check_most == 0, "there is nothing fuller to check against"
    with pytest.raises(UsageError, match="nothing fuller"):
        fakes.compare(str(given), "demo-base", check="full", **options)
