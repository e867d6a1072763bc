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
from medbench_local.engine.base import NEAR_TIE, EngineOptions, Mode
from medbench_local.engine.fake import FakeEngine
from medbench_local.progress import Silent
from medbench_local.results.cost import PHASES, PhaseCost
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

MODES: tuple[Mode, ...] = ("exact", "reproducible", "fast")
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
    assert (zero.candidates, zero.search.prompts, zero.test.prompts) == (11, 11 * 10, 10)
    assert (few.candidates, few.search.prompts_most) == (110, 110 * 10)
    assert few.all_phases.tokens > zero.all_phases.tokens > 0
    assert zero.length_known
    raced = plan("demo-med", "demo-base", protocol=RACING, **options)
    assert raced.medical.cells[1].search.prompts_most == 110 * 10, "few questions are raced to the end"
    assert not raced.medical.cells[1].length_known
    assert search_prompts(110, 60, RACING.selection) == 110 * 60 // 4
    assert search_prompts(110, 60, EXHAUSTIVE.selection) == 110 * 60
    shared = plan("demo-med", "demo-base", protocol=RACING, ablation=True, **options)
    assert shared.medical.cells == raced.medical.cells
    # one of 110 candidates is the other model's, too: its answers are known then
    assert shared.base.cells[1].test.prompts_most == raced.base.cells[1].test.prompts_most + 10
    assert shared.base.cells[1].test.prompts == raced.base.cells[1].test.prompts + 10
    assert (zero.check.prompts, zero.check.prompts_most) == (10, 10), "few questions are checked whole"
    none = plan("demo-med", "demo-base", protocol=RACING, check="none", **options).base.cells[0]
    assert (none.test.prompts, none.check) == (10, PhaseCost())
    assert none.all_phases.tokens_most < raced.base.cells[0].all_phases.tokens_most
    many = plan("demo-med", "demo-base", protocol=RACING, tasks=["demo"], shots=[0]).base.cells[0]
    assert 100 < many.check.prompts < many.check.prompts_most == 300
    assert many.all_phases.tokens < many.all_phases.tokens_most
    assert fakes.started == []
    assert full.medical.counted == full.base.counted == "tokenizer"
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
    identity_of(
        Planner("demo-med", "demo-base", options, Silent()).plan(load_quant("q8_0")), [load_quant("q8_0")]
    )
    (parts,) = hashed
    assert parts["protocol"] == protocol.in_first_names()
    assert parts["protocol"]["overlong"] == "wrong"
    assert parts["engine"] == {"mode": "reproducible"}
    assert "search" not in parts, "nothing but a search that leaves prompts out depends on how it does"
    assert "min_gain" not in parts["protocol"]["selection"]


def test_a_run_with_another_search_is_another_run(fakes: Fakes, monkeypatch: pytest.MonkeyPatch) -> None:
    def name(method: str) -> str:
        protocol = Protocol.model_validate(
            {"name": "one", "summary": "One.", "selection": {"method": method, "max_fraction": 0.5}}
        )
        options = resolved(tasks=["./made-up"], limit=5, protocol=protocol)
        quant = load_quant("q8_0")
        return identity_of(Planner("demo-med", "demo-base", options, Silent()).plan(quant), [quant])

    raced, exhaustive = name("racing"), name("exhaustive")
    monkeypatch.setattr(manifest, "SEARCH", manifest.SEARCH + 1)
    assert name("racing") != raced
    assert name("exhaustive") == exhaustive


