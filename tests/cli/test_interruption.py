"""Stopped and killed in the middle, the same command ends with the results of an undisturbed run."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.command import Command
from tests.hub_repositories import llama_2_7b, meditron_7b
from tests.hub_server import Fault, HubServer
from tests.study.conftest import write_task

PROTOCOL = """
name: small
summary: Few candidates.
shots: [0]
selection: {method: exhaustive, formats: [1]}
"""


def _start(words: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "medbench_local", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def _scored(folder: Path) -> int:
    """Prompts in the store of the one run below ``folder``."""
    for path in folder.glob("*/scores.sqlite"):
        try:
            with sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True) as database:
                return int(database.execute("SELECT count(*) FROM scores").fetchone()[0])
        except sqlite3.Error:
            return 0
    return 0


def _wait_for_more(process: subprocess.Popen[str], folder: Path, known: int) -> int:
    until = time.monotonic() + 120
    while time.monotonic() < until:
        if (scored := _scored(folder)) > known:
            return scored
        assert process.poll() is None, "it ended before it could be stopped"
        time.sleep(0.01)
    raise AssertionError("nothing was scored")


def _but_timing(path: Path) -> str:
    data = json.loads(path.read_text(encoding="utf-8"))
    del data["timing"]
    return json.dumps(data)


@pytest.mark.skipif(sys.platform == "win32", reason="signals are others there")
def test_stopped_then_killed_then_run_again(command: Command, home: Path) -> None:
    (home / "small.yaml").write_text(PROTOCOL)
    options = ["--tasks", "demo-anatomy", "--limit", "60", "--protocol", "small.yaml", "--quant", "none"]
    words = ["compare", "demo-med", "demo-base", *options]
    runs = home / "runs"

    process = _start(words)
    first = _wait_for_more(process, runs, 0)
    process.send_signal(signal.SIGINT)
    stopped = time.monotonic()
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert time.monotonic() - stopped < 10  # two seconds on a machine that is not busy
    assert f"medbench-local {' '.join(words)}" in said
    assert "Traceback" not in said

    process = _start(words)
    second = _wait_for_more(process, runs, first)
    process.kill()
    process.communicate()
    assert not list(runs.glob("*/results.json"))

    ended = command(*words)
    assert ended.code == 0
    (run,) = runs.iterdir()
    timing = json.loads((run / "results.json").read_text())["timing"]
    assert timing["prompts_reused"] >= second
    assert command(*words, "--output", home / "elsewhere" / "run").code == 0
    assert _but_timing(run / "results.json") == _but_timing(home / "elsewhere" / "run" / "results.json")


def test_a_download_killed_half_way_ends_with_verdicts(
    command: Command, hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add("epfl-llm/meditron-7b", meditron_7b(tmp_path / "meditron"))
    hub.add("meta-llama/Llama-2-7b-hf", llama_2_7b(tmp_path / "llama"))
    monkeypatch.chdir(tmp_path)
    write_task(tmp_path / "made-up")
    (tmp_path / "small.yaml").write_text(PROTOCOL.replace("exhaustive, formats: [1]", "none"))
    options = ["--tasks", "./made-up", "--limit", "10", "--protocol", "small.yaml"]
    words = ["compare", "meditron-7b", "llama-2-7b", *options]

    hub.fail(Fault("00005-of-00008.bin", hang_after=10_000))
    process = _start(words)
    assert hub.sent_to_hanging.wait(60)
    process.kill()
    process.communicate()
    fetched = hub.contents()

    ended = command(*words, "--json")
    assert ended.code == 0, ended.err
    (comparison,) = json.loads(ended.out)["comparisons"]
    assert comparison["verdict"] in ("win", "tie", "loss")
    rest = hub.contents()[len(fetched) :]
    assert rest[0] == "pytorch_model-00005-of-00008.bin"
    shards = {name for name in fetched if name.startswith("pytorch_model-")}
    assert not set(rest[1:]) & shards, "what had come was not fetched again"
    manifest = json.loads(next(tmp_path.glob("runs/*/manifest.json")).read_text())
    assert manifest["models"]["medical"]["origin"].startswith("epfl-llm/meditron-7b@")
    assert manifest["models"]["base"]["catalog"] == "llama-2-7b"
