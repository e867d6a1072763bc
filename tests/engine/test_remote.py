"""The worker process: equal results, and every way in which it can end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import psutil
import pytest

from medbench_local.engine.base import EngineOptions, GenerateRequest, Mode, Pack, ScoreRequest
from medbench_local.engine.channel import STOP_LINE
from medbench_local.engine.llama import LlamaEngine
from medbench_local.engine.process import Work, end_process, start_process
from medbench_local.engine.remote import WorkerEngine, start_engine
from medbench_local.errors import (
    CancelledError,
    EngineError,
    InputError,
    UnsupportedArchitectureError,
    WorkerDied,
)

OPTIONS = EngineOptions(n_ctx=1024, threads=1)
PACK = Pack((1, 5), (ScoreRequest((1, 5, 6), ((7,), (8, 9))), ScoreRequest((1, 5), ((7,), (8,)))))
LONG = Pack((), tuple(ScoreRequest((1, *(5,) * 900, i), ((7,),)) for i in range(3, 500)))

only_posix = pytest.mark.skipif(sys.platform == "win32", reason="signals")


@pytest.fixture
def engine(models: Path) -> Iterator[WorkerEngine]:
    with start_engine(models / "f16.gguf", OPTIONS) as engine:
        yield engine


def test_it_answers_as_the_engine_in_this_process(models: Path, engine: WorkerEngine) -> None:
    with LlamaEngine(models / "f16.gguf", OPTIONS) as local:
        assert engine.info == local.info
        assert engine.score(PACK) == local.score(PACK)
        generate = Pack((1, 5), (GenerateRequest((1, 5, 6), ("x",), 9), GenerateRequest((1, 5), ())))
        assert engine.generate(generate) == local.generate(generate)
        texts = ["", "a b", "é\x00\n", "<s>a"]
        assert engine.tokenize(texts, special=True, bos="twice") == local.tokenize(
            texts, special=True, bos="twice"
        )
        assert engine.token_of("A") == local.token_of("A")
        assert engine.token_of("nothing of the kind") is None
        lists = local.tokenize(texts, special=True)
        assert engine.text_sizes(lists) == local.text_sizes(lists) == [0, 4, 5, 2]
    assert engine.score(Pack((), ())) == []


def test_an_error_leaves_it_alive(engine: WorkerEngine) -> None:
    with pytest.raises(EngineError, match="1301 tokens are needed"):
        engine.score(Pack((), (ScoreRequest((1,) * 1300, ((7, 8),)),)))
    with pytest.raises(EngineError, match="Unicode"):
        engine.tokenize(["\ud800"], special=False)
    assert len(engine.score(PACK)) == 2


@only_posix
@pytest.mark.parametrize(
    ("number", "words"),
    [
        (signal.SIGKILL, "killed.*memory.*It needs about .*were free before"),
        (signal.SIGABRT, "SIGABRT"),
        (signal.SIGSEGV, "SIGSEGV"),
        (signal.SIGILL, "SIGILL: an instruction"),
    ],
)
def test_its_death_says_what_it_was_doing(engine: WorkerEngine, number: int, words: str) -> None:
    timer = threading.Timer(0.2, os.kill, (engine.pid, number))
    timer.start()
    with pytest.raises(WorkerDied, match=f"f16.gguf ended while scoring 497 prompts of 902 tokens.*{words}"):
        engine.score(LONG)
    timer.join()
    with pytest.raises(EngineError, match="closed"):
        engine.score(PACK)


@only_posix
@pytest.mark.parametrize(
    ("mode", "repack", "generating", "safer"),
    [
        ("fast", True, False, ["reproducible", "exact"]),
        ("fast", False, False, ["exact"]),
        ("reproducible", True, False, ["exact"]),
        ("reproducible", True, True, []),  # it generates as the exact mode does
        ("exact", True, False, []),
    ],
)
def test_its_death_says_which_modes_do_without_what_may_be_at_fault(
    models: Path, mode: Mode, repack: bool, generating: bool, safer: list[str]
) -> None:
    with WorkerEngine(models / "f16.gguf", replace(OPTIONS, mode=mode, repack=repack)) as engine:
        psutil.Process(engine.pid).send_signal(signal.SIGILL)
        ask: Callable[[], object] = partial(engine.score, PACK)
        if generating:
            ask = partial(engine.generate, Pack((), (GenerateRequest((1, 2), (), 1),)))
        with pytest.raises(WorkerDied, match="SIGILL") as caught:
            ask()
    assert caught.value.signal == "SIGILL"
    assert re.findall(r'`mode="(\w+)"`', caught.value.advice) == safer


def test_a_death_between_two_calls_is_noticed(engine: WorkerEngine) -> None:
    psutil.Process(engine.pid).kill()
    with pytest.raises(WorkerDied, match="2 prompts of 2 to 3 tokens"):
        engine.score(PACK)


def _interrupted(engine: WorkerEngine) -> None:
    """A Ctrl-C in a pack that takes minutes; not so soon that it is still being written on a busy machine."""
    timer = threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        engine.score(LONG)
    timer.join()


@only_posix
@pytest.mark.parametrize("mode", ["exact", "fast"])
def test_an_interrupt_costs_the_pack_and_not_the_worker(models: Path, mode: Mode) -> None:
    with start_engine(models / "f16.gguf", replace(OPTIONS, mode=mode)) as engine:
        before = engine.score(PACK)
        _interrupted(engine)
        assert engine.score(PACK) == before
        process = psutil.Process(engine.pid)
    assert not process.is_running()
    assert engine.exit_code == 0, "it was killed"


@only_posix
def test_a_worker_that_does_not_answer_an_interrupt_is_killed(engine: WorkerEngine) -> None:
    psutil.Process(engine.pid).suspend()
    _interrupted(engine)
    assert not psutil.pid_exists(engine.pid)
    with pytest.raises(CancelledError, match="was interrupted"):
        engine.score(PACK)


def test_a_request_to_stop_that_comes_too_late_stops_nothing_else(engine: WorkerEngine) -> None:
    before = engine.score(PACK)
    assert engine._process.stdin is not None
    engine._process.stdin.write(STOP_LINE)
    assert engine.score(PACK) == before


@only_posix
def test_it_does_not_outlive_its_parent(models: Path) -> None:
    script = f"""
