"""compare, sweep, validate and verdict on the embedded pair, with llama.cpp; check: test_exit_codes.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import Command, lines

PROTOCOL = """
name: small
summary: Few candidates.
shots: [0]
selection: {method: exhaustive, formats: [1]}
"""


@pytest.fixture
def small(home: Path) -> list[str]:
    """Options that make a comparison short."""
    (home / "small.yaml").write_text(PROTOCOL)
    return ["--protocol", "small.yaml", "--tasks", "demo-anatomy", "--limit", "12"]


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_from_two_names_to_verdicts_and_a_reference_that_agrees(
    command: Command, home: Path, small: list[str]
) -> None:
    ended = command("compare", "demo-med", "demo-base", *small, "--quant", "none", "--json")
    assert ended.code == 0
    (run,) = (home / "runs").iterdir()
    assert ended.out == (run / "results.json").read_text(encoding="utf-8")
    (comparison,) = json.loads(ended.out)["comparisons"]
    assert comparison["verdict"] in ("win", "tie", "loss")
    shown = command("compare", "demo-med", "demo-base", *small, "--quant", "none")
    assert f"found the finished run runs/{run.name}" in shown.err.replace("\\", "/")
    assert comparison["verdict"] in shown.out
    assert json.loads(command("runs", "list", "--json").out)[0]["state"] == "finished"

    assert command("prompts", "export", "--run", run.name, "--output", "prompts.jsonl").code == 0
    assert len(_rows(home / "prompts.jsonl")) == 24
    embedded = Path(__file__).resolve().parents[2] / "medbench_local" / "demo" / "checkpoints"
    for model in ("demo-med", "demo-base"):
        words = ["--device", "cpu", "--dtype", "float32", "--model", model, "--output", f"{model}.jsonl"]
        assert command("reference", "run", embedded / model, "prompts.jsonl", *words).code == 0
    references = ["--reference", "demo-med.jsonl", "--reference", "demo-base.jsonl"]
    ended = command("validate", run.name, *references, "--json")
    found = json.loads(ended.out)
    assert found["matches"]["matched"] == 24
    assert found["outcome"] == "agrees"
    assert found["matches"]["by"]["id and prompt"] == found["matches"]["prompts"]["same"] == 24
    assert found["agreement"]["differing"] == found["agreement"]["excused"] == 0
    assert found["logprobs"]["largest"] < 0.1, "bfloat16 weights: llama.cpp rounds activations, too"
    assert ended.code == 0
    assert "near-ties" in command("validate", run.name, *references).out

    ended = command("validate", run.name, *references[:2])
    assert ended.code == 0
    assert "No verdict was compared: the reference has results of one model only, demo-med." in ended.out
    rows = _rows(home / "demo-med.jsonl")
    for few in (rows[:1], [row | {"prompt": row["prompt"] + "\n", "prompt_sha256": None} for row in rows]):
        (home / "few.jsonl").write_text("".join(json.dumps(row) + "\n" for row in few))
        ended = command("validate", run.name, "--reference", "few.jsonl")
        assert ended.code == 3
        assert "too little to judge" in ended.out
        ended = command("validate", run.name, "--reference", "few.jsonl", "--json")
        assert (ended.code, json.loads(ended.out)["outcome"]) == (3, "too little to judge")
    (home / "few.jsonl").write_text(json.dumps(rows[0] | {"prediction": (rows[0]["prediction"] + 1) % 2}))
    assert "few.jsonl, line 1, key 'prediction'" in command.fails(
        "validate", run.name, "--reference", "few.jsonl"
    )

    for row in rows:
        row["logprobs"] = row["logprobs"][::-1]
        del row["prediction"], row["correct"], row["mass"]
    (home / "demo-med.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    ended = command("validate", run.name, *references)
    assert ended.code == 1
    assert "The reference contradicts the run." in ended.out


def test_real_questions_of_three_data_sets_run_through(
    command: Command, home: Path, shared_data: Path
) -> None:
    (home / "small.yaml").write_text(PROTOCOL.replace("exhaustive, formats: [1]", "none"))
    words = [
        "--tasks",
        "mmlu-anatomy,medqa-4,pubmedqa",
        "--shots",
        "3",
        "--limit",
        "4",
        "--protocol",
        "small.yaml",
    ]
    stories = shared_data / "weights" / "stories260K"
    ended = command(
        "compare", stories, "demo-base", *words, "--data-dir", shared_data, "--json", "--quant", "none"
    )
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    assert len(found["comparisons"]) == 3
    counts = [c["counts"]["medical"] for c in found["comparisons"]]
    assert any(c["dropped_demonstrations"] or c["overlong"] for c in counts), "its context has 512 tokens"


def test_a_plan_is_shown_and_nothing_computed(command: Command, home: Path, small: list[str]) -> None:
    ended = command("compare", "demo-med", "demo-base", *small, "--dry-run")
    assert "at most" in ended.out
    planned = json.loads(command("compare", "demo-med", "demo-base", *small, "--dry-run", "--json").out)
    assert planned["medical"]["cells"][0]["search"]["prompts"] == 2 * 12
    swept = ["sweep", "demo-med=demo-base", *small, "--dry-run", "--json"]
    alone = json.loads(command(*swept, "--no-ablation").out)
    assert alone["pairs"][0].items() >= (planned | {"memory_free": alone["pairs"][0]["memory_free"]}).items()
    assert alone["total"]["tokens"] == sum(planned[role]["tokens"] for role in ("medical", "base"))
    assert "GPU-hours" in command(*swept[:-1], "--gpu-rate", "100").out
    (with_ablation,) = json.loads(command(*swept).out)["pairs"]
    assert with_ablation["medical"] == planned["medical"]
    assert with_ablation["base"]["tokens"] > planned["base"]["tokens"]
    assert not (home / "runs").exists()


def test_a_sweep_prints_the_tables_of_the_study(command: Command, small: list[str]) -> None:
    words = ["sweep", "demo-med=demo-base", "demo-base=demo-med", *small]
    ended = command(*words)
    assert ended.code == 0
    for text in ("pooled", "mean of the pairs", "Ablations", "Beside the study"):
        assert text in ended.out
    found = json.loads(command(*words, "--json").out)
    assert [pair["pair"] for pair in found["pairs"]] == [
        "demo-med against demo-base",
        "demo-base against demo-med",
    ]


def test_the_verdict_of_two_files(command: Command, home: Path) -> None:
    for name, right in (("m", 40), ("b", 10)):
        rows = [json.dumps({"id": i, "correct": i < right}) for i in range(50)]
        (home / name).write_text("\n".join(rows))
    ended = command("verdict", "m", "b")
    assert (ended.code, "win" in ended.out) == (0, True)
    assert "warning: Nothing but the id shows" in ended.err
    found = json.loads(command("verdict", "m", "b", "--json").out)
    assert (found["verdicts"][0]["verdict"], found["verdicts"][0]["doubt"]) == ("win", None)
    assert len(found["warnings"]) == 1
    (home / "m").write_text(json.dumps({"id": 0, "correct": True}))
    (home / "b").write_text(json.dumps({"id": 0, "correct": False}))
    ended = command("verdict", "m", "b")
    assert "win (too few questions)" in ended.out
    assert "rests on 1 of 1 questions" in ended.err


def test_the_verdict_of_a_runs_own_samples(command: Command, home: Path) -> None:
    words = ("--tasks", "demo-anatomy", "--shots", "0", "--limit", "40", "--quant", "none", "--output", "run")
    assert command("compare", "demo-med", "demo-base", *words).code == 0
    results = json.loads((home / "run" / "results.json").read_text(encoding="utf-8"))
    medical, base = (
        home / "run" / "samples" / f"{role}.demo-anatomy.0-shot.jsonl" for role in ("medical", "base")
    )
    found = json.loads(command("verdict", medical, base, "--json").out)
    (comparison,), (row,) = results["comparisons"], found["verdicts"]
    for name in ("n", "difference", "ci", "verdict", "mcnemar_p", "minimum_detectable_difference"):
        assert row[name] == comparison[name]
    assert not [text for text in found["warnings"] if "prompts differ" not in text]
    assert "are the files swapped?" in command("verdict", base, medical).err
    rows = [json.loads(line) for line in lines(base.read_text(encoding="utf-8"))]
    rows[7]["text_sha256"] = "0" * 64
    base.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    assert f"('text_sha256') (ids '{rows[7]['id']}'" in command.fails("verdict", medical, base)


ANSWERS = "BBCDAADCBBDDDBBBDAABACACDDDDDBCAABDBCDCDDCDBCACBCABCCAADDACA"
PREDICTIONS = {
    "medical": "BBCAAADCBCDCDBBDDAACADADDDDDCBBDCBDBCDCDDCDBCDCBCCBCCAACDAAB",
    "base": "BBBDAADCDBDBDBABDBCACDACDCDDBBCDBBDCBCCDDBDACABDCABCDAADAABA",
}


@pytest.mark.parametrize(
    "notation",
    ["{0}", "{1}", " {0}", "{0}\n", "({0})", "{0}.", "{0}) text", "{0}. text", "{2}", "{3}", "The {0} one"],
)
@pytest.mark.parametrize("written", ["medical", "base"])
def test_predictions_in_another_notation_than_the_answers(
    command: Command, home: Path, written: str, notation: str
) -> None:
    for name, predictions in PREDICTIONS.items():
        rows = []
        for i, (answer, letter) in enumerate(zip(ANSWERS, predictions, strict=True)):
            place = "ABCD".index(letter)
            said = notation.format(letter, letter.lower(), place, place + 1) if name == written else letter
            rows.append(json.dumps({"id": i, "prediction": said, "answer": answer}))
        (home / name).write_text("\n".join(rows), encoding="utf-8")
    if "The" in notation:
        line = command.fails("verdict", "medical", "base")
        assert f"error: {written}, line 1, key 'prediction': 'The B one' is written in another way" in line
        return
    (row,) = json.loads(command("verdict", "medical", "base", "--json").out)["verdicts"]
    assert (row["accuracy_medical"], row["accuracy_base"], row["verdict"]) == (44 / 60, 37 / 60, "tie")


def test_a_gguf_is_made_scored_and_made_smaller(command: Command, home: Path) -> None:
    assert command("convert", "demo-med", "--output", "full.gguf").code == 0
    ended = command("quantize", "full.gguf", "--quant", "q8_0", "--output", "small.gguf")
    assert (ended.code, ended.out) == (0, "")
    assert (home / "small.gguf").stat().st_size < 0.7 * (home / "full.gguf").stat().st_size
    assert "is a GGUF already" in command.fails("convert", "full.gguf", "--output", "x.gguf")
    asked = [{"id": i, "prompt": f"Question {i}: Answer:", "options": [" A", " B"]} for i in range(3)]
    (home / "asked.jsonl").write_text("".join(json.dumps(row) + "\n" for row in asked))
    ended = command("score", "full.gguf", "asked.jsonl")
    rows = [json.loads(line) for line in lines(ended.out)]
    assert [(row["id"], len(row["logprobs"])) for row in rows] == [(0, 2), (1, 2), (2, 2)]
    assert command("score", "demo-med", "asked.jsonl", "--output", "scores.jsonl").code == 0
    assert _rows(home / "scores.jsonl") == rows, "the same model by its name"
