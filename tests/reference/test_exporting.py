"""The prompts of a finished run can be asked again elsewhere, and its own results validate against them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from medbench_local import InputError, UsageError, WorkerDied, export_prompts, validate
from medbench_local.catalog.protocol import Protocol, SelectionSettings
from medbench_local.engine.base import Pack, ScoreRequest
from medbench_local.prompts.export import ExportedPrompt
from medbench_local.results.folder import Run
from tests.study.conftest import Fakes, knowing

SMALL = Protocol(
    name="small",
    summary="Few candidates.",
    shots=(0, 2),
    selection=SelectionSettings(method="exhaustive", formats=(1,), demonstration_seeds=(0, 1)),
)
SOME: dict[str, Any] = {"protocol": SMALL, "tasks": ["./made-up"], "limit": 15, "quant": "none"}


def _answer(rows: list[ExportedPrompt], path: Path) -> Path:
    """What another engine would make of the rows: here the same fake, one prompt at a time."""
    lines = []
    for row in rows:
        engine = knowing(row.model)
        (context,) = engine.tokenize([row.prompt], special=row.special)
        letters = tuple((engine.token_of("ABCD"[i]),) for i in range(len(row.options)))
        (scores,) = engine.score(Pack((), (ScoreRequest(context, letters),)))  # type: ignore[arg-type]
        lines.append(json.dumps(row.as_row() | {"logprobs": scores.logprobs}) + "\n")
    path.write_text("".join(lines))
    return path


@pytest.mark.parametrize("context", [None, 160])
def test_validation_matches_every_question_of_both_models(
    fakes: Fakes, tmp_path: Path, context: int | None
) -> None:
    protocol = SMALL.model_copy(update={"context": context})
    run = fakes.compare("demo-med", "demo-base", **(SOME | {"protocol": protocol}))
    dropped = sum(c.counts.base.dropped_demonstrations for c in run.results.comparisons)
    assert (dropped > 0) == (context is not None)
    rows = export_prompts(run)
    assert [(r.model, r.shots) for r in rows] == [
        (m, s) for s in (0, 2) for m in ("demo-med", "demo-base") for _ in range(15)
    ]
    found = validate(run, _answer(rows, tmp_path / "reference.jsonl"))
    assert (len(found.matches.matches), found.matches.unmatched_samples) == (60, 0)
    assert found.agreement is not None
    assert (found.agreement.same, found.agreement.n) == (60, 60)
    assert found.logprobs is not None
    assert found.logprobs.largest == 0
    assert len(found.verdicts) == 2
    assert found.outcome == "agrees"
    assert str(found).endswith("The run agrees with the reference.")


def test_a_wrong_reference_does_not_pass(fakes: Fakes, tmp_path: Path) -> None:
    run = fakes.compare("demo-med", "demo-base", **SOME)
    path = _answer(export_prompts(run), tmp_path / "reference.jsonl")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows[:20]:
        row["logprobs"] = row["logprobs"][::-1]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = validate(run.folder.path, [path])
    assert found.outcome == "contradicted"
    assert "not kept" in str(found)


def test_data_that_changed_since_the_run_are_noticed(fakes: Fakes) -> None:
    run = fakes.compare("demo-med", "demo-base", **SOME)
    test = Path("made-up/test.jsonl")
    test.write_text(test.read_text().replace("item 7 point", "item 7 refer"))
    with pytest.raises(InputError, match=r"line 8.*test-7 is not the one that the run asked"):
        export_prompts(run)


def test_cloze_and_greedy_runs_are_exported_too(fakes: Fakes) -> None:
    for scoring in ("cloze", "greedy"):
        run = fakes.compare("demo-med", "demo-base", **(SOME | {"scoring": scoring, "shots": [2]}))
        rows = export_prompts(run)
        assert len(rows) == 30
        assert ("(A)" in rows[0].prompt or "place 0 1" in rows[0].prompt) == (scoring == "greedy")
        samples = [sample for role in ("medical", "base") for sample in _samples(run, role)]
        for row, sample in zip(rows, samples, strict=True):
            written = row.as_row()
            assert (written["scoring"], written["text_sha256"]) == (scoring, sample["text_sha256"])
            assert written.get("gap") == ("" if scoring == "cloze" else None)


def _samples(run: Run, role: str) -> list[dict[str, Any]]:
    (comparison,) = run.results.comparisons
    path = run.folder.samples_file(f"{role}.{comparison.task}.{comparison.shots}-shot")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_an_unfinished_run_is_refused(fakes: Fakes) -> None:
    fakes.make = lambda path: knowing("demo-med", die_after=1)
    with pytest.raises(WorkerDied):
        fakes.compare("demo-med", "demo-base", output=Path("mine"), **SOME)
    with pytest.raises(UsageError, match="not finished"):
        export_prompts("mine")


def _damaged(run: Run, change: Any) -> None:
    manifest = run.folder.manifest()
    change(manifest)
    run.folder.write_manifest(manifest)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.pop("models"),
        lambda m: m.update(models=[]),
        lambda m: m["models"]["base"].pop("catalog"),
        lambda m: m.pop("settings"),
        lambda m: m.update(protocol=None),
        lambda m: m.update(data={}),
    ],
)
def test_a_manifest_that_is_none_is_named(fakes: Fakes, change: Any) -> None:
    run = fakes.compare("demo-med", "demo-base", **(SOME | {"shots": [0]}))
    _damaged(run, change)
    with pytest.raises(InputError, match=r"manifest\.json"):
        export_prompts(run)
