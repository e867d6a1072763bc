"""Each exit code of the table in docs/release.md really occurs, once as that of a process; and its workflow runs."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.command import Command, Ended

DOCS = Path(__file__).resolve().parents[2] / "docs" / "release.md"
STRICT = "name: strict\nsummary: Nothing may change.\nshots: [0]\nselection: {method: none}\ncheck: {margin: 0.001}\n"


@pytest.fixture
def place(tmp_path: Path, demo_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder of the test's own."""
    for name in ("MEDBENCH_DATA", "MEDBENCH_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MEDBENCH_HOME", str(demo_home))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "strict.yaml").write_text(STRICT)
    return tmp_path


def of_a_process(*words: object) -> Ended:
    """How the command ends as the process that a shell starts."""
    command = [sys.executable, "-m", "medbench_local", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, encoding="utf-8")
    return Ended(done.returncode, done.stdout, done.stderr)


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


SHORT = ("--tasks", "demo-pharmacology", "--shots", "0")


def test_check_holds_does_not_hold_or_is_not_settled(command: Command, place: Path) -> None:
    """2 bits lose about 5 points of demo-pharmacology; 8 bits lose nothing to speak of."""
    check = ("check", "demo-med", *SHORT)
    holds = command(*check, "--quant", "q8_0")
    assert (holds.code, "may stand in for" in holds.out) == (0, True)
    strict = (*check, "--quant", "q2_k", "--protocol", "strict.yaml")
    different = command(*strict)
    assert (different.code, "may not stand in for" in different.out) == (1, True)
    assert "to settle it" not in different.out
    again = command(*strict, "--json")
    assert (again.code, json.loads(again.out)["overall"]["outcome"]) == (1, "different")
    few = of_a_process(*check, "--quant", "q8_0", "--limit", "20")
    assert (few.code, "too few questions" in few.out) == (3, True)
    needed = re.search(r"to settle it: about ([\d,]+) questions in place of 20\n", few.out)
    assert needed is not None
    found = json.loads(command(*check, "--quant", "q8_0", "--limit", "20", "--json").out)
    assert found["to_settle"] == [{"task": "all", "questions": int(needed[1].replace(",", ""))}]
    enough = command(*check, "--quant", "q8_0", "--limit", found["to_settle"][0]["questions"])
    assert enough.code == 0, "as many as it said do settle it"
    assert command(*check, "--quant", "q7").code == 2


def test_compare_is_done_whatever_the_verdict(command: Command, place: Path) -> None:
    words = (
        "--tasks",
        "demo-pharmacology",
        "--shots",
        "0",
        "--quant",
        "full",
        "--protocol",
        "strict.yaml",
        "--json",
    )
    verdicts = {}
    for pair in (("demo-med", "demo-base"), ("demo-base", "demo-med"), ("demo-med", "demo-med")):
        done = command("compare", *pair, *words)
        assert done.code == 0, done.err
        (comparison,) = json.loads(done.out)["comparisons"]
        verdicts[pair] = comparison["verdict"]
    assert set(verdicts.values()) == {"win", "loss", "tie"}
    assert command("compare", "demo-med", "nothing").code == 2
    assert command("compare", "--nothing").code == 2


def test_verdict_is_done_whatever_it_is(command: Command, place: Path) -> None:
    rows = [{"id": str(i), "correct": i % 2 == 0} for i in range(40)]
    wrong = [row | {"correct": False} for row in rows]
    one, other = written(place / "one.jsonl", rows), written(place / "other.jsonl", wrong)
    for pair in ((one, other), (other, one), (one, one)):
        assert command("verdict", *pair).code == 0
    assert command("verdict", one, place / "nothing.jsonl").code == 2


def test_validate_agrees_contradicts_or_cannot_judge(command: Command, place: Path) -> None:
    run = place / "run"
    words = (
        "--tasks",
        "demo-pharmacology",
        "--shots",
        "0",
        "--limit",
        "40",
        "--quant",
        "full",
        "--output",
        run,
    )
    assert command("compare", "demo-med", "demo-base", "--protocol", "strict.yaml", *words).code == 0
    (samples,) = (run / "samples").glob("*medical*.jsonl")
    rows = [json.loads(line) for line in samples.read_text().splitlines()]
    same = written(place / "same.jsonl", rows)
    judged = command("validate", run, "--reference", same)
    assert judged.code == 0, judged.out
    assert command("validate", run, "--reference", written(place / "few.jsonl", rows[:2])).code == 3
    turned = [_turned(row) for row in rows]
    assert of_a_process("validate", run, "--reference", written(place / "turned.jsonl", turned)).code == 1
    assert of_a_process("validate", run, "--reference", place / "nothing.jsonl").code == 2


