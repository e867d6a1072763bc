"""Names, texts and surroundings that nobody would choose: one line says what is wrong, and nothing acts on a screen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from medbench_local.acquire.source import LONGEST_NAME, resolve_model
from medbench_local.hub.errors import redact
from medbench_local.tasks.load import load_task
from tests.cli.command import Command, lines
from tests.hub_server import Fault, HubServer

LONG = "a" * 300
NOBODY = "~nobody-of-that-name"
ACTIVE = {"\x1b", "\x07", "\x00", "\x9b", "\u202e", "\u2066"}

QUANT = """name: mine
summary: My own.
file_type: q4_k_m
bits_per_weight: 4.8
equivalence: {questions: 200, margin: 0.02, confidence: 0.9}
"""
COMPARE = ("compare", "demo-med", "demo-base")


def refused(command: Command, *words: object) -> str:
    """The one line that says why; it is no surprise to the program."""
    said = [line for line in lines(command.fails(*words)) if line.startswith("error: ")]
    assert len(said) == 1
    assert "should not have happened" not in said[0]
    assert len(said[0]) < 400
    return said[0]


def started(*words: str, **streams: Any) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, where its streams are real."""
    environment = {name: value for name, value in os.environ.items() if name != "MEDBENCH_DEBUG"}
    return subprocess.run(
        [sys.executable, "-m", "medbench_local", *words],
        env=environment | streams.pop("env", {}),
        text=True,
        encoding="utf-8",
        errors="replace",
        check=False,
        **streams,
    )


@pytest.mark.parametrize(
    "words",
    [
        ("models", "show", f"{NOBODY}/x"),
        ("report", NOBODY),
        ("validate", NOBODY, "--reference", "x"),
        (*COMPARE, "--tasks", f"{NOBODY}/x"),
        (*COMPARE, "--protocol", f"{NOBODY}/x.yaml"),
    ],
    ids=" ".join,
)
def test_the_home_of_nobody(command: Command, home: Path, words: tuple[str, ...]) -> None:
    assert NOBODY in refused(command, *words)


@pytest.mark.parametrize(
    ("variable", "words"),
    [
        ("MEDBENCH_HOME", ("models", "show", "demo-med")),
        ("MEDBENCH_HOME", (*COMPARE, "--tasks", "demo-anatomy")),
        ("MEDBENCH_DATA", ("tasks", "show", "medqa")),
        ("HF_HOME", ("models", "show", "hf:a/b")),
    ],
)
def test_a_setting_in_the_home_of_nobody(
    command: Command, home: Path, monkeypatch: pytest.MonkeyPatch, variable: str, words: tuple[str, ...]
) -> None:
    monkeypatch.setenv(variable, f"{NOBODY}/x")
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    assert NOBODY in refused(command, *words)
    assert not list(home.iterdir())


@pytest.mark.parametrize(
    "words",
    [
        ("models", "show", LONG),
        ("tasks", "show", LONG),
        ("quants", "show", LONG),
        ("report", LONG),
        ("validate", LONG, "--reference", "x"),
        ("runs", "list", "--folder", LONG),
        (*COMPARE, "--tasks", LONG),
        (*COMPARE, "--tasks", "demo-anatomy", "--output", LONG),
    ],
    ids=lambda words: " ".join(words)[:30],
)
def test_a_name_longer_than_file_systems_take(command: Command, home: Path, words: tuple[str, ...]) -> None:
    assert "aaaa" in refused(command, *words)


def test_an_importance_matrix_with_a_name_longer_than_file_systems_take(command: Command, home: Path) -> None:
    Path("mine.yaml").write_text(f"{QUANT}imatrix: {LONG}.gguf\n", encoding="utf-8")
    assert "aaaa" in refused(command, "quants", "show", "mine.yaml")


def _task(folder: Path, **question: Any) -> Path:
    folder.mkdir()
    row = {"id": "q", "question": "Which?", "options": ["one", "two"], "answer": 0} | question
    for split in ("demonstrations", "validation", "test"):
        text = json.dumps(row | {"question": f"{row['question']} {split}"})
        (folder / f"{split}.jsonl").write_text(text + "\n", encoding="utf-8")
    return folder


