"""What the package offers: each name once, documented; and no function touches the network that must not."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import medbench_local
from medbench_local import AcquireError, api
from medbench_local.reference import exporting
from tests.acquire.conftest import hub as hub
from tests.cli.command import Command
from tests.cli.conftest import command as command
from tests.hub_server import HubServer

NAMES: list[str] = api.__all__
FUNCTIONS = {
    name: found
    for name in NAMES
    if inspect.isfunction(found := getattr(medbench_local, name)) or hasattr(found, "__wrapped__")
}


def test_every_public_name_is_exported_once() -> None:
    assert sorted(set(NAMES)) == NAMES
    assert set(dir(medbench_local)) == {*NAMES, "__version__"}
    assert medbench_local.__all__ is NAMES, "what `from medbench_local import *` gives"
    with pytest.raises(AttributeError, match="no attribute 'compar'"):
        medbench_local.compar  # noqa: B018


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_is_documented(name: str) -> None:
    found = getattr(medbench_local, name)
    assert found.__module__.startswith("medbench_local.")
    text = inspect.getdoc(found) or ""
    assert len(text.split()) > 4
    if inspect.isclass(found):
        return
    signature = inspect.signature(found)
    for parameter in signature.parameters.values():
        assert parameter.annotation is not inspect.Parameter.empty
        assert parameter.kind is not inspect.Parameter.VAR_KEYWORD, "every keyword is visible"
        assert parameter.name in text, f"{name} says nothing of {parameter.name}"


MODEL, PAIR = "hf:owner/med", ("hf:owner/med", "hf:owner/base")
CALLS: dict[str, Callable[[Path], Any]] = {
    "check": lambda _: medbench_local.check(MODEL, quant="q8_0", tasks=["medqa"], offline=True),
    "compare": lambda _: medbench_local.compare(*PAIR, tasks=["demo"], offline=True),
    "convert": lambda folder: medbench_local.convert(MODEL, folder / "x.gguf", offline=True),
    "fetch_model": lambda _: medbench_local.fetch_model(MODEL, quant="q8_0", offline=True),
    "import_questions": lambda folder: medbench_local.import_questions(described(folder), offline=True),
    "plan": lambda _: medbench_local.plan(*PAIR, tasks=["medqa"], offline=True),
    "plan_sweep": lambda _: medbench_local.plan_sweep([PAIR], tasks=["medqa"], offline=True),
    "score_file": lambda folder: medbench_local.score_file(
        MODEL, requests_file(folder), folder / "scores.jsonl", offline=True
    ),
    "score_requests": lambda folder: medbench_local.score_requests(
        MODEL, medbench_local.read_requests(requests_file(folder)), offline=True
    ),
    "sweep": lambda _: medbench_local.sweep([PAIR], tasks=["demo"], offline=True),
    "task_prompts": lambda _: medbench_local.task_prompts("llama-2-7b", "medqa", offline=True),
}


def described(folder: Path) -> Path:
    path = folder / "data.yaml"
    path.write_text("repository: owner/data\nfiles: q.csv\n", encoding="utf-8")
    return path


def requests_file(folder: Path) -> Path:
    path = folder / "requests.jsonl"
    path.write_text('{"id": 0, "prompt": "Q:", "options": [" A", " B"]}\n', encoding="utf-8")
    return path


@pytest.mark.parametrize("name", CALLS)
def test_offline_wins_in_every_function_that_could_touch_the_network(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MEDBENCH_DATA", raising=False)
    with pytest.raises(AcquireError, match="cannot be asked"):
        CALLS[name](tmp_path)
    assert hub.requests == []


def test_the_prompts_of_a_run_are_exported_offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its data may come from the hub; a run on such data is made elsewhere, so the argument is what is looked at."""
    seen: list[object] = []

    def prompts(*_: object, **given: object) -> list[object]:
        seen.append(given["offline"])
        return []

    monkeypatch.setattr(exporting, "prompts_of_run", prompts)
    monkeypatch.setattr(api, "find_run", lambda _: None)
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    for offline in (True, False, None):
        medbench_local.export_prompts("any", offline=offline)
    assert seen == [True, False, False]


@pytest.mark.parametrize(
    "words",
    [
        ["compare", *PAIR, "--tasks", "demo"],
        ["convert", MODEL, "--output", "x.gguf"],
        ["import", "data.yaml"],
        ["models", "fetch", MODEL],
        ["models", "show", MODEL],
        ["prompts", "export", "--model", "llama-2-7b", "--task", "medqa", "--output", "x.jsonl"],
        ["prompts", "show", "--model", "llama-2-7b", "--task", "medqa"],
        ["score", MODEL, "requests.jsonl"],
        ["tasks", "show", "medqa"],
    ],
    ids=" ".join,
)
def test_the_flag_wins_too(
    command: Command, hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    requests_file(tmp_path)
    described(tmp_path)
    command(*words, "--offline")
    assert hub.requests == []
    command(*words)
    assert hub.requests != [], "without it the hub is asked"


def test_no_function_with_a_network_is_left_out() -> None:
    takes = {name for name, found in FUNCTIONS.items() if "offline" in inspect.signature(found).parameters}
    assert takes == {*CALLS, "export_prompts"}
