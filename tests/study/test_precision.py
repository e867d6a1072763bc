"""The precision of a run that names none: by speed and memory, and for a run that was begun the one it began with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from medbench_local import UsageError, api
from medbench_local.acquire.calibration import CANDIDATES
from medbench_local.catalog.protocol import default_protocol
from medbench_local.catalog.quantisation import load_quant
from medbench_local.cli.main import main
from medbench_local.engine.machine import MachineNotes
from medbench_local.results.cost import ComparisonCost
from medbench_local.results.folder import Run
from medbench_local.study import cost, precision
from medbench_local.study.cost import plan_comparison
from medbench_local.study.ladder import candidates
from medbench_local.study.options import CompareOptions, resolve
from medbench_local.study.precision import closest_that_is_fast, needed
from medbench_local.study.tools import Tools
from tests.study.conftest import Fakes, precision_of

SEVEN = 6_740_000_000
SLOW_Q8 = {"full": 2.4e11, "q8_0": 2.7e11, "q6_k": 3.7e11, "q5_k_m": 4.1e11, "q4_k_m": 4.2e11}
"""As measured on an x86 processor; q8_0 is at 0.64 of the fastest, q6_k at 0.88."""

ALIKE = dict.fromkeys(SLOW_Q8, 3e11)
SOME: dict[str, Any] = {
    "tasks": ["./made-up"],
    "protocol": "laptop",
    "limit": 8,
    "shots": [0],
    "check": "none",
}


@pytest.mark.parametrize(
    ("speeds", "free", "expected"),
    [
        (SLOW_Q8, 64e9, "q6_k"),
        (ALIKE, 64e9, "q8_0"),
        (ALIKE | {"q4_k_m": 3.9e11}, 64e9, "q8_0"),
        (ALIKE | {"q4_k_m": 4.1e11}, 64e9, "q4_k_m"),
        (SLOW_Q8, 6.5e9, "q5_k_m"),  # q6_k takes 6.6 GB with what is beside the weights
        (SLOW_Q8, 5.2e9, "q4_k_m"),
        (SLOW_Q8, 1e9, "q4_k_m"),  # refused later, with the numbers
        (SLOW_Q8, None, "q6_k"),
        ({}, 64e9, "q8_0"),
        ({"full": 9e11, "q4_k_m": 1e11}, 64e9, "q4_k_m"),
    ],
)
def test_the_closest_to_full_that_is_fast_and_fits(
    speeds: dict[str, float], free: float | None, expected: str
) -> None:
    found = closest_that_is_fast(speeds, SEVEN, None if free is None else int(free), CANDIDATES)
    assert found.quant.name == expected


def test_the_reason_names_the_speeds_of_the_model() -> None:
    said = str(closest_that_is_fast(SLOW_Q8, SEVEN, 2**36, CANDIDATES))
    assert said == (
        "precision q6_k: the closest to full of those that are fast here "
        "(tokens a second, about: q8_0 40, q6_k 55, q5_k_m 61, q4_k_m 62)"
    )
    assert "fit into 6.1 GiB" in str(closest_that_is_fast(SLOW_Q8, SEVEN, int(6.5e9), CANDIDATES))


def test_memory_of_7_billion_weights() -> None:
    assert needed(SEVEN, load_quant("q6_k")) == pytest.approx(1.1 * 6.74e9 * 6.5625 / 8 + 2**29, rel=0.01)


def test_only_what_is_coarser_than_the_stand_in_for_full_precision() -> None:
    assert candidates(resolve(CompareOptions())) == CANDIDATES
    checked = resolve(CompareOptions(check_precision="q6_k"))
    assert candidates(checked) == ("q5_k_m", "q4_k_m")


@pytest.fixture
def measured(fakes: Fakes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, demo_home: Path) -> Fakes:
    """The embedded pair as if it were large, on a machine on which q8_0 is slow."""
    monkeypatch.setattr(precision, "TINY", 0)
    for name, speed in SLOW_Q8.items():
        _note(demo_home, name, speed)
    return fakes


def _note(home: Path, name: str, speed: float) -> None:
    topic = f"weights a second, {CompareOptions().engine_of_quantised.mode}, default threads"
    MachineNotes(home).note(topic, name, speed)


def _loaded(fakes: Fakes) -> set[str]:
    return {precision_of(Path(engine.info.model)) for engine in fakes.started}


def _manifest(run: Run) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run.folder.manifest_file.read_text())
    return found


def test_the_choice_is_written_and_kept(measured: Fakes, demo_home: Path) -> None:
    first = measured.compare(**SOME)
    assert first.results.precision == "q6_k"
    assert _manifest(first)["precision_choice"]["precision"] == "q6_k"
    assert "q8_0" in _manifest(first)["precision_choice"]["reason"]
    for name in SLOW_Q8:
        _note(demo_home, name, 3e11)  # the machine has changed: q8_0 would be chosen
    again = measured.compare(**SOME)
    assert (again.folder, again.computed) == (first.folder, False)
    assert measured.compare(**(SOME | {"limit": 7})).results.precision == "q8_0"


def test_an_interrupted_run_goes_on_at_its_precision(
    measured: Fakes, demo_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr("medbench_local.study.compare.assemble", _fail)
        with pytest.raises(RuntimeError):
            measured.compare(**SOME)
    for name in SLOW_Q8:
        _note(demo_home, name, 3e11)
    asked = measured.prompts
    assert measured.compare(**SOME).results.precision == "q6_k"
    assert measured.prompts == asked, "everything was scored before"


def _fail(*_given: object, **_named: object) -> None:
    raise RuntimeError


def test_a_run_of_the_first_release_is_found(measured: Fakes) -> None:
    """It was made at q8_0 because nothing else was, and its manifest says nothing of a choice."""
    old = measured.compare(**SOME, quant="q8_0")
    manifest = _manifest(old)
    del manifest["precision_choice"]
    old.folder.write_manifest(manifest)
    again = measured.compare(**SOME)
    assert (again.folder, again.computed) == (old.folder, False)


@pytest.mark.parametrize("where", ["default", "output"])
def test_a_precision_that_was_asked_for_is_no_choice(measured: Fakes, tmp_path: Path, where: str) -> None:
    """A run at q4_k_m, asked for, is another run than the one that names no precision."""
    asked = measured.compare(**SOME, quant="q4_k_m")
    assert _manifest(asked)["precision_choice"] is None
    output: dict[str, Any] = {"output": tmp_path / "elsewhere"} if where == "output" else {}
    free = measured.compare(**SOME, **output)
    assert free.results.precision == "q6_k"
    assert free.folder != asked.folder
    assert measured.compare(**SOME, **output).computed is False


def test_small_models_are_not_measured(fakes: Fakes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "measured_speeds", _fail)
    run = fakes.compare(**SOME)
    assert run.results.precision == "q8_0"
    assert _manifest(run)["precision_choice"]["reason"] == "so few weights are fast at any precision"


def _planned(fakes: Fakes, **options: Any) -> ComparisonCost:
    asked = resolve(CompareOptions(**options), protocol=default_protocol("demo-med", "demo-base"))
    return plan_comparison("demo-med", "demo-base", asked, Tools(fakes.start))


def test_a_plan_is_of_the_run_that_was_begun(
    measured: Fakes, demo_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cost, "TINY", 0)
    assert _planned(measured, **SOME).precisions == ("q6_k",)
    with monkeypatch.context() as broken:
        broken.setattr("medbench_local.study.compare.assemble", _fail)
        with pytest.raises(RuntimeError):
            measured.compare(**SOME)
    for name in SLOW_Q8:
        _note(demo_home, name, 3e11)
    assert _planned(measured, **SOME).precisions == ("q6_k",), "it goes on at its precision"
    assert _planned(measured, **(SOME | {"limit": 7})).precisions == ("q8_0",), "another run"
    assert _planned(measured, **SOME, quant="q4_0").precisions == ("q4_0",)


def test_a_plan_makes_nothing(fakes: Fakes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fakes.compare(**SOME)
    monkeypatch.setenv("MEDBENCH_HOME", str(tmp_path / "empty"))
    for options in (SOME, SOME | {"check": "sample", "check_precision": "q6_k"}):
        _planned(fakes, **options)
    assert not list((tmp_path / "empty").rglob("*.gguf"))


def test_a_stand_in_of_q8_0_leaves_what_is_below_it(measured: Fakes) -> None:
    options = SOME | {"check": "full", "check_precision": "q8_0"}
    assert measured.compare(**options).results.precision == "q6_k"
    with pytest.raises(UsageError, match="q4_0 cannot stand in for full precision"):
        measured.compare(**(options | {"check_precision": "q4_0"}))


def test_small_models_are_scored_below_a_stand_in_too(fakes: Fakes) -> None:
    options = SOME | {"check": "full", "check_precision": "q8_0"}
    run = fakes.compare(**options)
    assert run.results.precision == "q6_k"
    assert _planned(fakes, **options).precisions == ("q6_k",)


@pytest.mark.parametrize(
    ("speeds", "expected"),
    [(SLOW_Q8, "q6_k"), (ALIKE, "q8_0"), ({}, "q8_0")],
    ids=["slow", "alike", "not measured"],
)
def test_what_is_fetched_and_shown_is_what_a_run_would_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, speeds: dict[str, float], expected: str
) -> None:
    monkeypatch.setenv("MEDBENCH_HOME", str(tmp_path))
    monkeypatch.setattr("medbench_local.study.precision.memory_available", lambda: 2**36)
    for name, speed in speeds.items():
        _note(tmp_path, name, speed)
    assert api.usual_precision("meditron-7b", measure=False).quant.name == expected
    assert api.usual_precision("demo-med", measure=True).quant.name == "q8_0", "too small to be measured"


def test_fetching_and_showing_a_model_take_the_choice(
    measured: Fakes, demo_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert api.fetch_model("demo-med").precision == "q6_k"
    assert api.fetch_model("demo-med", quant="q8_0").precision == "q8_0"
    with pytest.raises(SystemExit) as ended:
        main(["models", "show", "demo-med", "--json"])
    assert ended.value.code == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["precision"].startswith("q6_k: the closest to full")
    assert facts["q6_k GGUF"].endswith("(here)")
