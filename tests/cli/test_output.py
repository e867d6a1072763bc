"""What ``--output FILE`` must never do: lose an input, a run, or what is no file; mix two processes' results."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from medbench_local.errors import StoreError
from medbench_local.files.lock import only_writer
from medbench_local.scoring.own_prompts import PartialResults
from tests.cli.command import Command

Hashes = dict[str, str]


@pytest.fixture(scope="module")
def finished(demo_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the demo pair on a few questions."""
    folder = tmp_path_factory.mktemp("finished") / "r1"
    words = [
        "compare",
        "demo-med",
        "demo-base",
        "--tasks",
        "demo-anatomy",
        "--limit",
        "4",
        "--output",
        str(folder),
    ]
    subprocess.run(
        [sys.executable, "-m", "medbench_local", *words],
        check=True,
        capture_output=True,
        env=os.environ | {"MEDBENCH_HOME": str(demo_home)},
    )
    return folder


@pytest.fixture
def place(home: Path, finished: Path) -> Path:
    """A folder with an input of every kind."""
    demo = Path(__file__).parents[2] / "medbench_local" / "demo"
    shutil.copytree(finished, home / "r1")
    shutil.copytree(demo / "checkpoints" / "demo-med", home / "ck")
    shutil.copytree(demo / "tasks" / "demo-anatomy", home / "mine")
    _ask(home / "asked.jsonl", range(3))
    if hasattr(os, "mkfifo"):
        os.mkfifo(home / "pipe")
    return home


def _ask(path: Path, ids: range) -> Path:
    asked = [{"id": i, "prompt": f"Question {i}: Answer:", "options": [" A", " B"]} for i in ids]
    path.write_text("".join(json.dumps(row) + "\n" for row in asked))
    return path


def _hashes(folder: Path) -> Hashes:
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".lock")
    }


SCORE = ["score", "demo-med", "asked.jsonl"]
REPORT = ["report", "r1", "--format", "html"]
CONVERT = ["convert", "ck"]
EXPORT = ["prompts", "export", "--model", "demo-med", "--task", "./mine"]
RUN_PROMPTS = ["prompts", "export", "--run", "r1"]
REFERENCE = ["reference", "run", "ck", "asked.jsonl"]
READS = "what this command reads"
INSIDE = "lies in .*, which this command reads"


@pytest.mark.parametrize(
    ("words", "output", "said"),
    [
        (SCORE, "asked.jsonl", READS),
        (SCORE, "./mine/../asked.jsonl", READS),
        (["score", "./ck", "asked.jsonl"], "ck/model.safetensors", INSIDE),
        (CONVERT, "ck/model.safetensors", INSIDE),
        (CONVERT, "ck/new/full.gguf", INSIDE),
        (EXPORT, "mine/test.jsonl", INSIDE),
        (["prompts", "export", "--model", "./ck", "--task", "demo-anatomy"], "ck/config.json", INSIDE),
        (REPORT, "r1/results.json", READS),
        (REPORT, "r1/scores.sqlite", READS),
        (REPORT, "r1/samples/x.html", INSIDE),
        (RUN_PROMPTS, "r1/manifest.json", READS),
        (SCORE, "r1/results.json", "belongs to the run"),
        (REFERENCE, "asked.jsonl", READS),
        (REFERENCE, "ck/tokenizer.model", INSIDE),
        *[
            (words, output, said)
            for words in (SCORE, REPORT, CONVERT, EXPORT, RUN_PROMPTS)
            for output, said in [("", "is a folder"), (".", "is a folder"), ("mine", "is a folder")]
        ],
        *[(words, "n" * 300, "a longer name") for words in (SCORE, REPORT, CONVERT, EXPORT)],
        *[(words, "pipe", "is a device or a pipe") for words in (SCORE, REPORT, CONVERT, EXPORT)],
    ],
)
def test_what_would_be_lost_is_refused(
    command: Command, place: Path, words: list[str], output: str, said: str
) -> None:
    if output == "pipe" and not hasattr(os, "mkfifo"):
        pytest.skip("needs named pipes")
    before = _hashes(place)
    assert re.search(said, " ".join(command.fails(*words, "--output", output).split()))
    assert _hashes(place) == before
    if hasattr(os, "mkfifo"):
        assert stat.S_ISFIFO((place / "pipe").stat().st_mode)