import pathlib, sys
from medbench_local.engine.remote import start_engine
from tests.engine.test_remote import LONG, OPTIONS
engine = start_engine(pathlib.Path({str(models / "f16.gguf")!r}), OPTIONS)
print(engine.pid, flush=True)
engine.score(LONG)
"""
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    worker = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    parent.stdout.close()
    gone, _ = psutil.wait_procs([worker], timeout=10)
    assert gone


def test_a_file_that_is_no_model_starts_nothing(tmp_path: Path) -> None:
    (tmp_path / "text.gguf").write_text("hello", encoding="utf-8")
    with pytest.raises(InputError, match="not a GGUF file"):
        start_engine(tmp_path / "text.gguf", OPTIONS)


def test_llama_cpp_s_refusal_comes_through(models: Path, tmp_path: Path) -> None:
    data = (models / "f16.gguf").read_bytes().replace(b"blk.1.ffn_up.weight", b"blk.1.ffn_ux.weight")
    (tmp_path / "odd.gguf").write_bytes(data)
    with pytest.raises(EngineError, match=r"blk\.1\.ffn_up\.weight"):
        start_engine(tmp_path / "odd.gguf", OPTIONS)


def test_a_vocabulary_at_which_llama_cpp_would_abort_is_refused(models: Path, tmp_path: Path) -> None:
    data = (models / "f16.gguf").read_bytes()
    assert data.count(b"<0xE9>") == 1
    (tmp_path / "bytes.gguf").write_bytes(data.replace(b"<0xE9>", b"<0xZZ>"))
    with pytest.raises(
        UnsupportedArchitectureError, match=r"bytes\.gguf has a SentencePiece vocabulary without bytes"
    ):
        start_engine(tmp_path / "bytes.gguf", OPTIONS)


def test_an_architecture_that_llama_cpp_does_not_know_is_told_by_name(models: Path, tmp_path: Path) -> None:
    name = b"\x05\0\0\0\0\0\0\0llama"
    data = (models / "f16.gguf").read_bytes().replace(name, name[:-1] + b"b")
    for key in (b"llama.", b"llamb."):
        data = data.replace(key, b"llamb.")
    (tmp_path / "odd.gguf").write_bytes(data)
    with pytest.raises(UnsupportedArchitectureError, match=r"odd\.gguf.*unknown model architecture"):
        start_engine(tmp_path / "odd.gguf", OPTIONS)


@pytest.mark.parametrize("work", ["engine.worker", "engine.quantise_worker", "prompts.template_worker"])
def test_a_process_ends_with_the_pipe_from_its_parent(work: Work) -> None:
    with tempfile.TemporaryFile() as errors:
        process = start_process(work, errors)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(60) == 0
        end_process(process)
        errors.seek(0)
        assert errors.read() == b""


@only_posix
def test_an_abort_of_llama_cpp_gives_its_last_words(models: Path, tmp_path: Path) -> None:
    data = bytearray((models / "f16.gguf").read_bytes())
    place = data.index(b"llama.block_count") + len(b"llama.block_count") + 4
    data[place : place + 4] = (100_000).to_bytes(4, "little")
    (tmp_path / "deep.gguf").write_bytes(data)
    with pytest.raises(WorkerDied, match=r"loading deep\.gguf.*SIGABRT.*GGML_ASSERT"):
        start_engine(tmp_path / "deep.gguf", OPTIONS)


def test_nothing_is_written_to_the_terminal(models: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with start_engine(models / "q4_k_m.gguf", OPTIONS) as engine:
        engine.score(PACK)
    assert capfd.readouterr() == ("", "")


@only_posix
@pytest.mark.parametrize(("given", "expected"), [(None, "passive"), ("active", "active")])
def test_its_threads_sleep_while_they_wait_unless_the_environment_says_otherwise(
    models: Path, monkeypatch: pytest.MonkeyPatch, given: str | None, expected: str
) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    if given is not None:
        monkeypatch.setenv("OMP_WAIT_POLICY", given)
    with start_engine(models / "f16.gguf", OPTIONS) as engine:
        assert psutil.Process(engine.pid).environ()["OMP_WAIT_POLICY"] == expected
