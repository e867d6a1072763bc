"""A run is held against its own samples, scores and files: sound ones hold, and each kind of tampering is named."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medbench_local import InputError, UsageError, Verification, compare, verify
from medbench_local.results.folder import Run
from medbench_local.results.reading import read_results
from medbench_local.statistics.paired import paired_bootstrap
from tests.cli.command import Command
from tests.cli.conftest import command as command
from tests.study.conftest import Fakes, knowing, model_of, precision_of, write_task

OPTIONS: dict[str, Any] = {"tasks": ["./made-up"], "shots": [2], "quant": "q8_0", "limit": 30}
MEDICAL, BASE = "samples/medical.made-up.2-shot.jsonl", "samples/base.made-up.2-shot.jsonl"
QUESTIONS, PROMPTS = "questions/made-up.jsonl", "prompts.jsonl"


@pytest.fixture
def run(fakes: Fakes) -> Run:
    return fakes.compare(**OPTIONS)


def states(found: Verification) -> dict[str, str]:
    return {check.what: check.state for check in found.checks}


def failed(found: Verification) -> str:
    return "\n".join(f"{c.what}: {c.said}" for c in found.checks if c.state == "does not hold")


def test_a_run_of_the_embedded_pair_holds(
    demo_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    """With the real engine, the questions, models and data at hand: next to everything is checked."""
    monkeypatch.setenv("MEDBENCH_HOME", str(demo_home))
    monkeypatch.chdir(tmp_path)
    run = compare("demo-med", "demo-base", tasks=["demo-anatomy"], limit=40, quant="q8_0")
    found = verify(run)
    assert found.outcome == "holds", str(found)
    assert (found.comparisons, found.recomputed) == (1, 1)
    left = {what for what, state in states(found).items() if state == "not checked"}
    unread = {"report.md and report.html", "command"}
    assert unread <= left
    assert left - unread <= {"the search for prompts", "the base model with the medical model's prompts"}
    assert {"files of demo-med (medical)", "data of demo-anatomy", "prompts written anew"} <= set(
        states(found)
    )
    shown = command("verify", run.folder.path)
    assert (shown.code, shown.out.splitlines()[-1]) == (0, found.conclusion)
    as_json = json.loads(command("verify", run.folder.path, "--json").out)
    assert (as_json["outcome"], len(as_json["checks"])) == ("holds", len(found.checks))


@pytest.mark.parametrize(
    "options",
    [
        {"check": "full"},
        {"check": "none"},
        {"quant": "full"},
        {"quant": "auto"},
        {"scoring": "greedy", "check": "full"},
        {"scoring": "cloze"},
        {"mode": "fast"},
        {"ablation": True, "shots": [0, 2]},
        {"questions": False},
    ],
    ids=str,
)
def test_sound_runs_of_every_kind_hold(fakes: Fakes, options: dict[str, Any]) -> None:
    def make(path: Path) -> Any:  # models that answer otherwise at full precision
        model = model_of(path)
        return knowing(
            model, {"demo-med": 0.9, "demo-base": 0.4}[model] - (precision_of(path) == "full") * 0.1
        )

    fakes.make = make
    found = verify(fakes.compare(**(OPTIONS | options)))
    assert found.outcome == "holds", str(found)


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def edit(name: str, line: int, **changes: Any) -> Callable[[Path], None]:
    """Replaces values in a line of a file."""

    def tamper(folder: Path) -> None:
        found = rows(folder / name)
        found[line - 1] |= changes
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in found), encoding="utf-8")

    return tamper


def flip_correct(folder: Path) -> None:
    found = rows(folder / MEDICAL)[2]
    edit(MEDICAL, 3, correct=not found["correct"])(folder)


def swap_prediction(folder: Path) -> None:
    """A prediction with all that follows from it in its line."""
    found = rows(folder / MEDICAL)[2]
    other = (found["prediction"] + 1) % 4
    right = other == found["answer"]
    edit(MEDICAL, 3, prediction=other, correct=right, acc=int(right))(folder)


def swap_scores(folder: Path) -> None:
    """A whole answer, scores included, that nobody computed."""
    found = rows(folder / MEDICAL)[2]
    wrong = (found["answer"] + 1) % 4
    logprobs = [-9.0 - option for option in range(4)]
    logprobs[wrong] = -0.5
    edit(MEDICAL, 3, prediction=wrong, logprobs=logprobs, correct=False, acc=0)(folder)


def remove_line(folder: Path) -> None:
    text = (folder / MEDICAL).read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / MEDICAL).write_text("".join(text[:4] + text[5:]), encoding="utf-8")


def exchange_lines(folder: Path) -> None:
    text = (folder / MEDICAL).read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / MEDICAL).write_text("".join([text[1], text[0], *text[2:]]), encoding="utf-8")


def change_results(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    data = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    change(data)
    (folder / "results.json").write_text(json.dumps(data), encoding="utf-8")


def change_verdict(folder: Path) -> None:
    change_results(folder, lambda data: data["comparisons"][0].update(verdict="loss"))


def change_accuracy(folder: Path) -> None:
    def change(data: dict[str, Any]) -> None:
        own = data["comparisons"][0]["accuracy"]
        own["medical"] = own["medical"] - 1 / 30

    change_results(folder, change)


def change_everything_alike(folder: Path) -> None:
    """Numbers that agree with each other, but not with the samples: two more questions that both have right."""

    def change(data: dict[str, Any]) -> None:
        for part in (data["comparisons"][0], data["comparisons"][0]["quantised"]):
            for role in ("medical", "base"):
                part["accuracy"][role] -= 1 / 30

    change_results(folder, change)
    read_results(folder / "results.json")


def change_rates(folder: Path) -> None:
    change_results(folder, lambda data: data["summary"].update(win_rate=0.123))


def change_flips(folder: Path) -> None:
    change_results(folder, lambda data: data["comparisons"][0]["check"]["changes"]["medical"].update(flips=1))


def change_protocol(folder: Path) -> None:
    change_results(folder, lambda data: data["protocol_content"]["check"].update(seed=77))


def change_model(folder: Path) -> None:
    change_results(folder, lambda data: data["models"]["medical"].update(sha256="0" * 64))


def edit_prompt(folder: Path) -> None:
    text = (folder / PROMPTS).read_text(encoding="utf-8")
    (folder / PROMPTS).write_text(text.replace("test item 0", "test item 1"), encoding="utf-8")


TAMPERINGS: dict[str, tuple[Callable[[Path], None], str]] = {
    "a flipped `correct`": (flip_correct, r"medical\.made-up\.2-shot\.jsonl.*line 3, key 'correct'.*test-2"),
    "a swapped prediction": (swap_prediction, r"line 3, key 'prediction'.*test-2.*largest for option"),
    "swapped scores": (swap_scores, r"scores\.sqlite: .*line 3, key 'logprobs'.*test-2"),
    "a removed line": (remove_line, r"expected the 30 questions of results\.json, found 29"),
    "exchanged lines": (exchange_lines, "the question test-0 stands where the medical model has test-1"),
    "another answer": (edit(BASE, 2, answer=0, target=0), r"base\..*line 2, key 'answer'.*test-1"),
    "another model": (edit(BASE, 2, model="gpt"), "line 2, key 'model'"),
    "a changed verdict": (change_verdict, r"results\.json.*verdict.*gives '(win|tie)'"),
    "an accuracy": (change_accuracy, r"results\.json.*accuracy"),
    "numbers that agree with each other": (change_everything_alike, r"verdict of .*key 'accuracy\.medical'"),
    "a rate": (change_rates, r"summary\.win_rate"),
    "a flip": (change_flips, r"check\.changes\.medical\.flips"),
    "another protocol": (change_protocol, r"protocol: .*protocol_content\.check\.seed"),
    "another hash of a model": (change_model, r"files of demo-med \(medical\)"),
    "an edited question": (edit(QUESTIONS, 5, text="What else?"), r"questions of .*line 5.*test-3"),
    "edited options": (edit(QUESTIONS, 5, options=["a", "b", "c", "d"]), r"questions of .*line 5.*test-3"),
    "a question's answer": (edit(QUESTIONS, 5, answer=0), r"line 5, key 'answer'"),
    "an edited prompt": (edit_prompt, r"chosen prompts: .*prompts\.jsonl.*line 2"),
    "the hash of a prompt": (edit(MEDICAL, 7, prompt_sha256="0" * 64), r"prompts written anew: .*test-6"),
}


@pytest.mark.parametrize("kind", TAMPERINGS)
def test_each_kind_of_tampering_is_found_and_named(run: Run, command: Command, kind: str) -> None:
    tamper, said = TAMPERINGS[kind]
    assert verify(run.folder.path).outcome == "holds", str(verify(run.folder.path))
    tamper(run.folder.path)
    found = verify(run.folder.path)
    assert found.outcome == "does not hold"
    assert re.search(said, failed(found)), failed(found)
    shown = command("verify", run.folder.path)
    assert shown.code == 1


def test_where_a_check_ends_is_computed_again(fakes: Fakes) -> None:
    """A check of some of the questions: which ones, and when it could end, follows from the answers."""
    write_task(Path("many"), test=400)
    run = fakes.compare(tasks=["./many"], shots=[0], quant="q8_0")
    (comparison,) = run.results.comparisons
    assert comparison.check.state in ("confident", "certain")
    assert verify(run).outcome == "holds", str(verify(run))
    results = run.folder.results_file.read_bytes()
    checked = comparison.check.checked
    change_results(run.folder.path, lambda data: data["comparisons"][0]["check"].update(checked=checked + 1))
    assert "key 'check.checked'" in failed(verify(run.folder.path))
    run.folder.results_file.write_bytes(results)
    inner = run.folder.path / "samples/full/medical.many.0-shot.jsonl"
    inner.write_text(
        "".join(inner.read_text(encoding="utf-8").splitlines(keepends=True)[1:]), encoding="utf-8"
    )
    found = verify(run)
    assert "check of many, 0-shot" in failed(found)
    assert "cannot end before question" in failed(found)
    inner.unlink()
    inner.with_name("base.many.0-shot.jsonl").unlink()
    assert "no samples of it are there" in failed(verify(run))


def test_the_tampered_numbers_agree_with_each_other(run: Run) -> None:
    """What reading results.json cannot see: the interval depends on the discordant questions alone."""
    comparison = run.results.comparisons[0]
    only, other = comparison.discordant.medical_only, comparison.discordant.base_only
    moved = [1] * only + [0] * (30 - only), [0] * only + [1] * other + [0] * (30 - only - other)
    found = paired_bootstrap(*moved)
    assert (found.low, found.high) == pytest.approx(comparison.ci)


def test_a_changed_data_file_or_model_is_named(run: Run) -> None:
    with Path("made-up/test.jsonl").open("a", encoding="utf-8") as file:
        file.write("\n")
    found = verify(run)
    assert found.outcome == "does not hold"
    assert "data of made-up: test test.jsonl" in failed(found)


def test_what_is_not_there_is_said_and_nothing_is_made_up(run: Run, command: Command) -> None:
    folder = run.folder.path
    for name in ("questions", "samples"):
        shutil.rmtree(folder / name)
    for name in (PROMPTS, "scores.sqlite", "manifest.json"):
        (folder / name).unlink()
    shutil.rmtree("made-up")
    found = verify(folder)
    assert (found.outcome, found.recomputed) == ("not settled", 0)
    unchecked = {what for what, state in states(found).items() if state == "not checked"}
    assert {
        "samples of made-up, 2-shot",
        "questions",
        "chosen prompts",
        "scores.sqlite",
        "identity",
    } <= unchecked
    assert command("verify", folder).code == 3


def test_samples_alone_are_enough_to_hold(run: Run) -> None:
    folder = run.folder.path
    shutil.rmtree(folder / "questions")
    for name in (PROMPTS, "scores.sqlite"):
        (folder / name).unlink()
    shutil.rmtree("made-up")
    found = verify(folder)
    assert found.outcome == "holds", str(found)
    assert states(found)["data of made-up"] == "not checked"
    assert states(found)["prompts written anew"] == "not checked"


def test_a_run_that_is_not_finished_or_not_readable_is_refused(run: Run, command: Command) -> None:
    results = run.folder.results_file
    results.write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match=r"results\.json"):
        verify(run.folder.path)
    results.write_text('{"schema": 99}', encoding="utf-8")
    with pytest.raises(InputError, match="schema"):
        verify(run.folder.path)
    results.unlink()
    with pytest.raises(UsageError, match="not finished"):
        verify(run.folder.path)
    assert "Run its command again" in command.fails("verify", run.folder.path)
