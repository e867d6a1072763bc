"""Plans without a network: what is assumed then, and what several pairs take together."""

from __future__ import annotations

import io
import json
import re
import socket
from pathlib import Path

import pytest
from huggingface_hub import close_session
from rich.console import Console

from medbench_local import OfflineError, UnreachableError, plan, plan_sweep
from medbench_local.acquire import calibration
from medbench_local.catalog.model import models
from medbench_local.catalog.task import study_tasks, task_entry
from medbench_local.hub import repository
from medbench_local.hub.transfer import Patience
from medbench_local.progress import Silent
from medbench_local.report.sweep_plan import show_sweep_plan
from medbench_local.results.sweep_cost import SweepCost
from medbench_local.study.sweep import study_pairs
from medbench_local.tasks.load import load_task
from medbench_local.tasks.typical import is_typical, typical_task

SPEED = 4e11
"""Weights a second that this machine is taken to do, at any precision."""


class Notes(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def _nothing_here(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """No hub, nothing in any cache, and a machine of a known speed."""
    for name in ("MEDBENCH_DATA", "HF_HUB_OFFLINE", "HF_HUB_CACHE", "HF_TOKEN", "HTTP_PROXY", "http_proxy"):
        patch.delenv(name, raising=False)
    patch.setenv("HF_HOME", str(folder / "hf"))
    patch.setenv("MEDBENCH_HOME", str(folder / "home"))
    patch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{closed_port()}")
    patch.setattr(repository, "PATIENCE", Patience(retries=1, wait=0.0))
    patch.setattr(calibration, "_measure", lambda names, *_: dict.fromkeys(names, SPEED))
    patch.chdir(folder)
    close_session()


@pytest.fixture(autouse=True)
def nothing_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test's own; see `_nothing_here`."""
    _nothing_here(tmp_path, monkeypatch)


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.mark.parametrize("way", ["offline", "switch", "no answer"])
def test_a_catalog_pair_is_planned_without_a_hub(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if way == "switch":
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    listener = Notes()
    tasks = ["medmcqa", "mmlu-virology"]
    cost = plan(
        "meditron-7b",
        "llama-2-7b",
        tasks=tasks,
        offline=True if way == "offline" else None,
        progress=listener,
    )
    med, base = models()["meditron-7b"], models()["llama-2-7b"]
    assert (cost.medical.download, cost.base.download) == (med.size, base.size)
    assert cost.medical.disk > 2 * med.size
    assert [cell.task for cell in cost.medical.cells] == tasks
    asked = {cell.task: cell.test.prompts for cell in cost.medical.cells}
    assert asked == {name: (task_entry(name).sizes or (0, 0, 0))[2] for name in tasks}
    sizes, questions = cost.assumed
    assert "meditron-7b and llama-2-7b is about, from the catalog" in sizes
    assert "medmcqa" in questions
    assert "typical length" in questions
    assert cost.to_dict()["assumed"] == [sizes, questions]
    assert f"assumed: {sizes}" in str(cost)
    said = [note for note in listener.notes if "cannot be reached" in note]
    assert len(said) == (1 if way == "no answer" else 0)


def test_typical_questions_cost_about_what_the_real_ones_do(shared_data: Path) -> None:
    """The tasks whose three splits are all here."""
    tasks = ["mmlu-anatomy", "mmlu-college-biology", "mmlu-professional-medicine"]
    real = plan(
        "meditron-7b", "llama-2-7b", tasks=tasks, data_dir=shared_data, offline=True, progress=Silent()
    )
    typical = plan("meditron-7b", "llama-2-7b", tasks=tasks, offline=True, progress=Silent())
    assert len(real.assumed) == 1
    assert len(typical.assumed) == 2
    assert typical.tokens == pytest.approx(real.tokens, rel=0.1)
    for one, other in zip(real.medical.cells, typical.medical.cells, strict=True):
        assert one.all_phases.tokens == pytest.approx(other.all_phases.tokens, rel=0.15), one.task


@pytest.mark.parametrize("name", study_tasks())
def test_the_catalog_knows_how_long_questions_are(shared_data: Path, name: str) -> None:
    real = load_task(name, data_dir=shared_data)
    known = task_entry(name).characters
    assert known is not None
    for number, split in enumerate(real.splits.values()):
        texts = [len(question.text) for question in split.questions]
        options = [len(option) for question in split.questions for option in question.options]
        assert known.question[number] == round(sum(texts) / len(texts))
        assert known.option[number] == round(sum(options) / len(options))


def test_questions_that_stand_in_are_told_from_real_ones() -> None:
    entry = task_entry("medqa")
    typical = typical_task(entry, ("test",))
    assert typical is not None
    assert list(typical.splits) == ["test"]
    assert is_typical(typical)
    assert {len(question.options) for question in typical.questions("test")} == {5}
    assert {len(question.text) for question in typical.questions("test")} == {746}
    demo = task_entry("demo-anatomy")
    assert typical_task(demo, ("test",)) is None
    assert not is_typical(load_task(demo.id, data_dir=None))


def test_what_nobody_knows_cannot_be_planned() -> None:
    with pytest.raises(OfflineError):
        plan("hf:nobody/knows-7b", "llama-2-7b", offline=True, progress=Silent())
    with pytest.raises(OfflineError):
        plan("hf:nobody/knows-7b", "llama-2-7b", progress=Silent())


def test_a_run_assumes_nothing() -> None:
    from medbench_local import compare

    with pytest.raises(OfflineError):
        compare("meditron-7b", "llama-2-7b", offline=True, progress=Silent())
    with pytest.raises(UnreachableError):
        compare("meditron-7b", "llama-2-7b", progress=Silent())


@pytest.fixture(scope="module")
def ten(tmp_path_factory: pytest.TempPathFactory) -> SweepCost:
    """The plan of the study's pairs."""
    with pytest.MonkeyPatch.context() as patch:
        _nothing_here(tmp_path_factory.mktemp("ten"), patch)
        return plan_sweep(["all"], tasks="mmlu-anatomy", offline=True, quant="q8_0", progress=Silent())


def test_what_pairs_share_is_counted_once(ten: SweepCost) -> None:
    assert [pair.label for pair in ten.pairs] == [pair.label for pair in study_pairs()]
    names = {name for pair in study_pairs() for name in (pair.medical, pair.base)}
    assert (len(ten.pairs), ten.models) == (10, len(names)) == (10, 17)
    assert ten.download == sum(models()[name].size for name in names)
    assert sum(pair.download for pair in ten.pairs) - ten.download == (
        2 * models()["llama-2-70b"].size + models()["llama-3-70b-instruct"].size
    )
    sizes = {name: models()[name].size for name in names}
    assert ten.disk == pytest.approx(sum(2 * size + size * 8.5 / 16 for size in sizes.values()), rel=1e-3)


def test_totals_are_sums_and_gpu_hours_follow_the_rate(ten: SweepCost) -> None:
    assert ten.tokens == sum(pair.cost.tokens for pair in ten.pairs) < ten.tokens_most
    assert ten.seconds is not None
    assert ten.seconds_most is not None
    assert ten.seconds == pytest.approx(sum(pair.cost.seconds or 0 for pair in ten.pairs))
    assert ten.seconds < ten.seconds_most
    seven = next(pair for pair in ten.pairs if pair.cost.medical.name == "meditron-7b")
    hours = seven.gpu_hours(36_000_000, 10_000)
    assert hours == pytest.approx(models()["meditron-7b"].parameters / 7e9)
    one, two = ten.gpu_hours(1000), ten.gpu_hours(2000)
    assert one is not None
    assert one == pytest.approx(2 * (two or 0))
    total = json.loads(json.dumps(ten.to_dict(gpu_rate=1000)))["total"]
    assert (total["gpu_hours"], total["gpu_rate"]) == (one, 1000)
    assert (total["download"], total["models"]) == (ten.download, 17)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_sweeps_plan_is_whole_at_any_width(ten: SweepCost, width: int) -> None:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    with console.capture() as written:
        console.print(show_sweep_plan(ten))
    text = written.get()
    assert all(len(line) <= width for line in text.splitlines())
    for pair in study_pairs():
        for name in (pair.medical, pair.base):
            assert re.search(rf"(^|\s){re.escape(name)}($|[\s,])", text, re.MULTILINE), name
    assert "an assumption" in " ".join(text.split())
    assert "tokens a second for 7 billion weights" in " ".join(text.split())
    assert "…" not in text
