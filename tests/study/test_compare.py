"""The whole way from two names to verdicts, with the fake engine: what is kept, found again and repeated."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from medbench_local import CancelledError, StoreError, UsageError, WorkerDied
from medbench_local.acquire.source import DEMO
from medbench_local.catalog.protocol import Protocol, SelectionSettings
from medbench_local.engine.fake import FakeEngine
from medbench_local.errors import InputError
from medbench_local.progress import Silent
from medbench_local.results.folder import Run
from medbench_local.results.summary import summary
from medbench_local.study.compare import run_comparison
from medbench_local.study.options import CompareOptions, resolve
from medbench_local.study.tools import Tools
from tests.study.conftest import Fakes, knowing, model_of, precision_of, write_task

SMALL = Protocol(
    name="small",
    summary="Few candidates.",
    shots=(0, 2),
    selection=SelectionSettings(method="exhaustive", formats=(1,), demonstration_seeds=(0, 1)),
)
SOME: dict[str, Any] = {"protocol": SMALL, "tasks": ["./made-up"], "limit": 15}


def _compare(fakes: Fakes, **changes: Any) -> Run:
    return fakes.compare("demo-med", "demo-base", **(SOME | changes))


def _bytes_but_timing(run: Run) -> str:
    data = json.loads(run.folder.results_file.read_bytes())
    del data["timing"]
    return json.dumps(data)


def _samples(run: Run, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run.folder.samples_file(name).read_text().splitlines()]


def test_a_run_leaves_everything_that_is_promised(fakes: Fakes) -> None:
    run = _compare(fakes)
    names = {path.name for path in run.folder.path.iterdir()}
    assert {"manifest.json", "results.json", "scores.sqlite", "samples"} <= names
    cells = [(c.task, c.shots, c.scoring, c.n) for c in run.results.comparisons]
    assert cells == [("made-up", 0, "constrained", 15), ("made-up", 2, "constrained", 15)]
    data = json.loads(run.folder.results_file.read_text())
    assert data["schema"] == 2
    assert {"models", "precision", "protocol", "comparisons", "summary", "timing"} <= set(data)
    assert data["summary"]["win_rate"] == summary(run.results.comparisons).win_rate
    for comparison in run.results.comparisons:
        assert comparison.verified
        check = comparison.check
        assert (check.state, check.against, check.checked, check.of) == ("full", "full", 15, 15)
        assert check.changes is not None
        assert check.changes.medical is not None
        assert check.changes.medical.flips == 0, "the fake scores alike at both precisions"
    # two models at two precisions, each loaded once and closed again
    assert len(fakes.started) == 4
    assert all(engine.closed for engine in fakes.started)
    assert str(run.results).startswith("demo-med against demo-base, scored at q8_0\nmade-up, 0-shot: ")
    assert str(run).startswith("demo-med against demo-base (q8_0")
    assert f"files: {run.folder.path}" in str(run).splitlines()
    assert repr(run).startswith("<Run: demo-med against demo-base: win 2; ")
    assert "\n" not in repr(run)


def test_the_same_command_finds_its_finished_run(fakes: Fakes) -> None:
    first = _compare(fakes)
    before = first.folder.results_file.read_bytes()
    scored = fakes.prompts
    again = _compare(fakes, threads=1)
    assert (first.computed, again.computed) == (True, False)
    assert again.results == first.results
    assert again.folder.results_file.read_bytes() == before
    assert fakes.prompts == scored


@pytest.mark.parametrize(
    "change",
    [
        {"limit": 14},
        {"shots": [0]},
        {"scoring": "label"},
        {"quant": "q6_k"},
        {"check": "none"},
        {"check": "full"},
        {"ablation": True},
        {"system_prompt": "Answer."},
        {"tasks": ["demo-anatomy"]},
        {"mode": "fast"},
        {"protocol": SMALL.model_copy(update={"demonstration_seed": 1})},
    ],
    ids=lambda change: next(iter(change)),
)
def test_whatever_decides_the_result_decides_the_folder(
    fakes: Fakes, tmp_path: Path, change: dict[str, Any]
) -> None:
    fakes.make = lambda path: FakeEngine("same", die_after=0)
    for options in ({}, change):
        with pytest.raises(WorkerDied):
            _compare(fakes, **options)
    assert len(list((tmp_path / "runs").iterdir())) == 2


def test_a_folder_that_holds_another_run_is_refused_and_left_alone(fakes: Fakes, tmp_path: Path) -> None:
    run = _compare(fakes, output=tmp_path / "mine")
    before = {p: p.read_bytes() for p in run.folder.path.rglob("*") if p.is_file()}
    with pytest.raises(StoreError, match=r"holds another run.*`output=`"):
        _compare(fakes, output=tmp_path / "mine", limit=5)
    assert {p: p.read_bytes() for p in before} == before


def test_an_output_that_cannot_be_written_is_refused_before_any_work(
    fakes: Fakes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medbench_local.study.compare.Planner", None)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match=r"cannot be written.*`output=`"):
        _compare(fakes, output=tmp_path / "file" / "run")


def test_two_undisturbed_runs_are_equal_but_for_timing(fakes: Fakes, tmp_path: Path) -> None:
    first = _compare(fakes, output=tmp_path / "1" / "run")
    second = _compare(fakes, output=tmp_path / "2" / "run")
    assert second.computed
    assert _bytes_but_timing(first) == _bytes_but_timing(second)
    assert _samples(first, "base.made-up.2-shot") == _samples(second, "base.made-up.2-shot")


def test_a_run_whose_workers_die_goes_on_where_it_stopped(fakes: Fakes, tmp_path: Path) -> None:
    undisturbed = _compare(fakes, output=tmp_path / "whole" / "run")
    needed = fakes.prompts
    fakes.started.clear()
    fakes.make = lambda path: knowing(model_of(path), die_after=1)
    attempts = 0
    while attempts < 100:
        attempts += 1
        try:
            run = _compare(fakes, output=tmp_path / "broken" / "run")
            break
        except WorkerDied:
            assert not (tmp_path / "broken" / "run" / "results.json").exists()
    assert attempts > 5
    assert fakes.prompts == needed, "no prompt was scored a second time"
    assert _bytes_but_timing(run) == _bytes_but_timing(undisturbed)


def test_retries_start_a_dead_worker_again(fakes: Fakes, tmp_path: Path) -> None:
    undisturbed = _compare(fakes, output=tmp_path / "whole" / "run")
    fakes.make = lambda path: knowing(model_of(path), die_after=3)
    with pytest.raises(WorkerDied):
        _compare(fakes, output=tmp_path / "few" / "run", retries=1)
    run = _compare(fakes, output=tmp_path / "many" / "run", retries=5)
    assert _bytes_but_timing(run) == _bytes_but_timing(undisturbed)


def test_neighbouring_runs_share_their_scores(fakes: Fakes) -> None:
    _compare(fakes)
    fakes.started.clear()
    wider = SMALL.model_copy(update={"selection": SMALL.selection.model_copy(update={"formats": (1, 2)})})
    run = _compare(fakes, protocol=wider)
    timing = run.results.timing
    assert timing.prompts_reused > timing.prompts_scored > 0
    assert timing.prompts_scored == fakes.prompts


def test_the_manifest_says_what_went_into_the_run(fakes: Fakes) -> None:
    run = _compare(fakes, system_prompt="Be brief.")
    manifest = run.folder.manifest()
    assert run.folder.name == f"demo-med-vs-demo-base-{manifest['identity']}"
    assert {"medbench-local", "llama-cpp-python", "llama.cpp", "python", "platform"} <= set(
        manifest["versions"]
    )
    medical = manifest["models"]["medical"]
    assert (medical["name"], medical["catalog"], medical["origin"]) == ("demo-med", "demo-med", "embedded")
    assert Path(medical["scored"]["path"]).is_file()
    assert medical["scored"]["sha256"] == run.results.models.medical.sha256
    assert medical["full"]["sha256"] == medical["checked_against"]["sha256"] != medical["scored"]["sha256"]
    assert {f["path"] for f in medical["checkpoint"]["files"]} >= {"config.json", "model.safetensors"}
    assert (medical["device"], medical["numerics"]) == ("fake", {"engine": "fake"})
    assert medical["first_prompt"]["first_tokens"][0] == 1, "BOS"
    assert len(medical["first_prompt"]["last_tokens"]) == 8
    data = manifest["data"]["made-up"]["test"]
    assert data["files"][0]["sha256"]
    assert manifest["settings"]["system_prompt"] == "Be brief."
    assert manifest["quantisation"]["name"] == "q8_0"
    assert set(manifest["seeds"]) == {"selection", "check", "demonstrations"}
    assert manifest["protocol"]["name"] == "small"


def test_samples_hold_one_line_a_question(fakes: Fakes) -> None:
    run = _compare(fakes)
    rows = _samples(run, "medical.made-up.0-shot")
    assert len(rows) == 15
    right = sum(row["correct"] for row in rows)
    assert right / 15 == run.results.comparisons[0].accuracy.medical
    for row in rows:
        assert row["prediction"] == row["logprobs"].index(max(row["logprobs"]))
        assert row["correct"] == (row["prediction"] == row["answer"]) == bool(row["acc"])
        assert (row["model"], row["role"], row["precision"]) == ("demo-med", "medical", "full"), "as reported"
    beside = _samples(run, "q8_0/medical.made-up.0-shot")
    assert [row["id"] for row in beside] == [row["id"] for row in rows]
    assert {row["precision"] for row in beside} == {"q8_0"}


def test_a_verdict_that_full_precision_changes_is_replaced_by_it(fakes: Fakes) -> None:
    fakes.make = lambda path: knowing(model_of(path), None if precision_of(path) == "full" else 0.0)
    run = _compare(fakes, limit=60)
    full = _compare(fakes, limit=60, quant="none")
    for comparison, alone in zip(run.results.comparisons, full.results.comparisons, strict=True):
        assert (comparison.check.state, comparison.reported) == ("full", comparison.verdict)
        assert comparison.quantised is not None
        assert (comparison.quantised.verdict, comparison.quantised.accuracy.medical) == ("tie", 0.0)
        assert comparison.equivalence is not None
        assert comparison.equivalence.verdict_quantised == "tie"
        assert comparison.equivalence.verdict_full_precision == comparison.verdict == "win"
        # another precision chooses among prompts by other scores, so only the kind of result can be compared
        assert alone.verdict == "win"
    assert run.results.summary.not_verified_rate == 0


def many_questions(fakes: Fakes, folder: Path, count: int = 900) -> list[str]:
    """A task with ``count`` test questions; its name for `compare`."""
    write_task(folder, test=count)
    return [f"./{folder.name}"]


def test_a_check_ends_where_the_verdict_is_settled(fakes: Fakes, tmp_path: Path) -> None:
    tasks = many_questions(fakes, tmp_path / "many")
    run = _compare(fakes, tasks=tasks, limit=None, shots=[0])
    (comparison,) = run.results.comparisons
    check = comparison.check
    assert (check.state, check.confidence, comparison.reported) == ("confident", 0.95, comparison.verdict)
    assert 100 < check.checked < 300
    assert check.possible_verdicts == (comparison.verdict,)
    assert comparison.equivalence is None
    rows = _samples(run, "full/base.many.0-shot")
    assert (len(rows), {row["precision"] for row in rows}) == (check.checked, {"full"})
    assert {row["precision"] for row in _samples(run, "base.many.0-shot")} == {"q8_0"}
    # whoever asks for everything gets the same verdict, and nothing is asked twice
    asked = fakes.prompts
    whole = _compare(fakes, tasks=tasks, limit=None, shots=[0], check="full")
    assert whole.results.comparisons[0].check.state == "full"
    assert whole.results.comparisons[0].verdict == comparison.verdict
    assert fakes.prompts - asked <= 2 * (900 - check.checked)


def test_a_check_ends_at_the_same_place_after_interruptions(fakes: Fakes, tmp_path: Path) -> None:
    tasks = many_questions(fakes, tmp_path / "many")
    options: dict[str, Any] = {"tasks": tasks, "limit": None, "shots": [0]}
    undisturbed = _compare(fakes, output=tmp_path / "whole" / "run", **options)
    fakes.make = lambda path: knowing(model_of(path), die_after=3)
    for _ in range(200):
        try:
            run = _compare(fakes, output=tmp_path / "broken" / "run", **options)
            break
        except WorkerDied:
            continue
    assert _bytes_but_timing(run) == _bytes_but_timing(undisturbed)
    assert _samples(run, "full/base.many.0-shot") == _samples(undisturbed, "full/base.many.0-shot")


def test_scores_that_are_known_change_neither_the_order_nor_the_end_of_a_check(
    fakes: Fakes, tmp_path: Path
) -> None:
    tasks = many_questions(fakes, tmp_path / "many")
    options: dict[str, Any] = {"tasks": tasks, "limit": None, "shots": [0]}
    alone = _compare(fakes, output=tmp_path / "alone" / "run", **options)
    _compare(fakes, output=tmp_path / "beside" / "everything", check="full", **options)
    scored = fakes.prompts
    again = _compare(fakes, output=tmp_path / "beside" / "run", **options)
    assert fakes.prompts == scored
    assert _bytes_but_timing(again) == _bytes_but_timing(alone)


def test_auto_climbs_until_verdicts_are_settled(fakes: Fakes, tmp_path: Path) -> None:
    def make(path: Path) -> FakeEngine:
        return knowing(model_of(path), 0.0 if precision_of(path) == "q4_0" else None)

    fakes.make = make
    tasks = many_questions(fakes, tmp_path / "many")
    run = _compare(fakes, quant="auto", tasks=tasks, limit=None, shots=[0])
    first, second = run.results.ladder
    assert (first.precision, first.verified, first.comparisons, first.questions) == ("q4_0", 0, 1, 900)
    assert first.checked is not None
    assert 100 <= first.checked <= 900 * 0.25
    assert second.verified == 1
    assert run.results.precision == second.precision != "q4_0"
    assert run.results.comparisons[0].reported == run.results.comparisons[0].verdict
    assert {row["precision"] for row in _samples(run, "base.many.0-shot")} == {second.precision}
    assert run.folder.manifest()["quantisation"]["name"] == second.precision
    assert _compare(fakes, quant="auto", tasks=tasks, limit=None, shots=[0]).computed is False


def test_samples_of_precisions_that_were_tried_before_are_gone(fakes: Fakes, tmp_path: Path) -> None:
    fakes.make = lambda path: knowing(model_of(path), 0.0 if precision_of(path) == "q4_0" else None)
    run = _compare(fakes, quant="auto", tasks=many_questions(fakes, tmp_path / "many"), limit=None, shots=[0])
    assert run.results.precision != "q4_0"
    rows = [
        json.loads(line)
        for path in (run.folder.path / "samples").rglob("*.jsonl")
        for line in path.read_text().splitlines()
    ]
    assert {row["precision"] for row in rows} == {run.results.precision, "full"}


def test_auto_ends_at_full_precision_where_nothing_else_is_verified(fakes: Fakes, tmp_path: Path) -> None:
    fakes.make = lambda path: knowing(model_of(path), None if precision_of(path) == "full" else 0.0)
    tasks = many_questions(fakes, tmp_path / "many")
    run = _compare(fakes, quant="auto", tasks=tasks, limit=None, shots=[0])
    assert run.results.precision == "full"
    assert [step.verified for step in run.results.ladder] == [0] * (len(run.results.ladder) - 1) + [1]
    (comparison,) = run.results.comparisons
    assert (comparison.equivalence, comparison.quantised) == (None, None), "nothing is left to check"
    assert (comparison.check.state, comparison.check.checked) == ("full", 900)
    assert comparison.reported in ("win", "tie", "loss")


def test_a_stand_in_is_loaded_checked_against_and_named(fakes: Fakes) -> None:
    seen = []

    def make(path: Path) -> FakeEngine:
        seen.append(precision_of(path))
        return knowing(model_of(path))

    fakes.make = make
    run = _compare(fakes, quant="q4_0", check_precision="q8_0")
    assert seen == ["q4_0", "q4_0", "q8_0", "q8_0"]
    equivalence = run.results.comparisons[0].equivalence
    assert equivalence is not None
    assert equivalence.medical is not None
    assert equivalence.medical.reference_precision == "q8_0"
    comparison = run.results.comparisons[0]
    assert (comparison.check.state, comparison.check.against) == ("full", "q8_0")
    assert comparison.reported == "not verified", "a stand-in verifies nothing"
    assert run.results.summary.not_verified_rate == 1
    assert {row["precision"] for row in _samples(run, "base.made-up.0-shot")} == {"q4_0"}
    medical = run.folder.manifest()["models"]["medical"]
    assert "q8_0" in medical["checked_against"]["path"]


@pytest.mark.parametrize(
    ("quant", "higher", "said"),
    [
        ("q8_0", "q4_0", "q4_0 cannot stand in"),
        ("auto", "q4_0", "No precision of the ladder"),
        ("q4_0", "x", "'x'"),
    ],
)
def test_a_stand_in_must_be_more_precise(fakes: Fakes, quant: str, higher: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        _compare(fakes, quant=quant, check_precision=higher)


def test_without_a_check_the_report_says_so(fakes: Fakes) -> None:
    run = _compare(fakes, check="none")
    assert len(fakes.started) == 2
    comparison = run.results.comparisons[0]
    assert (comparison.check.state, comparison.check.checked, comparison.check.confidence) == (
        "none",
        0,
        None,
    )
    assert comparison.reported == "not verified"
    assert comparison.possible == ("loss", "tie", "win")


def test_full_precision_needs_no_check(fakes: Fakes) -> None:
    run = _compare(fakes, quant="none")
    assert len(fakes.started) == 2
    assert (run.results.precision, run.results.warnings) == ("full", ())
    assert all(c.check.state == "full" and c.reported == c.verdict for c in run.results.comparisons)


def test_the_ablation_asks_the_base_model_with_the_medical_prompts(fakes: Fakes) -> None:
    plain, found = _compare(fakes), _compare(fakes, ablation=True)
    for without, comparison in zip(plain.results.comparisons, found.results.comparisons, strict=True):
        assert without.ablation is not None
        assert without.ablation.shared_prompt is None
        assert comparison.ablation is not None
        assert comparison.ablation.shared_prompt in ("win", "tie", "loss")
        same = comparison.prompt.medical.format == comparison.prompt.base.format
        if same and comparison.prompt.medical.demonstrations == comparison.prompt.base.demonstrations:
            assert comparison.ablation.shared_prompt_accuracy == comparison.accuracy.base


def test_all_four_scorings_run_through(fakes: Fakes) -> None:
    for scoring in ("constrained", "label", "cloze", "greedy"):
        run = _compare(fakes, scoring=scoring, shots=[0])
        assert run.results.comparisons[0].scoring == scoring


def test_more_shots_than_demonstrations_is_refused_before_anything_is_loaded(fakes: Fakes) -> None:
    with pytest.raises(UsageError, match=r"8 demonstrations.*at most 8"):
        _compare(fakes, shots=[9])
    assert fakes.started == []


def test_a_damaged_result_is_named_not_computed_over(fakes: Fakes) -> None:
    run = _compare(fakes)
    run.folder.results_file.write_text("{")
    with pytest.raises(InputError, match=r"results\.json"):
        _compare(fakes)


def test_models_given_quantised_are_never_called_verified(fakes: Fakes, demo_home: Path) -> None:
    assert _compare(fakes).results.warnings == ()
    given = next(demo_home.glob("models/demo-med-*/q8_0-*.gguf"))
    run = fakes.compare(str(given), "demo-base", **SOME, quant="none")
    assert run.results.precision == "q8_0 against full"
    assert all(c.check.obstacle == "no-fuller-file" for c in run.results.comparisons)
    assert all(c.reported == "not verified" for c in run.results.comparisons)
    (warning,) = run.results.warnings
    assert "quantised differently" in warning
    assert {row["precision"] for row in _samples(run, "medical.made-up.0-shot")} == {"q8_0"}
    assert {row["precision"] for row in _samples(run, "base.made-up.0-shot")} == {"full"}
    alike = fakes.compare(str(given), str(next(demo_home.glob("models/demo-base-*/q8_0-*.gguf"))), **SOME)
    assert alike.results.precision == "q8_0"
    assert [w for w in alike.results.warnings if "differently" in w] == []


def test_the_files_of_a_catalog_model_in_a_folder_of_its_name_are_another_run(
    fakes: Fakes, tmp_path: Path
) -> None:
    known = _compare(fakes)
    shutil.copytree(DEMO / "demo-med", tmp_path / "mine" / "demo-med")
    other = fakes.compare(str(tmp_path / "mine" / "demo-med"), "demo-base", **SOME)
    assert other.results.models.medical.sha256 == known.results.models.medical.sha256
    assert other.folder.path != known.folder.path


def test_results_of_unknown_origin_are_not_taken_for_this_run_s(fakes: Fakes) -> None:
    run = _compare(fakes)
    run.folder.manifest_file.unlink()
    with pytest.raises(StoreError, match=r"without a manifest\.json"):
        _compare(fakes)


class Answering(Silent):
    """A listener that is asked, and answers always the same."""

    def __init__(self, answer: bool) -> None:
        self.answer = answer
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def confirm(self, question: str) -> bool:
        assert question == "Compare it with itself?"
        return self.answer


@pytest.mark.parametrize("answer", [True, False, None])
def test_a_model_against_itself_is_asked_about_where_somebody_answers(
    fakes: Fakes, answer: bool | None
) -> None:
    listener = Silent() if answer is None else Answering(answer)
    asked = resolve(CompareOptions(tasks=["./made-up"], shots=[0], limit=5))
    tools = Tools(fakes.start, listener)
    if answer is False:
        with pytest.raises(CancelledError, match="Nothing was computed"):
            run_comparison("demo-med", "demo-med", asked, tools)
        assert fakes.prompts == 0
        return
    found = run_comparison("demo-med", "demo-med", asked, tools).results
    assert found.warnings[0].startswith("Both models are the same file")
    assert found.comparisons[0].difference == 0
    if isinstance(listener, Answering):
        assert found.warnings[0] in listener.notes
