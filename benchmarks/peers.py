"""The same real MedQA questions on the same model, with lm-evaluation-harness, plain llama.cpp and this package.

    python -m benchmarks.peers --data DIR [--shots 3 0] [--questions 8] [--rounds 2] [--threads 1] [--ways NAME ...]
        [--checkpoint FOLDER] [--layers 8] [--keep FOLDER]

DIR is laid out like the data sets' own files; without ``--checkpoint`` it must have
``weights/llama-2-tokenizer.model``: the model is then a Llama of random bf16 weights, made for this: width 2,048,
``--layers`` layers, the real Llama-2 vocabulary. Random weights take the time that trained ones take; what is seen of
differences says something of the arithmetic, and nothing of a trained model.

The questions asked are those at the middles of equal parts of the test set, ordered by length: few questions are as
long, in the mean, as all of them.

Each way reads the log-probabilities of the letters behind each prompt, which are single tokens: the case in which the
harness needs one pass for all options of a question. Tokenising counts, loading does not, and plain llama.cpp gets
tokens. Every round runs each way once, in turn; the table shows medians of processor seconds of all processes of a
way. A prefix that prompts share is decoded once by this package: "of a task" spreads it over the 1,273 questions of
the test set, "of these" over the few that were timed here. The reference of the differences is the harness in float32.

On a processor the harness's "auto" finds the largest batch that it is allowed, unless memory ends, by five passes of
that size; it is asked here with the batch so found (``--largest-batch``), the search left out. Its class for GGUF needs
minutes for a question: it is asked one, last, if ``--ways`` names it or nothing. Needs the extra `bench`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

# Threads that wait must not burn processor time; read when the first library with threads is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import psutil

from benchmarks.engine import Raw
from medbench_local.acquire.quantise import quantise
from medbench_local.api import convert, task_prompts
from medbench_local.catalog.quantisation import load_quant
from medbench_local.engine.base import EngineOptions, Mode, ScoreRequest
from medbench_local.engine.packs import common_prefix, plan_packs
from medbench_local.engine.remote import WorkerEngine, start_engine
from medbench_local.scoring.rules.label import label_requests

TEST_SET = 1273
"""Questions of MedQA's test set, which share one prefix."""

Scores = list[list[float]]


@dataclass(frozen=True)
class Question:
    """A prompt and the letters that may follow."""

    prompt: str
    letters: tuple[str, ...]


@dataclass(frozen=True)
class Took:
    """Seconds of processor and of wall time."""

    cpu: float
    wall: float

    def __sub__(self, other: Took) -> Took:
        return Took(self.cpu - other.cpu, self.wall - other.wall)


@dataclass(frozen=True)
class Round:
    """What one way did in one round.

    Attributes:
        scores: log-probabilities of the letters of each question.
        took: for all of them.
        shared: of that, what a whole task needs once, however many questions it has.
    """

    scores: Scores
    took: Took
    shared: Took = Took(0, 0)


class Way(ABC):
    """One way to score questions.

    Attributes:
        precision: of the weights.
        rounds: most rounds: very slow ones are not repeated.
        questions: most questions that it is asked.
    """

    precision = "f32"
    rounds = 1000
    questions = 1000

    def processes(self) -> Iterator[psutil.Process]:
        """Other processes that work for it."""
        yield from ()

    def clock(self) -> Took:
        """Seconds so far."""
        others = [process.cpu_times() for process in self.processes()]
        return Took(time.process_time() + sum(one.user + one.system for one in others), time.monotonic())

    def timed(self, work: Callable[[], Scores]) -> tuple[Scores, Took]:
        before = self.clock()
        scores = work()
        return scores, self.clock() - before

    @abstractmethod
    def run(self, questions: Sequence[Question]) -> Round:
        """Score questions."""


