"""A pair that sees pictures through llama.cpp's own code, from two files and a task to verdicts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import medbench_local
from medbench_local import Run, UsageError
from tests.cli.command import Command
from tests.engine.gemma3_pictures import Seeing, picture, write_projector, write_seeing
from tests.vision.test_projector_file import tensors

OPTIONS = ("A heart", "A lung")
FEW: dict[str, Any] = {"shots": (0, 1), "quant": "full", "threads": 1, "gpu_layers": 0}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Seeing, Seeing]:
    folder = tmp_path_factory.mktemp("pair")
    return write_seeing(folder / "medical", seed=1), write_seeing(folder / "base", seed=2)


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six pictures; the questions share some of them."""
    monkeypatch.setenv("MEDBENCH_HOME", str(tmp_path / "home"))
    folder = tmp_path / "seen"
    (folder / "pictures").mkdir(parents=True)
    shown = [picture(folder / "pictures", number) for number in range(6)]
    for split, count in (("demonstrations", 3), ("validation", 3), ("test", 6)):
        rows = [
            {
                "id": f"{split}-{i}",
                "question": f"What does picture {i} show?",
                "options": OPTIONS,
                "answer": i % 2,
                "images": [f"pictures/{shown[(i + len(split)) % 6].name}"],
            }
            for i in range(count)
        ]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{split}.jsonl").write_text(lines, encoding="utf-8")
    return folder


def compare(pair: tuple[Seeing, Seeing], task: Path, output: Path, **changes: Any) -> Run:
    projectors = {"medical": pair[0].projector, "base": pair[1].projector}
    options = {**FEW, "mmproj": projectors, "tasks": (str(task),), "output": output, **changes}
    return medbench_local.compare(str(pair[0].gguf), str(pair[1].gguf), **options)


def _logprobs(run: Run, role: str) -> list[Any]:
    lines = run.folder.samples_file(f"{role}.seen.0-shot").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["logprobs"] for line in lines]


def test_a_checkpoint_sees_with_its_own_half(pair: tuple[Seeing, Seeing], task: Path, tmp_path: Path) -> None:
    run = medbench_local.compare(
        str(pair[0].folder),
        str(pair[1].folder),
        **{**FEW, "shots": (0,), "mmproj": "own", "tasks": (str(task),), "output": tmp_path / "run"},
    )
    assert [c.n for c in run.results.comparisons] == [6]
    manifest = json.loads(run.folder.manifest_file.read_text())
    said = [manifest["models"][role]["vision"]["projector"] for role in ("medical", "base")]
    assert [one["precision"] for one in said] == ["f16", "f16"]
    assert said[0]["sha256"] != said[1]["sha256"]


def test_from_two_files_to_verdicts(pair: tuple[Seeing, Seeing], task: Path, tmp_path: Path) -> None:
    run = compare(pair, task, tmp_path / "run")
    assert [(c.task, c.shots, c.n) for c in run.results.comparisons] == [("seen", 0, 6), ("seen", 1, 6)]
    manifest = json.loads(run.folder.manifest_file.read_text())
    for role in ("medical", "base"):
        said = manifest["models"][role]["vision"]["projector"]
        assert (said["precision"], len(said["sha256"])) == ("f32", 64)
    kept = list((tmp_path / "home" / "features").rglob("*.npy"))
    assert len(kept) == 12, "six pictures, each seen by two towers"
    again = compare(pair, task, tmp_path / "run", threads=2)
    assert not again.computed
    assert again.results == run.results


def test_a_folder_means_the_same(pair: tuple[Seeing, Seeing], task: Path, tmp_path: Path) -> None:
    named = compare(pair, task, tmp_path / "named", shots=(0,))
    folders = [str(one.gguf.parent) for one in pair]
    for folder, name in zip(folders, ("medical", "base"), strict=True):
        shutil.copytree(folder, tmp_path / name)
    found = medbench_local.compare(
        str(tmp_path / "medical"),
        str(tmp_path / "base"),
        **{**FEW, "shots": (0,), "tasks": (str(task),), "output": tmp_path / "folders"},
    )
    for role in ("medical", "base"):
        assert _logprobs(named, role) == _logprobs(found, role)


def test_another_projector_is_another_run(pair: tuple[Seeing, Seeing], task: Path, tmp_path: Path) -> None:
    compare(pair, task, tmp_path / "one", shots=(0,))
    with pytest.raises(medbench_local.MedbenchError, match="another"):
        compare(pair, task, tmp_path / "one", shots=(0,), mmproj=str(pair[1].projector))


def test_without_a_projector_the_way_is_said(pair: tuple[Seeing, Seeing], task: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="reads text only") as refused:
        compare(pair, task, tmp_path / "run", mmproj={"medical": pair[0].projector})
    assert "mmproj=" in refused.value.advice


def test_two_precisions_are_refused(pair: tuple[Seeing, Seeing], task: Path, tmp_path: Path) -> None:
    narrow = write_projector(tmp_path / "narrow.gguf", tensors(), "f16")
    with pytest.raises(UsageError, match="two precisions"):
        compare(pair, task, tmp_path / "run", mmproj={"medical": pair[0].projector, "base": narrow})


def test_the_command_line_names_one_for_each(
    pair: tuple[Seeing, Seeing], task: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = Command(capsys)
    named = [f"--mmproj={role}={one.projector}" for role, one in zip(("medical", "base"), pair, strict=True)]
    words = ["compare", pair[0].gguf, pair[1].gguf, "--tasks", task, "--shots", 0, "--quant", "full"]
    planned = command(*words, *named, "--dry-run")
    assert planned.code == 0, planned.err
    ended = command(*words, *named, "--threads", 1, "--output", tmp_path / "run", "--json")
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["comparisons"][0]["n"] == 6
    assert "not a projector" in command.fails(*words, "--mmproj", pair[0].gguf)