def test_the_full_model_is_not_replaced_by_its_quantisation(command: Command, place: Path) -> None:
    assert command(*CONVERT, "--output", "q.gguf").code == 0
    (place / "link.gguf").symlink_to("q.gguf")
    before = _hashes(place)
    for output in ("q.gguf", "link.gguf"):
        assert READS in command.fails("quantize", "q.gguf", "--quant", "q8_0", "--output", output)
    assert READS in command.fails("score", "q.gguf", "asked.jsonl", "--output", "q.gguf")
    assert _hashes(place) == before
    (place / "small.gguf").symlink_to("far.gguf")
    assert command("quantize", "q.gguf", "--quant", "q8_0", "--output", "small.gguf").code == 0
    assert ((place / "small.gguf").is_symlink(), (place / "far.gguf").is_file()) == (True, True)


def test_the_part_of_the_results_is_not_the_requests_either(command: Command, place: Path) -> None:
    asked = (place / "asked.jsonl").rename(place / "out.jsonl.part")
    before = _hashes(place)
    assert READS in command.fails("score", "demo-med", asked.name, "--output", "out.jsonl")
    assert _hashes(place) == before


def test_a_link_and_a_report_in_the_run_are_written(command: Command, place: Path) -> None:
    (place / "link.jsonl").symlink_to(place / "far" / "scores.jsonl")
    assert command(*SCORE, "--output", "link.jsonl").code == 0
    assert (place / "link.jsonl").is_symlink()
    assert len((place / "far" / "scores.jsonl").read_text().splitlines()) == 3
    assert [path.name for path in (place / "far").iterdir()] == ["scores.jsonl"]
    assert command(*REPORT, "--output", "r1/report.html").code == 0


def test_a_second_process_on_the_same_results_is_refused(command: Command, place: Path) -> None:
    with only_writer(place / "scores.jsonl"):
        said = command.fails(*SCORE, "--output", "scores.jsonl")
    assert f"in use by process {os.getpid()}" in " ".join(said.split())
    assert command(*SCORE, "--output", "scores.jsonl").code == 0


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_requests_from_a_pipe_go_on_only_with_the_same_requests(
    command: Command, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pipe is empty when it is read again, so that what was begun must not be known by its bytes."""
    calls = ["score", "demo-med", "pipe", "--output"]

    def pour(prompt: str) -> None:
        rows = [{"id": i, "prompt": f"{prompt} {i}:", "options": [" A", " B"]} for i in range(3)]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        threading.Thread(target=(place / "pipe").write_text, args=(text,), daemon=True).start()

    def stop(results: PartialResults) -> None:
        raise StoreError("stopped")

    with monkeypatch.context() as patch:
        patch.setattr(PartialResults, "finish", stop)
        pour("First")
        assert "stopped" in command.fails(*calls, "a.jsonl")
    assert len((place / "a.jsonl.part").read_text().splitlines()) == 4
    for name in ("a.jsonl", "b.jsonl"):
        pour("Second")
        assert command(*calls, name).code == 0
    assert (place / "a.jsonl").read_bytes() == (place / "b.jsonl").read_bytes()


def test_an_overlong_request_is_named_before_scoring(command: Command, place: Path) -> None:
    with (place / "asked.jsonl").open("a") as file:
        file.write(json.dumps({"id": "long", "prompt": "word " * 9999, "options": ["x"]}) + "\n")
    said = " ".join(command.fails(*SCORE, "--output", "scores.jsonl").split())
    assert "asked.jsonl, line 4, key 'prompt': request 'long' needs" in said
    assert not list(place.glob("*scores.jsonl*"))
    assert "line 4, key 'prompt'" in " ".join(command.fails(*SCORE).split()), "nor is anything printed"


def test_half_a_surrogate_is_no_id(command: Command, place: Path) -> None:
    (place / "asked.jsonl").write_text('{"id": "\\ud800", "prompt": "P", "options": ["x"]}\n')
    assert "line 1, key 'id'" in " ".join(command.fails(*SCORE).split())