class Harness(Way):
    """lm-evaluation-harness: one of its model classes, asked as its tasks of multiple choice ask it."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def run(self, questions: Sequence[Question]) -> Round:
        return Round(*self.timed(lambda: self._score(questions)))

    def _score(self, questions: Sequence[Question], beginning: str = "") -> Scores:
        from lm_eval.api.instance import Instance

        asked = [
            Instance(
                request_type="loglikelihood",
                doc={},
                arguments=(one.prompt[: len(one.prompt) - len(beginning)], beginning + letter),
                idx=number,
                metadata=("medqa", place, 1),
            )
            for place, one in enumerate(questions)
            for number, letter in enumerate(one.letters)
        ]
        found = iter(self._model.loglikelihood(asked, disable_tqdm=True))
        return [[float(next(found)[0]) for _ in one.letters] for one in questions]


class Served(Harness):
    """The harness over llama-cpp-python's server. Its clock is that of both processes."""

    precision = "bf16"
    rounds = 1
    questions = 1

    def __init__(self, model: Any, server: int) -> None:
        super().__init__(model)
        self._server = psutil.Process(server)

    def processes(self) -> Iterator[psutil.Process]:
        yield self._server

    def run(self, questions: Sequence[Question]) -> Round:
        # The harness counts characters: a blank before a letter belongs to the letter's token.
        return Round(*self.timed(lambda: self._score(questions, " ")))


class FullPass(Way):
    """llama.cpp itself, one pass over each whole prompt: flash attention, F16 cache."""

    def __init__(self, path: Path, precision: str, n_ctx: int, threads: int, requests: _Requests) -> None:
        self.precision = precision
        self._requests = requests
        self._raw = Raw(path, n_ctx=n_ctx, threads=threads)

    def run(self, questions: Sequence[Question]) -> Round:
        asked = self._requests.of(questions)

        def work() -> Scores:
            found: Scores = []
            for one in asked:
                self._raw.begin(())
                letters = [tokens[0] for tokens in one.continuations]
                found += self._raw.score((), [one.context], letters)
            return found

        return Round(*self.timed(work))

    def close(self) -> None:
        self._raw.close()


class Ours(Way):
    """This package: tokenising, planning and its worker process, the prefix from nothing and then once more held."""

    def __init__(self, engine: WorkerEngine, precision: str) -> None:
        self._engine = engine
        self.precision = precision
        self._worker = psutil.Process(engine.pid)

    def processes(self) -> Iterator[psutil.Process]:
        yield self._worker

    def _score(self, questions: Sequence[Question]) -> Scores:
        requests = requests_of(self._engine, questions)
        prefix = common_prefix([one.context for one in requests])
        found = [score for pack in plan_packs(requests, prefix) for score in self._engine.score(pack)]
        return [list(one.logprobs) for one in found]

    def run(self, questions: Sequence[Question]) -> Round:
        self._score([Question("Something else.", ("A",))])
        first, whole = self.timed(lambda: self._score(questions))
        again, held = self.timed(lambda: self._score(questions))
        if first != again:
            raise SystemExit("the prefix that was held changed bits")
        return Round(first, whole, whole - held)


def requests_of(engine: WorkerEngine, questions: Sequence[Question]) -> list[ScoreRequest]:
    return label_requests(
        lambda prompts: engine.tokenize(["".join(map(str, parts)) for parts in prompts], special=False),
        [(one.prompt,) for one in questions],
        [one.letters for one in questions],
    )


