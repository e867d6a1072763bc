"""Several pairs, and the study's tables over them."""

from __future__ import annotations

import pytest

from medbench_local import UsageError
from medbench_local.catalog.model import pairs
from medbench_local.catalog.protocol import BootstrapSettings, Protocol, SelectionSettings
from medbench_local.prompts.prompt import Candidate
from medbench_local.results.schema import Ablation, Comparison
from medbench_local.results.sweep import summarise
from medbench_local.study.prompt_search import unsearched
from medbench_local.study.sweep import PairNames, all_pairs, each_once, parse_pair, study_pairs
from medbench_local.study.verdicts import Side, comparison
from tests.study.conftest import Fakes
from tests.study.material import answers_of, known, questions

UNSEARCHED = unsearched(Candidate(None, None))

SMALL = Protocol(name="small", summary="None.", shots=(0,), selection=SelectionSettings(method="none"))


def _comparison(
    verdict: str, *, shots: int = 3, raw: str = "tie", shared: str | None = None, ok: bool = True
) -> Comparison:
    asked = questions("test", 40)
    right = [q.answer for q in asked]
    wrong = [(a + 1) % 4 for a in right]
    sides = {"win": (right, wrong), "loss": (wrong, right), "tie": (right, right)}[verdict]
    found = comparison(
        task="made-up",
        shots=shots,
        scoring="constrained",
        precision="full" if ok else "q8_0",
        questions=asked,
        medical=Side(UNSEARCHED, answers_of(sides[0])),
        base=Side(UNSEARCHED, answers_of(sides[1])),
        shared_prompt=None,
        settings=BootstrapSettings(),
        near_tie=0.01,
        reference_near_tie=0.01,
        found=known(40, "full" if ok else "none"),
    )
    ablation = Ablation(
        shared_prompt_accuracy=None if shared is None else 0.5,
        raw=raw,  # type: ignore[arg-type]
        shared_prompt=shared,  # type: ignore[arg-type]
        shared_prompt_raw=shared,  # type: ignore[arg-type]
    )
    return found.model_copy(update={"ablation": ablation})


def test_rates_are_pooled_and_averaged_over_pairs() -> None:
    first = [_comparison("win"), _comparison("tie"), _comparison("tie"), _comparison("loss")]
    second = [_comparison("win"), _comparison("win", ok=False)]
    (found,) = summarise(("a", "b"), [first, second])
    assert (found.pairs["a"].win_rate, found.pairs["a"].tie_rate, found.pairs["a"].loss_rate) == (
        0.25,
        0.5,
        0.25,
    )
    second_rates = found.pairs["b"]
    assert (second_rates.win_rate, second_rates.win_rate_high, second_rates.n) == (0.5, 1.0, 2)
    assert second_rates.loss_rate_high == 0.5, "what is not verified may be anything"
    assert found.not_verified == 1
    assert (found.pooled.win_rate, found.pooled.win_rate_high, found.pooled.n) == (2 / 6, 3 / 6, 6)
    assert found.mean.win_rate == pytest.approx((0.25 + 0.5) / 2)
    assert found.mean.win_rate_high == pytest.approx((0.25 + 1) / 2)


def test_zero_shot_and_few_shot_are_tables_of_their_own() -> None:
    found = summarise(("a",), [[_comparison("win", shots=0), _comparison("loss", shots=3)]])
    assert [(s.shots, s.pairs["a"].win_rate) for s in found] == [(0, 1.0), (3, 0.0)]


def test_nothing_is_known_of_a_pair_without_a_verified_verdict() -> None:
    (found,) = summarise(("a",), [[_comparison("win", ok=False)]])
    assert (found.pooled.win_rate, found.pooled.win_rate_high) == (0.0, 1.0)
    assert (found.pooled.loss_rate, found.pooled.loss_rate_high) == (0.0, 1.0)
    assert found.ablation.own_bootstrap.win_rate == 1.0, "ablations are of the scored precision"


def test_the_ablation_table_is_the_two_by_two_of_the_study() -> None:
    group = [_comparison("tie", raw="win", shared="win"), _comparison("loss", raw="loss", shared="tie")]
    (found,) = summarise(("a",), [group])
    assert found.ablation.own_bootstrap.tie_rate == 0.5
    assert found.ablation.own_raw.win_rate == 0.5
    assert found.ablation.medical_bootstrap is not None
    assert (found.ablation.medical_bootstrap.win_rate, found.ablation.medical_bootstrap.tie_rate) == (
        0.5,
        0.5,
    )
    (partly,) = summarise(("a",), [[*group, _comparison("win")]])
    assert partly.ablation.medical_bootstrap is None, "half of a table would mislead"


def test_a_sweep_compares_every_pair_and_reads_finished_ones(fakes: Fakes) -> None:
    options = {"protocol": SMALL, "tasks": ["./made-up"], "limit": 12}
    wanted = [("demo-med", "demo-base"), ("demo-base", "demo-med")]
    found = fakes.sweep(wanted, **options)
    assert found.labels == ("demo-med against demo-base", "demo-base against demo-med")
    assert found.runs[0].results.comparisons[0].difference == -found.runs[1].results.comparisons[0].difference
    (summary,) = found.summaries
    assert summary.ablation.medical_bootstrap is not None, "a sweep asks for the ablation"
    assert "pooled: win" in str(found)
    again = fakes.sweep(wanted, **options)
    assert [run.computed for run in again.runs] == [False, False]


def test_what_a_pair_may_be_called() -> None:
    assert parse_pair("meditron-7b") == PairNames("meditron-7b", "llama-2-7b")
    assert parse_pair("./a=hf:b/c") == PairNames("./a", "hf:b/c")
    assert parse_pair("demo-med-vs-demo-base") == PairNames("demo-med", "demo-base")
    assert len(study_pairs()) == 10
    assert [pair.medical for pair in study_pairs("pictures")] == ["llava-med-7b", "med-flamingo-9b"]
    assert {pair.medical for pair in study_pairs()} <= {pair.medical for pair in pairs()}


def test_either_partner_can_be_meant() -> None:
    assert parse_pair("baichuan-m2-32b") == PairNames("baichuan-m2-32b", "qwen2.5-32b")
    assert parse_pair("baichuan-m2-32b", "alternative") == PairNames(
        "baichuan-m2-32b", "qwen2.5-32b-instruct"
    )
    assert parse_pair("meditron-7b", "alternative") == PairNames("meditron-7b", "llama-2-7b"), "its only one"
    origins, alternatives = all_pairs("origin"), all_pairs("alternative")
    assert [pair.medical for pair in origins] == [pair.medical for pair in alternatives]
    assert set(study_pairs()) <= set(origins)
    assert 0 < sum(a != b for a, b in zip(origins, alternatives, strict=True)) < len(origins)


@pytest.mark.parametrize("text", ["", "llama-2-7b", "nonsense", "=", "a=", "llava-v0-7b", "-vs-", "a-vs-"])
def test_what_is_no_pair_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_pair(text)


def test_a_pair_named_twice_is_compared_once() -> None:
    first, second = parse_pair("a=b"), parse_pair("c=d")
    assert each_once([first, second, first]) == (first, second)


def test_a_sweep_of_nothing_is_refused(fakes: Fakes) -> None:
    with pytest.raises(UsageError, match=r"No pair is named.*all for"):
        fakes.sweep([])
