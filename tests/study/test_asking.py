"""What is asked before long work, when, and how often."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from medbench_local import CancelledError, WorkerDied
from medbench_local.acquire.source import DEMO, resolve_model
from medbench_local.acquire.source_types import same_source
from medbench_local.progress import Silent
from medbench_local.results.folder import Run
from medbench_local.study import asking_sweep, compare, cost
from medbench_local.study.asking import ITSELF, LONG
from medbench_local.study.asking_sweep import agreed_to
from medbench_local.study.options import CompareOptions, SweepOptions, resolve
from medbench_local.study.sweep import PairNames, run_sweep
from medbench_local.study.tools import Tools
from tests.study.conftest import Fakes, knowing, model_of

PAIR = PairNames("demo-med", "demo-base")


class Answering(Silent):
    """A listener that is asked, and always answers the same."""

    def __init__(self, answer: bool) -> None:
        self.answer = answer
        self.questions: list[str] = []
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def confirm(self, question: str) -> bool:
        self.questions.append(question)
        return self.answer


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """The pairs whose plans were made, each of two hours."""
    made: list[tuple[str, str]] = []

    def plan(medical: str, base: str, *_: Any) -> SimpleNamespace:
        made.append((medical, base))
        return SimpleNamespace(seconds=2 * LONG, assumed=())

    monkeypatch.setattr(cost, "plan_comparison", plan)
    return made


def _run(fakes: Fakes, listener: Silent, *pair: str, **options: Any) -> Run:
    given: dict[str, Any] = {"tasks": ["./made-up"], "shots": [0], "limit": 5}
    asked = resolve(CompareOptions(**(given | options)))
    tools = Tools(fakes.start, listener, show_plan=lambda cost: f"the plan of\n{cost.seconds} s")
    medical, base = pair or (PAIR.medical, PAIR.base)
    return compare.run_comparison(medical, base, asked, tools)


def test_long_work_is_shown_and_asked_about_before_anything_is_made(
    fakes: Fakes, planned: list[tuple[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDBENCH_HOME", str(tmp_path / "home"))
    listener = Answering(False)
    with pytest.raises(CancelledError, match="Nothing was computed"):
        _run(fakes, listener)
    assert listener.questions == ["This takes about 2.0 hours here. Go on?"]
    assert listener.notes[-2:] == ["the plan of", "7200.0 s"]
    assert not list((tmp_path / "home").glob("models/*"))
    assert not (tmp_path / "runs").exists()
    assert fakes.started == []


def test_who_agrees_gets_the_run_and_is_not_asked_for_it_again(
    fakes: Fakes, planned: list[tuple[str, str]]
) -> None:
    willing = Answering(True)
    assert _run(fakes, willing).computed
    assert len(willing.questions) == len(planned) == 1
    refusing = Answering(False)
    assert not _run(fakes, refusing).computed
    assert refusing.questions == []
    with pytest.raises(CancelledError):
        _run(fakes, refusing, limit=6)
    assert len(refusing.questions) == 1, "another run of the same models is asked about"


def test_an_interrupted_run_goes_on_unasked(fakes: Fakes, planned: list[tuple[str, str]]) -> None:
    fakes.make = lambda path: knowing(model_of(path), die_after=3)
    with pytest.raises(WorkerDied):
        _run(fakes, Answering(True))
    fakes.make = lambda path: knowing(model_of(path))
    refusing = Answering(False)
    assert _run(fakes, refusing).computed
    assert refusing.questions == []


def test_nobody_is_asked_who_cannot_be(fakes: Fakes, planned: list[tuple[str, str]]) -> None:
    assert _run(fakes, Silent()).computed
    assert planned == [], "nor is the plan made"


@pytest.mark.parametrize(
    "plan",
    [
        SimpleNamespace(seconds=LONG - 1, assumed=()),
        SimpleNamespace(seconds=None, assumed=()),
        SimpleNamespace(seconds=2 * LONG, assumed=("something",)),
    ],
)
def test_neither_short_nor_impossible_work_is_asked_about(
    fakes: Fakes, monkeypatch: pytest.MonkeyPatch, plan: SimpleNamespace
) -> None:
    monkeypatch.setattr(cost, "plan_comparison", lambda *_: plan)
    refusing = Answering(False)
    assert _run(fakes, refusing).computed
    assert refusing.questions == []


def test_a_sweep_asks_once_about_all_that_is_new(
    fakes: Fakes, planned: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    fakes.compare("demo-med", "demo-base", tasks=["./made-up"], shots=[0], limit=5, protocol="laptop")
    other = PairNames("demo-med", "demo-med")
    swept: list[tuple[PairNames, ...]] = []

    def plan(pairs: tuple[PairNames, ...], *_: Any) -> SimpleNamespace:
        swept.append(pairs)
        return SimpleNamespace(seconds=2 * LONG, assumed=())

    monkeypatch.setattr(asking_sweep, "plan_sweep", plan)
    options = resolve(SweepOptions(tasks=["./made-up"], shots=[0], limit=5, ablation=False))
    wanted = [PairNames("demo-base", "demo-med"), PAIR]
    listener = Answering(True)
    tools = agreed_to(wanted, options, Tools(fakes.start, listener))
    assert swept == [(wanted[0],)], "of the other there is a run"
    run_sweep(wanted, options, tools)
    assert len(listener.questions) == 1
    assert planned == []
    with pytest.raises(CancelledError):
        agreed_to([other], options, Tools(fakes.start, Answering(False)))
    assert agreed_to([other], options, Tools(fakes.start)).agreed == frozenset()


def test_a_model_under_two_names_is_noticed_before_anything_is_fetched(
    fakes: Fakes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    listener = Answering(False)
    with pytest.raises(CancelledError):
        _run(fakes, listener, "meditron-7b", "hf:epfl-llm/meditron-7b")
    assert listener.questions == [ITSELF]


def test_the_same_model_by_another_name(tmp_path: Path) -> None:
    med, folder = resolve_model("demo-med"), DEMO / "demo-med"
    names = [str(folder), f"{folder}/../demo-med"]
    if sys.platform != "win32":  # where links need a privilege
        (tmp_path / "link").symlink_to(folder, target_is_directory=True)
        names.append(str(tmp_path / "link"))
    assert all(same_source(med, resolve_model(name)) for name in names)
    assert not same_source(med, resolve_model("demo-base"))
    meditron = resolve_model("meditron-7b")
    assert same_source(meditron, resolve_model("https://huggingface.co/epfl-llm/meditron-7b"))
    assert not same_source(meditron, resolve_model("hf:epfl-llm/meditron-7b@other"))
    assert not same_source(meditron, resolve_model("llama-2-7b"))
    assert same_source(resolve_model("llava-med-7b"), resolve_model("llava-med-7b"))
    assert not same_source(resolve_model("llava-med-7b"), resolve_model("llava-v0-7b"))