def test_how_many_texts_are_written_at_once_counts_where_it_changes_them(
    fakes: Fakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def name(scoring: Scoring, parallel: int) -> str:
        options = resolved(tasks=["./made-up"], limit=5, scoring=scoring)
        monkeypatch.setattr(ResolvedOptions, "engine", EngineOptions(parallel=parallel))
        return identity_of(
            Planner("demo-med", "demo-base", options, Silent()).plan(load_quant("q8_0")), [load_quant("q8_0")]
        )

    assert name("greedy", 4) != name("greedy", 8)
    assert name("constrained", 4) == name("constrained", 8)


Types = tuple[str, str]


def _typed(plan: Plan, scored: Types, full: Types) -> Plan:
    """The plan with other types of the weights of both models."""
    prepared = [
        replace(
            model,
            quantised=replace(model.quantised, file_type=own),
            full=replace(model.full, file_type=fuller),
        )
        for model, own, fuller in zip((plan.medical, plan.base), scored, full, strict=True)
        if model.full is not None
    ]
    return replace(plan, medical=prepared[0], base=prepared[1])


@pytest.mark.parametrize(
    ("scored", "full", "mode", "reference"),
    [
        (("q8_0", "q8_0"), ("bf16", "bf16"), "reproducible", "reproducible"),
        (("q8_0", "q8_0"), ("f16", "f16"), "reproducible", "exact"),
        (("q4_k_m", "q8_0"), ("bf16", "f16"), "reproducible", "exact"),
        (("bf16", "bf16"), ("bf16", "bf16"), "reproducible", "reproducible"),
        (("bf16", "f32"), ("bf16", "f32"), "exact", "exact"),
        (("f16", "q4_0"), ("f16", "bf16"), "exact", "exact"),
    ],
)
def test_the_mode_goes_by_the_weights_and_is_the_same_for_both_models(
    fakes: Fakes, scored: Types, full: Types, mode: Mode, reference: Mode
) -> None:
    options = resolved(tasks=["./made-up"], limit=5)
    planner = Planner("demo-med", "demo-base", options, Silent())
    plan = _typed(planner.plan(planner.quants[0]), scored, full)
    assert (plan.mode, plan.reference_mode) == (mode, reference)
    assert (plan.engine().mode, plan.engine(reference=True).mode) == (mode, reference)
    assert (plan.near_tie, plan.reference_near_tie) == (NEAR_TIE[mode], NEAR_TIE[reference])
    for asked in MODES:
        named = replace(plan, options=replace(options, mode=asked))
        assert (named.mode, named.reference_mode) == (asked, asked)
        same = identity_of(named, planner.quants) == identity_of(plan, planner.quants)
        assert same == (mode == reference == asked), "what is asked for and what is chosen are one run"


def test_a_file_scored_in_another_mode_than_it_is_checked_in_is_asked_again(fakes: Fakes) -> None:
    options = resolved(tasks=["./made-up"], limit=5, quant="full")
    plan = Planner("demo-med", "demo-base", options, Silent()).plan(load_quant("full"))
    assert plan.scored_at_reference("medical")
    plan = _typed(plan, ("bf16", "q8_0"), ("bf16", "f16"))
    assert (plan.mode, plan.reference_mode) == ("reproducible", "exact")
    assert not plan.scored_at_reference("medical")


def test_flash_attention_of_a_precision_decides_the_mode(fakes: Fakes, tmp_path: Path) -> None:
    def mode(flash: str, scored: Types, **asked: Any) -> Mode:
        text = _quant_text(flash)
        (tmp_path / "own.yaml").write_text(text, encoding="utf-8")
        options = resolved(tasks=["./made-up"], limit=5, quant=tmp_path / "own.yaml", **asked)
        planner = Planner("demo-med", "demo-base", options, Silent())
        return _typed(planner.plan(planner.quants[0]), scored, ("bf16", "bf16")).mode

    for off in ("off", "false"):
        assert mode(off, ("q4_0", "q4_0")) == "exact"
        assert mode(off, ("q4_0", "q4_0"), mode="fast") == "fast"
        with pytest.raises(UsageError, match="forbids flash attention"):
            mode(off, ("q4_0", "q4_0"), mode="reproducible")
    for on in ("on", "true"):
        assert mode(on, ("f16", "f16")) == "reproducible"
        with pytest.raises(UsageError, match="asks for flash attention"):
            mode(on, ("q4_0", "q4_0"), mode="exact")
    assert mode("auto", ("q4_0", "q4_0")) == "reproducible"
    assert mode("auto", ("f16", "f16")) == "exact"


def _quant_text(flash: str) -> str:
    built_in = Path(__file__).parents[2] / "quant_configs" / "q4_0.yaml"
    found = built_in.read_text(encoding="utf-8").replace("flash_attention: auto", f"flash_attention: {flash}")
    assert f"flash_attention: {flash}" in found
    return found


def test_generated_answers_are_computed_exactly(fakes: Fakes) -> None:
    options = resolved(tasks=["./made-up"], limit=5, scoring="greedy")
    assert Planner("demo-med", "demo-base", options, Silent()).plan(load_quant("q8_0")).mode == "exact"


def test_a_climb_is_one_run_whichever_precision_it_ends_at(fakes: Fakes) -> None:
    planner = Planner("demo-med", "demo-base", resolved(tasks=["./made-up"], quant="auto"), Silent())
    plans = [
        _typed(planner.plan(planner.quants[0]), (scored, scored), ("f16", "f16"))
        for scored in ("q4_0", "q8_0", "f16")
    ]
    assert [plan.mode for plan in plans] == ["reproducible", "reproducible", "exact"]
    assert len({identity_of(plan, planner.quants) for plan in plans}) == 1


def test_texts_that_are_written_cost_their_tokens(fakes: Fakes) -> None:
    options: dict[str, Any] = {"protocol": EXHAUSTIVE, "tasks": ["./made-up"], "limit": 10}
    scored = plan("demo-med", "demo-base", **options).base.cells[0]
    written = plan("demo-med", "demo-base", scoring="greedy", **options).base.cells[0]
    prompts = scored.all_phases.prompts_most
    assert written.all_phases.written_most == 63 * prompts, "the last token is read and not decoded"
    assert scored.all_phases.written_most == 0


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
                role="medical",
                start=start,
                reference=reference,
                store=store,
                meter=Meter(),
                progress=Silent(),
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
    assert ladder_.medical.tokens_most > 3 * one.medical.tokens
    for phase in PHASES[:2]:
        assert ladder_.medical.phase(phase).tokens == one.medical.phase(phase).tokens


def test_the_plan_of_a_gguf_that_is_quantised_already_says_so(fakes: Fakes, demo_home: Path) -> None:
    options: dict[str, Any] = {"tasks": ["./made-up"], "shots": [0], "limit": 5}
    fakes.compare("demo-med", "demo-base", **options)
    given = next(demo_home.glob("models/demo-med-*/q8_0-*.gguf"))
    cost = plan(str(given), "demo-base", **options)
    assert (cost.medical.precision, cost.base.precision) == ("q8_0", "q8_0")
    assert cost.medical.cells[0].check == PhaseCost(), "there is nothing fuller to check against"
    with pytest.raises(UsageError, match="nothing fuller"):
        fakes.compare(str(given), "demo-base", check="full", **options)
