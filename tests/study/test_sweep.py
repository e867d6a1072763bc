"""Several pairs, and the study's tables over them."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from medbench_local import InputError, UsageError, read_sweep
from medbench_local.catalog.model import pairs
from medbench_local.catalog.protocol import BootstrapSettings, Protocol, SelectionSettings
from medbench_local.engine.base import EngineOptions
from medbench_local.engine.fake import FakeEngine
from medbench_local.prompts.prompt import Candidate
from medbench_local.report.files import write_sweep_reports
from medbench_local.results.schema import Ablation, Comparison
from medbench_local.results.sweep import Sweep, summarise
from medbench_local.results.sweep_folder import SweepFolder
from medbench_local.study.options import SweepOptions, resolve
from medbench_local.study.prompt_search import unsearched
from medbench_local.study.sweep import (
    PairNames,
    all_pairs,
    each_once,
    parse_pair,
    run_sweep,
    study_pairs,
    sweep_identity,
)
from medbench_local.study.tools import Tools
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


OPTIONS: dict[str, Any] = {"protocol": SMALL, "tasks": ["./made-up"], "limit": 12}
WANTED = [PairNames("demo-med", "demo-base"), PairNames("demo-base", "demo-med")]


def _sweep(fakes: Fakes, **options: Any) -> Sweep:
    asked = resolve(SweepOptions(**(OPTIONS | options)))
    return run_sweep(WANTED, asked, Tools(fakes.start, write_sweep_reports=write_sweep_reports))


def _files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


WHEN = re.compile(rb"\d{4}-\d\d-\d\d|[\d,.]+ s\b")


def test_a_sweep_leaves_a_folder_that_the_same_command_finds(fakes: Fakes) -> None:
    found = _sweep(fakes)
    assert found.folder is not None
    assert re.fullmatch(r"sweep-[0-9a-f]{8}", found.folder.name)
    files = _files(found.folder)
    wanted = {"sweep.json", "report.html", "report.md", "report.csv", "rates.csv", "report.tex"}
    pictures = {f"figures/{name}-0-shot.{end}" for name in ("forest", "heat-map") for end in ("svg", "pdf")}
    assert {name.replace("\\", "/") for name in files} == wanted | pictures
    again = _sweep(fakes)
    assert again.folder == found.folder
    assert _files(found.folder) == files
    assert read_sweep(found.folder).labels == found.labels
    other = _sweep(fakes, limit=8)
    assert other.folder != found.folder


def test_threads_and_paths_make_no_other_sweep() -> None:
    one, same, other = (
        sweep_identity(WANTED, resolve(SweepOptions(**(OPTIONS | more))))
        for more in ({}, {"threads": 3, "data_dir": Path("x")}, {"quant": "q4_0"})
    )
    assert one == same != other
    assert sweep_identity(WANTED[::-1], resolve(SweepOptions(**OPTIONS))) != one


def test_an_interrupted_sweep_is_reported_as_partial_and_goes_on_to_the_same_bytes(
    fakes: Fakes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    whole = _sweep(fakes, output=tmp_path / "at-once")
    started = 0

    def stop_at_the_second_pair(path: Path, options: EngineOptions) -> FakeEngine:
        nonlocal started
        started += 1
        if started > 4:
            raise KeyboardInterrupt
        return start(path, options)

    start = fakes.start
    monkeypatch.setattr(fakes, "start", stop_at_the_second_pair)
    with pytest.raises(KeyboardInterrupt):
        _sweep(fakes, output=tmp_path / "in-two")
    partial = read_sweep(tmp_path / "in-two")
    assert (partial.labels, partial.missing) == (
        ("demo-med against demo-base",),
        ("demo-base against demo-med",),
    )
    page = (tmp_path / "in-two" / "report.html").read_text(encoding="utf-8")
    assert "partial: 1 of 2 pairs finished; not yet demo-base against demo-med" in page
    monkeypatch.setattr(fakes, "start", start)
    done = _sweep(fakes, output=tmp_path / "in-two")
    assert [run.computed for run in done.runs] == [False, True]
    assert whole.folder is not None
    expected, found = _files(whole.folder), _files(tmp_path / "in-two")
    for name in ("sweep.json", "report.html", "report.md", "report.csv", "rates.csv", "report.tex"):
        assert WHEN.sub(b"", found[name]) == WHEN.sub(b"", expected[name]), name
    for name in expected:
        if "figures" in name:
            assert found[name] == expected[name]
    assert {name.split("/")[0].split("\\")[0] for name in found} >= {"01", "02"}


def test_what_is_there_is_not_forgotten_while_a_sweep_goes_on(fakes: Fakes, tmp_path: Path) -> None:
    _sweep(fakes, output=tmp_path / "s")
    folder = SweepFolder(tmp_path / "s")
    (tmp_path / "s" / "01" / "results.json").unlink()

    def stop(path: Path, options: EngineOptions) -> FakeEngine:
        raise KeyboardInterrupt

    stopped = Tools(stop)
    shutil.rmtree(tmp_path / "s" / "01")
    with pytest.raises(KeyboardInterrupt):
        run_sweep(WANTED, resolve(SweepOptions(**(OPTIONS | {"output": tmp_path / "s"}))), stopped)
    assert [pair.run for pair in folder.record().pairs] == ["01", "02"]


def test_a_file_of_the_same_name_is_not_written_over(fakes: Fakes, tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "sweep.json").write_text('{"my": "own"}')
    with pytest.raises(InputError, match="schema"):
        _sweep(fakes, output=tmp_path / "s")
    assert (tmp_path / "s" / "sweep.json").read_text() == '{"my": "own"}'
