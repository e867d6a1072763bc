"""The reference on a real tiny checkpoint: against one prompt at a time, against llama.cpp, and interrupted."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medbench_local.acquire.conversion.convert import convert_checkpoint
from medbench_local.catalog.protocol import BootstrapSettings, ReferenceSettings
from medbench_local.engine.base import EngineOptions, Pack
from medbench_local.engine.llama import LlamaEngine
from medbench_local.errors import AcquireError, EngineError, InputError, UsageError
from medbench_local.reference import transformers_model
from medbench_local.reference.rows import read_rows
from medbench_local.reference.run import ReferenceRun, run_reference
from medbench_local.reference.transformers_model import TransformersModel
from medbench_local.reference.validate import validate
from medbench_local.scoring.rules.constrained import letter_request, letter_tokens
from medbench_local.tasks.load import load_task
from tests.reference.written import write_lines


@pytest.fixture(scope="module")
def checkpoint(shared_data: Path) -> Path:
    return shared_data / "weights" / "stories260K"


@pytest.fixture(scope="module")
def prompts(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real questions; stories260K has room for 512 tokens, and one question does not fit."""
    rows: list[dict[str, Any]] = []
    questions = load_task("mmlu-anatomy", data_dir=shared_data).questions("test")[:24]
    for i, question in enumerate(questions):
        lettered = "\n".join(f"{c}. {o}" for c, o in zip("ABCD", question.options, strict=True))
        text = f"{question.text}\n{lettered}\nAnswer: "
        rows.append(
            {
                "model": "stories",
                "task": "mmlu-anatomy",
                "split": "test",
                "item": i,
                "id": question.id,
                "shots": 0,
                "format": "default",
                "demonstrations": None,
                "prompt": text * 20 if i == 5 else text,
                "options": ["A.", "B.", "C.", "D."],
                "answer": question.answer,
            }
        )
    return write_lines(tmp_path_factory.mktemp("prompts") / "prompts.jsonl", rows)


@pytest.fixture(scope="module")
def finished(checkpoint: Path, prompts: Path, tmp_path_factory: pytest.TempPathFactory) -> ReferenceRun:
    output = tmp_path_factory.mktemp("reference") / "reference.jsonl"
    return run_reference(checkpoint, prompts, output, device="cpu", dtype="float32", batch_size=7)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_every_prompt_has_a_row(finished: ReferenceRun, prompts: Path) -> None:
    assert (finished.computed, finished.kept, finished.overlong) == (24, 0, 1)
    rows = {row["item"]: row for row in lines(finished.output)}
    for asked in lines(prompts):
        row = rows[asked["item"]]
        assert asked.items() <= row.items()
        if asked["item"] == 5:
            assert (row["overlong"], row["logprobs"], row["prediction"]) == (True, [], None)
        else:
            assert row["prediction"] == int(np.argmax(row["logprobs"]))
            assert row["correct"] == (row["prediction"] == row["answer"])
            assert 0 < row["mass"] < 1


def test_batches_change_nothing(finished: ReferenceRun, checkpoint: Path) -> None:
    """One prompt at a time, without padding, all logits, in float64 throughout."""
    import torch
    from transformers import LlamaForCausalLM

    from medbench_local.reference.tokens import read_tokenizer

    model = LlamaForCausalLM.from_pretrained(str(checkpoint), dtype=torch.float64)
    tokenizer = read_tokenizer(checkpoint, 512)
    for row in lines(finished.output):
        if row["overlong"]:
            continue
        tokens = tokenizer(row["prompt"], special=False)
        with torch.inference_mode():
            logits = model(torch.tensor([tokens])).logits[0, -1]
        expected = torch.log_softmax(logits, dim=-1)[list(tokenizer.letters[:4])]
        assert row["logprobs"] == pytest.approx(expected.tolist(), abs=2e-4)
        assert row["tokens"] == len(tokens)


