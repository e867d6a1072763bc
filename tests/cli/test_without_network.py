"""Where the network is missing every command ends in one line, and one line of ways that work without it."""

from __future__ import annotations

import contextlib
import http.server
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import close_session

from medbench_local.acquire import calibration
from medbench_local.hub import repository
from medbench_local.hub.transfer import Patience
from tests.cli.command import Command, lines
from tests.hub_repositories import llama_2_7b
from tests.hub_server import Fault, HubServer

COMMANDS = {
    "compare": "compare meditron-7b llama-2-7b --yes",
    "compare, own questions": "compare meditron-7b llama-2-7b --tasks demo-anatomy",
    "compare, a GGUF of the hub": "compare gguf:owner/name/file.gguf demo-base --tasks demo-anatomy",
    "sweep": "sweep meditron-7b biomistral-7b",
    "plan of what nobody knows": "compare hf:owner/name llama-2-7b --dry-run --tasks demo-anatomy",
    "convert": "convert llama-2-7b --output made.gguf",
    "models fetch": "models fetch llama-2-7b",
    "tasks show": "tasks show pubmedqa",
    "check": "check llama-2-7b --quant q8_0 --tasks demo-anatomy",
    "score": "score llama-2-7b requests.jsonl",
    "prompts show": "prompts show --model hf:owner/name --task demo-anatomy",
}
PLAN = "compare demo-med llama-2-7b --dry-run --tasks demo-anatomy --quant q8_0 --json"
WAYS = ("switch", "refused", "no such host", "silent", "proxy refuses")


@pytest.fixture(autouse=True)
def nothing_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Empty caches, and a client that does not wait."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "HF_TOKEN", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("MEDBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(repository, "PATIENCE", Patience(retries=1, wait=0.0))
    monkeypatch.setattr(repository, "_TIMEOUT", 0.3)
    monkeypatch.setattr(calibration, "_measure", lambda names, *_: dict.fromkeys(names, 4e11))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "requests.jsonl").write_text('{"id": "1", "prompt": "a", "options": ["b", "c"]}\n')
    close_session()
    yield
    close_session()


@contextlib.contextmanager
def no_network(way: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The network is missing in one of `WAYS`."""
    with contextlib.ExitStack() as stack:
        if way == "switch":
            monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        elif way == "no such host":
            monkeypatch.setenv("HF_ENDPOINT", "http://hub.invalid")
        elif way == "proxy refuses":
            monkeypatch.setenv("HF_ENDPOINT", "https://hub.invalid")
            monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{stack.enter_context(_refusing_proxy())}")
        else:
            listening = stack.enter_context(socket.socket())
            listening.bind(("127.0.0.1", 0))
            if way == "silent":
                listening.listen(100)
            monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{listening.getsockname()[1]}")
        yield


@contextlib.contextmanager
def _refusing_proxy() -> Iterator[int]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            self.send_error(407)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", COMMANDS)
def test_what_happened_and_the_ways_that_work(
    command: Command, monkeypatch: pytest.MonkeyPatch, way: str, name: str
) -> None:
    with no_network(way, monkeypatch):
        said = command.fails(*COMMANDS[name].split())
    *_, happened, advice = lines(said)
    assert happened.startswith("error: ")
    assert "cannot be " in happened
    assert said.count("error:") == 1
    for works in (
        "local file or folder",
        "--data-dir",
        "HF_HOME",
        "MEDBENCH_HOME",
        "`medbench-local models fetch`",
    ):
        assert works in advice


@pytest.mark.parametrize("way", WAYS)
def test_a_plan_of_catalog_models_needs_none(
    command: Command, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    with no_network(way, monkeypatch):
        ended = command(*PLAN.split())
    assert ended.code == 0
    assert '"assumed"' in ended.out
    assert "llama-2-7b is about, from the catalog" in ended.out


def test_a_hub_that_breaks_down_says_so_too(command: Command, hub: HubServer) -> None:
    hub.fail(Fault("/api/models/", status=503, times=9))
    said = command.fails("models", "fetch", "llama-2-7b", "--quant", "q8_0")
    assert "returned a server error (HTTP 503)" in said
    assert "local file or folder" in lines(said)[-1]


def _moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    for name in names:
        (tmp_path / name).rename(tmp_path / f"{name}-copied")
    monkeypatch.setenv("HF_HOME", str(tmp_path / ("hf-copied" if "hf" in names else "hf-new")))
    monkeypatch.setenv("MEDBENCH_HOME", str(tmp_path / ("home-copied" if "home" in names else "home-new")))


@pytest.mark.parametrize("copied", [("hf", "home"), ("hf",)])
def test_the_advice_works(
    command: Command,
    hub: HubServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    copied: tuple[str, ...],
) -> None:
    """Caches of another machine serve here; what is made of a checkpoint is made again where it was not copied."""
    hub.add("meta-llama/Llama-2-7b-hf", llama_2_7b(tmp_path / "repository"))
    assert command("models", "fetch", "llama-2-7b", "--quant", "q8_0").code == 0
    _moved(tmp_path, monkeypatch, *copied)
    with no_network("refused", monkeypatch):
        ended = command("models", "fetch", "llama-2-7b", "--quant", "q8_0")
    assert ended.code == 0, ended.err


def test_a_local_file_works(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with no_network("switch", monkeypatch):
        assert command("convert", "demo-med", "--output", "med.gguf").code == 0
        ended = command("score", "med.gguf", "requests.jsonl", "--output", "scores.jsonl")
    assert ended.code == 0, ended.err