def _turned(row: dict[str, Any]) -> dict[str, Any]:
    """Another engine that found the reverse."""
    turned = row | {"logprobs": row["logprobs"][::-1]}
    return {key: value for key, value in turned.items() if key not in ("prediction", "correct", "mass")}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_what_is_ended_from_outside_says_how_to_resume_and_leaves_nothing_held(
    place: Path, name: str
) -> None:
    number = getattr(signal, name)
    code = (
        f"import signal; signal.signal({int(number)}, signal.SIG_DFL)\n"  # what started the tests may ignore it
        "from medbench_local.cli.main import main; main()"
    )
    command = [sys.executable, "-c", code, "compare", "demo-med", "demo-base", "--output", "run"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    until = time.monotonic() + 120
    while not (place / "run" / "scores.sqlite").is_file() and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(number)
    try:
        _, said = process.communicate(timeout=8)
    except subprocess.TimeoutExpired:
        # Twice in some hundred times the first one was lost; whoever ends a program sends another one.
        process.send_signal(number)
        _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert "to resume" in said
    assert "medbench-local compare demo-med demo-base" in said
    assert not (place / "run" / ".lock.json").exists()


def whatever_is_written(terminal: int) -> str:
    """All that is written to a pseudo-terminal until nobody has it any more; it holds few bytes that nobody reads."""
    parts = []
    with contextlib.suppress(OSError):  # how Linux says that it is the end
        while part := os.read(terminal, 65536):
            parts.append(part)
    os.close(terminal)
    return b"".join(parts).decode()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals of this kind")
@pytest.mark.parametrize(("words", "code"), [([], 130), (["--yes"], 0)])
def test_no_at_a_terminal_is_130_and_yes_is_not_asked(place: Path, words: list[str], code: int) -> None:
    import pty

    ours, theirs = pty.openpty()
    command = [
        sys.executable,
        "-m",
        "medbench_local",
        "compare",
        "demo-med",
        "demo-med",
        *SHORT,
        "--limit",
        "5",
    ]
    os.write(ours, b"n\n")
    with subprocess.Popen(
        [*command, *words], stdin=theirs, stderr=theirs, stdout=subprocess.DEVNULL
    ) as process:
        os.close(theirs)
        shown = whatever_is_written(ours)
    assert process.returncode == code, shown
    assert ("Compare it with itself?" in shown) is (code == 130)


def test_a_model_against_itself_goes_on_where_nobody_can_answer(place: Path) -> None:
    done = of_a_process("compare", "demo-med", "demo-med", *SHORT, "--limit", "5")
    assert done.code == 0
    assert "Both models are the same file" in done.err


def workflow() -> Mapping[str, Any]:
    (text,) = re.findall(r"```yaml\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    found: Mapping[str, Any] = yaml.safe_load(text)["jobs"]["models"]
    return found


@pytest.mark.skipif(sys.platform == "win32" or not shutil.which("bash"), reason="its steps are bash")
@pytest.mark.parametrize(
    ("changes", "codes"),
    [
        ({"MODEL": "demo-med", "BASE": "demo-base", "TASKS": "demo-pharmacology", "QUANT": "q8_0"}, [0, 0]),
        ({"MODEL": "demo-base", "BASE": "demo-med", "TASKS": "demo-pharmacology", "QUANT": "q8_0"}, [0, 1]),
        ({"MODEL": "demo-med", "BASE": "demo-base", "TASKS": "demo-pharmacology", "QUANT": "q7"}, [2, 2]),
    ],
)
def test_the_workflow_runs_on_the_embedded_pair(
    place: Path, changes: dict[str, str], codes: list[int]
) -> None:
    """Its own steps, but for those that GitHub makes and the installation."""
    (place / "bin").mkdir()
    shim = place / "bin" / "medbench-local"
    shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m medbench_local "$@"\n')
    shim.chmod(0o755)
    (place / "bin" / "python").symlink_to(sys.executable)
    steps = [step["run"] for step in workflow()["steps"] if "run" in step and step["name"] != "Install"]
    environment = os.environ | changes | {"PATH": f"{place / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    found = [
        subprocess.run(["bash", "-e", "-c", step], env=environment, stdin=subprocess.DEVNULL).returncode
        for step in steps
    ]
    assert found == codes


def test_the_table_has_every_code() -> None:
    from medbench_local.cli import errors

    known = {errors.DONE, errors.DOES_NOT_HOLD, errors.BAD_INPUT, errors.UNSETTLED, errors.INTERRUPTED}
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", DOCS.read_text("utf-8"), re.MULTILINE)} == known