def test_a_task_has_a_name_that_files_can_be_named_after(command: Command, home: Path) -> None:
    assert "at most 80" in refused(command, *COMPARE, "--tasks", _task(home / ("t" * 81)))
    longest = _task(home / ("t" * 80))
    assert load_task(str(longest), data_dir=None).id == longest.name


def test_models_with_long_names_stay_apart(tmp_path: Path) -> None:
    names = []
    for end in ("one", "two"):
        folder = tmp_path / ("m" * 200 + end)
        folder.mkdir()
        (folder / "config.json").write_text("{}", encoding="utf-8")
        names.append(resolve_model(str(folder)).name)
    names += [resolve_model(f"hf:owner/{'m' * 90}{end}").name for end in ("one", "two")]
    assert len(set(names)) == 4
    assert max(map(len, names)) == LONGEST_NAME
    assert resolve_model("hf:owner/" + "m" * LONGEST_NAME).name == "m" * LONGEST_NAME


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", [("tasks", "list", "--json"), ("models", "list"), ("--version",)])
def test_a_full_disk_behind_stdout(
    words: tuple[str, ...], unbuffered: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    with Path("/dev/full").open("w") as full:
        ended = started(*words, stdout=full, stderr=subprocess.PIPE)
    assert ended.returncode == 2
    said = lines(ended.stderr)
    assert said[0].startswith("error: what was asked for cannot be written: ")
    assert len(said) == 2
    with Path("/dev/full").open("w") as full:
        assert started("tasks", "show", "nonsense", stderr=full).returncode == 2


@pytest.mark.skipif(os.name != "posix", reason="streams are closed by a shell")
@pytest.mark.parametrize("closed", [">&-", ">&- 2>&-"])
def test_a_closed_stdout(closed: str) -> None:
    ended = subprocess.run(
        ["sh", "-c", f'"$0" -m medbench_local tasks list --json {closed}', sys.executable],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    expected = [] if "2" in closed else ["error: there is no stdout to write to."]
    assert lines(ended.stderr)[:1] == expected


def _results(path: Path, task: str) -> Path:
    rows = [json.dumps({"id": str(n), "correct": n % 3 > 0, "task": task}) for n in range(30)]
    path.write_text("\n".join(rows), encoding="utf-8")
    return path


@pytest.mark.parametrize("task", ["[/b]x", "[red]x", "[link=file:x]y[/link]", "[bold]"])
def test_a_task_named_like_markup(command: Command, tmp_path: Path, task: str) -> None:
    file = _results(tmp_path / "rows.jsonl", task)
    ended = command("verdict", file, file)
    assert ended.code == 0
    assert task in ended.out


def test_runs_named_like_markup_are_all_listed(command: Command, home: Path) -> None:
    for name in ("[red]y", "[@click=x]z", "plain"):
        (home / "runs" / name).mkdir(parents=True)
        (home / "runs" / name / "manifest.json").write_text("{}", encoding="utf-8")
    (home / "runs" / "plain" / "results.json").write_text('{"schema": "[/b]"}', encoding="utf-8")
    ended = command("runs", "list")
    assert ended.code == 0
    for text in ("[red]y", "[@click=x]z", "plain", "damaged", "'[/b]'"):
        assert text in ended.out


def test_control_characters_of_a_question_do_not_reach_the_terminal(command: Command, home: Path) -> None:
    folder = _task(
        home / "own",
        question="\x1b[31mred\x07 \u202eturned\nsecond line",
        options=["\x1b]0;title\x07", "\x9b2J\u2066plain"],
        id="\x1b[2Jname",
    )
    ended = command("tasks", "show", folder)
    assert ended.code == 0
    assert not ACTIVE & set(ended.out + ended.err)
    assert "\nsecond line test\n" in ended.out
    assert "A. \ufffd]0;title" in ended.out
    file = _results(home / "rows.jsonl", "\x1b]0;x\x07\u202ey")
    assert not ACTIVE & set(command("verdict", file, file).out)
    assert not ACTIVE & set(command.fails("models", "show", "\x1b[31m\u202ered"))


@pytest.mark.parametrize("text", ["\udcff", "a \ud800 b"])
def test_a_system_prompt_that_is_no_text(command: Command, home: Path, text: str) -> None:
    for words in (COMPARE, ("check", "demo-med", "--quant", "q8_0"), ("sweep", "demo")):
        assert "--system-prompt" in refused(command, *words, "--system-prompt", text)


def test_a_system_prompt_of_a_protocol_that_is_no_text(command: Command, home: Path) -> None:
    Path("mine.yaml").write_text(
        'name: mine\nsummary: x\nprompts: {all: {all: "\\ud800"}}\n', encoding="utf-8"
    )
    line = refused(command, *COMPARE, "--protocol", "mine.yaml")
    assert "mine.yaml, line 3, key 'prompts.all.all'" in line


def test_a_terminal_whose_encoding_lacks_a_character(home: Path) -> None:
    folder = _task(home / "own", question="Is it \u2265 3?")
    ended = started("tasks", "show", str(folder), capture_output=True, env={"PYTHONIOENCODING": "ascii"})
    assert ended.returncode == 2
    assert lines(ended.stderr)[0] == "error: '\\u2265' cannot be written in the encoding ascii."


def test_a_run_whose_name_is_no_text_is_listed(command: Command, home: Path) -> None:
    folder = os.fsdecode(b"runs/\xffodd")
    try:
        Path(folder).mkdir(parents=True)
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    (Path(folder) / "manifest.json").write_text("{}", encoding="utf-8")
    for option in ((), ("--json",)):
        ended = started("runs", "list", *option, capture_output=True)
        assert ended.returncode == 0, ended.stderr
        assert "\ufffdodd" in ended.stdout


def test_a_password_in_the_hubs_address_is_not_shown(
    command: Command, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint.replace("://", "://user:PASSWORD@"))
    for status in (0, 403, 418, 429, 500):
        if status:
            hub.fail(Fault("/api/models/", status=status, times=9))
        text = command.fails("models", "fetch", "hf:a/b")
        assert "PASSWORD" not in text
        assert "user:" not in text
    monkeypatch.setenv("HF_ENDPOINT", "http://user:PASSWORD@127.0.0.1:1")
    text = command.fails("models", "fetch", "hf:a/b")
    assert "http://127.0.0.1:1 cannot be reached" in text
    assert "PASSWORD" not in text


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("no https://u:p@w@host/a/b", "no https://host/a/b"),
        ("you sent Authorization: Basic dXNlcjpwYXNz", "you sent Authorization: Basic ***"),
        ("bearer hf_Secret;\nhf_Token", "bearer ***; ***"),
        ("https://huggingface.co/a/b@main", "https://huggingface.co/a/b@main"),
    ],
)
def test_what_a_server_echoes(said: str, shown: str) -> None:
    assert redact(said, "hf_Token") == shown


@pytest.mark.parametrize(
    "address",
    ["http://[::1", "http://h:99999", "nonsense", "http://user:PASSWORD@h:x", "http://u:a/PASSWORD@h:1"],
)
def test_an_address_of_the_hub_that_is_none(
    command: Command, hub: HubServer, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", address)
    line = refused(command, "models", "fetch", "hf:a/b")
    assert line.startswith("error: HF_ENDPOINT")
    assert "PASSWORD" not in line


def test_an_address_that_the_hubs_client_cannot_be_imported_with() -> None:
    ended = started("models", "fetch", "hf:a/b", capture_output=True, env={"HF_ENDPOINT": "http://h:99999"})
    assert ended.returncode == 2
    assert "error: HF_ENDPOINT, 'http://h:99999', is not the address of a server." in ended.stderr
    assert "should not have happened" not in ended.stderr