class _Requests:
    """What plain llama.cpp is asked, tokenised beforehand."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._made: dict[Question, ScoreRequest] = {}

    def of(self, questions: Sequence[Question]) -> list[ScoreRequest]:
        missing = [one for one in questions if one not in self._made]
        if missing:
            with start_engine(self._path, EngineOptions(vocabulary_only=True)) as engine:
                self._made |= dict(zip(missing, requests_of(engine, missing), strict=True))
        return [self._made[one] for one in questions]


def write_checkpoint(folder: Path, layers: int, vocabulary: Path) -> None:
    """A Llama of random bf16 weights with the real vocabulary."""
    import torch
    import transformers

    config = transformers.LlamaConfig(
        vocab_size=32000,
        hidden_size=2048,
        intermediate_size=5632,
        num_hidden_layers=layers,
        num_attention_heads=32,
        num_key_value_heads=4,
        max_position_embeddings=4096,
        tie_word_embeddings=False,
        bos_token_id=1,
        eos_token_id=2,
    )
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(config).to(torch.bfloat16)
    for name, weights in model.named_parameters():
        if weights.dim() == 2:
            torch.nn.init.normal_(weights, 0, 1.0 if "embed" in name else 1.5 / weights.shape[1] ** 0.5)
    model.save_pretrained(folder)
    shutil.copy(vocabulary, folder / "tokenizer.model")
    names = {
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "tokenizer_class": "LlamaTokenizer",
    }
    more = {"add_bos_token": True, "add_eos_token": False, "legacy": True}
    (folder / "tokenizer_config.json").write_text(json.dumps({**names, **more}), encoding="utf-8")


def read_questions(data: Path, checkpoint: Path, shots: int, count: int) -> list[Question]:
    """Questions of the test set as short and as long as its own are, prompted as the study prompts them."""
    rows = task_prompts(
        str(checkpoint),
        "medqa",
        shots=shots,
        chat_template="none",
        data_dir=data,
        offline=True,
    )
    rows.sort(key=lambda row: (len(row.prompt), row.item))
    chosen = [rows[(2 * place + 1) * len(rows) // (2 * count)] for place in range(count)]
    return [Question(row.prompt, tuple(label.strip("()[].") for label in row.options)) for row in chosen]


@contextmanager
def served(path: Path, n_ctx: int, threads: int, log: Path) -> Iterator[tuple[str, int]]:
    """llama-cpp-python's server: its address and its process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {
        "--model": path,
        "--port": port,
        "--n_ctx": n_ctx,
        "--n_threads": threads,
        "--n_threads_batch": threads,
        "--logits_all": True,  # the harness wants log-probabilities of the prompt
        "--n_gpu_layers": 0,
    }
    command = [
        sys.executable,
        "-m",
        "llama_cpp.server",
        *(str(one) for pair in settings.items() for one in pair),
    ]
    with log.open("wb") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said)
    try:
        for _ in range(600):
            if process.poll() is not None:
                raise SystemExit(
                    f"the server ended: {log.read_text(encoding='utf-8', errors='replace')[-500:]}"
                )
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.5)
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        process.terminate()
        process.wait()


@dataclass(frozen=True)
class Bench:
    """What ways are made of."""

    checkpoint: Path
    files: dict[str, Path]
    n_ctx: int
    threads: int
    largest_batch: int
    stack: ExitStack
    loaded: dict[str, Any]

    def harness(self, dtype: str, batch: int) -> Any:
        """The harness's class for transformers; weights of one type are loaded once."""
        import torch
        import transformers
        from lm_eval.models.huggingface import HFLM

        torch.set_num_threads(self.threads)
        if dtype not in self.loaded:
            self.loaded[dtype] = transformers.AutoModelForCausalLM.from_pretrained(
                self.checkpoint, dtype=getattr(torch, dtype)
            ).eval()
        return HFLM(
            pretrained=self.loaded[dtype],
            tokenizer=transformers.AutoTokenizer.from_pretrained(self.checkpoint),
            batch_size=batch,
            max_length=self.n_ctx,
            device="cpu",
        )

    def ours(self, mode: Mode, precision: str) -> Ours:
        options = EngineOptions(mode=mode, n_ctx=self.n_ctx, threads=self.threads, gpu_layers=0)
        return Ours(self.stack.enter_context(start_engine(self.files[precision], options)), precision)

    def full(self, precision: str, requests: _Requests) -> FullPass:
        way = FullPass(self.files[precision], precision, self.n_ctx, self.threads, requests)
        self.stack.callback(way.close)
        return way

    def gguf(self, folder: Path) -> Served:
        from lm_eval.models.gguf import GGUFLM

        address, process = self.stack.enter_context(
            served(self.files["bf16"], self.n_ctx, self.threads, folder / "server.log")
        )
        return Served(GGUFLM(base_url=address), process)


REFERENCE = "lm-eval hf, float32, batch 1"


def makers(bench: Bench, folder: Path, default: str) -> dict[str, Callable[[], Way]]:
    """Every way by its name."""
    requests = _Requests(bench.files["bf16"])
    found: dict[str, Callable[[], Way]] = {
        REFERENCE: lambda: Harness(bench.harness("float32", 1)),
        f"lm-eval hf, float32, batch auto ({bench.largest_batch})": lambda: Harness(
            bench.harness("float32", bench.largest_batch)
        ),
    }
    for precision in ("bf16", default):
        found[f"llama.cpp, one full pass a question, {precision}"] = partial(bench.full, precision, requests)
    found["medbench-local, exact, bf16"] = lambda: bench.ours("exact", "bf16")
    found["medbench-local, reproducible, bf16 (default mode)"] = lambda: bench.ours("reproducible", "bf16")
    found[f"medbench-local, reproducible, {default} (default)"] = lambda: bench.ours("reproducible", default)
    found[f"medbench-local, exact, {default}"] = lambda: bench.ours("exact", default)
    # the slowest last: it says nothing for minutes
    found["lm-eval gguf over llama-cpp-python's server, bf16"] = lambda: bench.gguf(folder)
    return found


