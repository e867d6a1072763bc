"""The whole way without a model: the embedded pair's files, and the fake engine in place of llama.cpp."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from medbench_local.catalog.protocol import default_protocol
from medbench_local.engine.base import EngineOptions, Tokens
from medbench_local.engine.fake import FakeEngine
from medbench_local.results.folder import Run
from medbench_local.results.model_check import ModelCheck
from medbench_local.results.sweep import Sweep
from medbench_local.study.check_model import run_check
from medbench_local.study.compare import run_comparison
from medbench_local.study.options import CheckOptions, CompareOptions, SweepOptions, resolve
from medbench_local.study.sweep import PairNames, run_sweep
from medbench_local.study.tools import Tools

Make = Callable[[Path], FakeEngine]
KEYS = ("north", "south", "east", "west")
KNOWN = {"demo-med": 0.9, "demo-base": 0.4}


class Fakes:
    """Stands in for the worker processes of a test; compares and checks with them.

    Attributes:
        started: the engines, in the order of their start.
        modes: that they were to decode in.
        make: what is started for a file; engines of one model score alike at every precision.
    """

    def __init__(self) -> None:
        self.started: list[FakeEngine] = []
        self.modes: list[str] = []
        self.make: Make = lambda path: knowing(model_of(path))

    def start(self, path: Path, options: EngineOptions) -> FakeEngine:
        """In place of `medbench_local.engine.remote.start_engine`."""
        if options.vocabulary_only:
            return FakeEngine(path.stem)
        engine = self.make(path)
        self.started.append(engine)
        self.modes.append(options.mode)
        return engine

    def compare(self, medical: str = "demo-med", base: str = "demo-base", **options: Any) -> Run:
        """`medbench_local.compare` with these engines."""
        asked = resolve(CompareOptions(**options), protocol=default_protocol(medical, base))
        return run_comparison(medical, base, asked, Tools(self.start))

    def check(self, model: str, *, quant: str, **options: Any) -> ModelCheck:
        """`medbench_local.check` with these engines."""
        return run_check(model, resolve(CheckOptions(quant=quant, **options)), Tools(self.start))

    def sweep(self, pairs: Sequence[tuple[str, str]], **options: Any) -> Sweep:
        """`medbench_local.sweep` with these engines."""
        asked = resolve(SweepOptions(**options))
        return run_sweep([PairNames(*pair) for pair in pairs], asked, Tools(self.start))

    @property
    def prompts(self) -> int:
        """Prompts scored by all engines."""
        return sum(engine.prompts for engine in self.started)


def model_of(path: Path) -> str:
    """The model whose file lies at ``path``."""
    return path.parent.name.rpartition("-")[0]


def precision_of(path: Path) -> str:
    """The precision of the file at ``path``: "full", "q8_0"."""
    return path.stem.partition("-")[0]


def knowing(model: str, share: float | None = None, *, die_after: int | None = None) -> FakeEngine:
    """An engine that answers about ``share`` of the made-up questions correctly, always the same ones."""
    part = KNOWN[model] if share is None else share
    ids = FakeEngine()
    keys = {ids.token_of(key): i for i, key in enumerate(KEYS)}
    letters = {ids.token_of(letter): i for i, letter in enumerate("ABCD")}

    def logprob(context: Tokens, continuation: Tokens) -> float:
        digest = hashlib.sha256(repr((model, context[-30:])).encode()).digest()
        right = next((keys[token] for token in reversed(context) if token in keys), 0)
        chosen = right if digest[0] < 256 * part else (right + 1) % 4
        return -1.0 if letters.get(continuation[0]) == chosen else -2.0 - len(continuation) - digest[1] / 256

    return FakeEngine(model, logprob=logprob, die_after=die_after)


def write_task(folder: Path, *, test: int = 60) -> Path:
    """Questions of one's own whose texts tell the answer to who knows."""
    folder.mkdir(parents=True)
    for split, count in (("demonstrations", 8), ("validation", 12), ("test", test)):
        rows = [
            {
                "id": f"{split}-{i}",
                "question": f"What does {split} item {i} point to? It is {KEYS[i % 4]}.",
                "options": [f"place {i} {j}" for j in range(4)],
                "answer": i % 4,
            }
            for i in range(count)
        ]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, demo_home: Path) -> Fakes:
    """Fake engines; in a current folder of the test's own the task ``./made-up``, and later its runs."""
    found = Fakes()
    monkeypatch.setenv("MEDBENCH_HOME", str(demo_home))
    monkeypatch.delenv("MEDBENCH_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    write_task(tmp_path / "made-up")
    return found