def test_llama_cpp_agrees(finished: ReferenceRun, checkpoint: Path, tmp_path: Path) -> None:
    """The whole way: convert, score with the engine, write as samples, validate against the reference."""
    convert_checkpoint(checkpoint, tmp_path / "f.gguf", file_type="f32")
    engine = LlamaEngine(tmp_path / "f.gguf", EngineOptions(n_ctx=512, threads=1, gpu_layers=0))
    letters = letter_tokens(engine, 4)
    samples = []
    for row in lines(finished.output):
        if row["overlong"]:
            continue
        (tokens,) = engine.tokenize([row["prompt"]], special=False)
        (scores,) = engine.score(Pack((), (letter_request(tokens, letters),)))
        samples.append(
            {name: row[name] for name in ("model", "task", "shots", "id", "prompt_sha256", "answer")}
            | {"role": "medical", "scoring": "constrained", "logprobs": list(scores.logprobs)}
        )
    engine.close()
    got = validate(
        read_rows(write_lines(tmp_path / "samples.jsonl", samples)),
        read_rows(finished.output),
        thresholds=ReferenceSettings(
            prediction_tolerance=1e-3, logprob_largest=3e-4, prediction_agreement=1.0
        ),
        bootstrap=BootstrapSettings(),
    )
    assert got.outcome == "agrees", got.checks
    assert len(got.matches.matches) == 23
    assert got.matches.unmatched_reference == 1
    assert got.agreement is not None
    assert got.agreement.differing == 0


def test_an_interrupted_run_goes_on(
    finished: ReferenceRun, checkpoint: Path, prompts: Path, tmp_path: Path
) -> None:
    output = tmp_path / "part.jsonl"
    written = finished.output.read_text(encoding="utf-8").splitlines(keepends=True)
    output.write_text("".join(written[:10]) + written[10][:50], encoding="utf-8", newline="")
    got = run_reference(checkpoint, prompts, output, device="cpu", dtype="float32", batch_size=3)
    assert (got.computed, got.kept) == (14, 10)
    ours, whole = ({r["item"]: r for r in lines(path)} for path in (output, finished.output))
    assert ours.keys() == whole.keys()
    for item, row in ours.items():
        assert row["logprobs"] == pytest.approx(whole[item]["logprobs"], abs=1e-5)
    before = output.read_bytes()
    again = run_reference(checkpoint, prompts, output, device="cpu", dtype="float32")
    assert (again.computed, again.kept) == (0, 24)
    assert output.read_bytes() == before