def largest_difference(found: Scores, reference: Scores) -> float:
    return max(
        abs(a - b)
        for one, other in zip(found, reference, strict=False)  # slow ways answer fewer questions
        for a, b in zip(one, other, strict=True)
    )


def table(done: dict[str, list[Round]], ways: dict[str, Way]) -> str:
    """The rows of a Markdown table."""

    def seconds(name: str, task: bool, wall: bool = False) -> float:
        found = []
        for one in done[name]:
            own, shared = (one.took.wall, one.shared.wall) if wall else (one.took.cpu, one.shared.cpu)
            count = len(one.scores)
            found.append((own - shared) / count + shared / TEST_SET if task else own / count)
        return statistics.median(found)

    full = {way.precision: name for name, way in ways.items() if isinstance(way, FullPass) and name in done}
    lines = [
        "| way | CPU s, of a task | wall s | CPU s, of these | faster than lm-eval hf | than the full pass "
        "| difference |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, rounds in done.items():
        own = seconds(name, task=True)
        than = [f"{seconds(REFERENCE, task=True) / own:.1f}" if REFERENCE in done else ""]
        of_full = full.get(ways[name].precision)
        than.append(f"{seconds(of_full, task=True) / own:.1f}" if of_full else "")
        difference = (
            f"{largest_difference(rounds[0].scores, done[REFERENCE][0].scores):.2g}"
            if REFERENCE in done
            else ""
        )
        cells = [
            name,
            f"{own:.2f}",
            f"{seconds(name, task=True, wall=True):.2f}",
            f"{seconds(name, task=False):.2f}",
            *than,
            difference,
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--shots", type=int, nargs="+", default=[3, 0])
    parser.add_argument("--questions", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--ways", nargs="+", default=[""], help="parts of the names of those to run")
    parser.add_argument("--quant", default="q6_k", help="what a run without --quant takes on this machine")
    parser.add_argument("--checkpoint", type=Path, help="a Llama of one's own")
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--largest-batch", type=int, default=4, help="what lm-eval's auto may find")
    parser.add_argument("--keep", type=Path, help="where the files are made, and found again")
    given = parser.parse_args()
    with ExitStack() as stack:
        folder = given.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        os.environ["MEDBENCH_HOME"] = str(folder / "home")
        checkpoint = given.checkpoint or folder / f"checkpoint-{given.layers}"
        if not checkpoint.exists():
            write_checkpoint(checkpoint, given.layers, given.data / "weights" / "llama-2-tokenizer.model")
        files = {kind: folder / f"{checkpoint.name}-{kind}.gguf" for kind in ("bf16", given.quant)}
        if not files["bf16"].exists():
            convert(str(checkpoint), files["bf16"], type="bf16")
        if not files[given.quant].exists():
            quantise(files["bf16"], load_quant(given.quant), files[given.quant])
        bench = Bench(checkpoint, files, 4096, given.threads, given.largest_batch, stack, {})
        ways = {
            name: make()
            for name, make in makers(bench, folder, given.quant).items()
            if any(part in name for part in given.ways)
        }
        for shots in given.shots:
            questions = read_questions(given.data, checkpoint, shots, given.questions)
            done: dict[str, list[Round]] = {}
            for number in range(given.rounds):
                for name in list(ways) if number % 2 == 0 else list(ways)[::-1]:
                    way = ways[name]
                    if number < way.rounds:
                        found = way.run(questions[: way.questions])
                        done.setdefault(name, []).append(found)
                        print(f"{shots}-shot, {name}: {found.took}", file=sys.stderr, flush=True)
            sizes = [len(one.prompt) for one in questions]
            print(
                f"\n{shots}-shot, {len(questions)} questions, prompts of {min(sizes):,} to {max(sizes):,} characters, "
                f"{given.threads} thread(s), medians of {given.rounds} rounds, load {psutil.getloadavg()[0]:.1f}\n"
            )
            print(table({name: done[name] for name in ways if name in done}, ways), flush=True)


if __name__ == "__main__":
    main()