def test_results_made_otherwise_are_not_mixed(
    finished: ReferenceRun, checkpoint: Path, prompts: Path, tmp_path: Path
) -> None:
    output = tmp_path / "copy.jsonl"
    shutil.copy(finished.output, output)
    with pytest.raises(UsageError, match="made differently"):
        run_reference(checkpoint, prompts, output, device="cpu", dtype="bfloat16")
    other = tmp_path / "checkpoint"
    shutil.copytree(checkpoint, other)
    config = json.loads((other / "config.json").read_text(encoding="utf-8")) | {"rms_norm_eps": 1e-6}
    (other / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(UsageError, match="made differently"):
        run_reference(other, prompts, output, device="cpu", dtype="float32")


def test_a_batch_too_large_for_memory_is_halved(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    network = TransformersModel(checkpoint, dtype="float32", device="cpu")
    prompts = [(1, 5, 9), (1, 7), (1, 8, 6, 4), (1, 3)]
    whole = network.logprobs(prompts, (65, 66))
    sizes = []
    starts = [1, 1, 2, 1]
    joint = network.continuations(prompts, starts)
    compute = network._logits

    def small(batch: Any, positions: Any) -> Any:
        sizes.append(len(batch))
        if len(batch) > 1:
            raise torch.OutOfMemoryError("no room")
        return compute(batch, positions)

    monkeypatch.setattr(network, "_logits", small)
    assert np.allclose(network.logprobs(prompts, (65, 66)), whole, atol=1e-5)
    assert sizes == [4, 2, 1, 1, 2, 1, 1]
    assert np.allclose(network.continuations(prompts, starts), joint, atol=1e-5)

    def none(batch: Any, positions: Any) -> Any:
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(network, "_logits", none)
    with pytest.raises(EngineError, match="Out of memory on cpu with a single prompt"):
        network.logprobs(prompts, (65, 66))


def test_code_in_a_checkpoint_is_not_run(checkpoint: Path, prompts: Path, tmp_path: Path) -> None:
    folder = tmp_path / "evil"
    shutil.copytree(checkpoint, folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config |= {
        "model_type": "evil",
        "auto_map": dict.fromkeys(("AutoConfig", "AutoModelForCausalLM"), "evil.Evil"),
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "evil.py").write_text(
        f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Evil: pass\n", encoding="utf-8"
    )
    with pytest.raises(AcquireError, match="cannot load"):
        run_reference(folder, prompts, tmp_path / "o.jsonl", device="cpu")
    assert not (tmp_path / "ran").exists()


def test_a_missing_tensor_is_not_made_up(checkpoint: Path, prompts: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "partial"
    shutil.copytree(checkpoint, folder)
    weights = load_file(str(folder / "model.safetensors"))
    weights.pop("model.layers.2.mlp.up_proj.weight")
    save_file(weights, str(folder / "model.safetensors"), metadata={"format": "pt"})
    with pytest.raises(AcquireError, match="lacks 1 tensor"):
        run_reference(folder, prompts, tmp_path / "o.jsonl", device="cpu")


def test_without_the_extra(checkpoint: Path, prompts: Path, tmp_path: Path, monkeypatch: Any) -> None:

    def absent(name: str) -> Any:
        raise ModuleNotFoundError(f"No module named '{name}'")

    monkeypatch.setattr(transformers_model, "import_module", absent)
    with pytest.raises(UsageError, match=r"pip install 'medbench-local\[reference\]'"):
        run_reference(checkpoint, prompts, tmp_path / "o.jsonl")


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([], "no prompts"),
        ([{"prompt": "x"}], "key 'options'"),
        ([{"prompt": "", "options": ["A", "B"]}], "empty"),
        ([{"prompt": "x", "options": ["A"]}], "2 to 26 options"),
        ([{"prompt": "x", "options": ["A", "B"], "answer": 2}], "key 'answer'"),
        ([{"prompt": "x", "options": ["A", "B"], "special": 1}], "key 'special'"),
    ],
)
def test_bad_prompts(checkpoint: Path, tmp_path: Path, rows: list[dict[str, Any]], problem: str) -> None:
    path = write_lines(tmp_path / "p.jsonl", rows)
    with pytest.raises(InputError, match=problem):
        run_reference(checkpoint, path, tmp_path / "o.jsonl", device="cpu")


def test_prompts_of_several_models(checkpoint: Path, tmp_path: Path) -> None:
    rows = [{"model": name, "prompt": name, "options": ["A", "B"]} for name in ("one", "two", "two")]
    path = write_lines(tmp_path / "p.jsonl", rows)
    with pytest.raises(UsageError, match="several models: one, two"):
        run_reference(checkpoint, path, tmp_path / "o.jsonl", device="cpu")
    got = run_reference(checkpoint, path, tmp_path / "o.jsonl", device="cpu", model="two")
    assert got.computed == 1


def test_control_tokens_are_not_guessed(checkpoint: Path, tmp_path: Path) -> None:
    row = {"prompt": "<s> Which? ", "options": ["A", "B"]}
    path = write_lines(tmp_path / "p.jsonl", [row])
    with pytest.raises(InputError, match="the prompt holds '<s>'") as caught:
        run_reference(checkpoint, path, tmp_path / "o.jsonl", device="cpu")
    assert caught.value.where.startswith("line 1")
    write_lines(path, [row | {"special": special} for special in (True, False)])
    run_reference(checkpoint, path, tmp_path / "o.jsonl", device="cpu")
    tokens = {row["special"]: row["tokens"] for row in lines(tmp_path / "o.jsonl")}
    assert tokens[True] < tokens[False]


def test_bad_options(checkpoint: Path, prompts: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="batch size"):
        run_reference(checkpoint, prompts, tmp_path / "o.jsonl", batch_size=0)
    with pytest.raises(UsageError, match="device 'abacus'"):
        run_reference(checkpoint, prompts, tmp_path / "o.jsonl", device="abacus")
    with pytest.raises(InputError, match=r"config\.json"):
        run_reference(tmp_path, prompts, tmp_path / "o.jsonl", device="cpu")
