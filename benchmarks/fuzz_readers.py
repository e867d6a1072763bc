"""Damaged files, made at random, for everything that reads files from outside.

    python -m benchmarks.fuzz_readers [--minutes 10] [--seed 1] [--keep FOLDER] [READER …]

Sound files are small examples of each kind, made here. Each try changes one of them: bytes, lengths, parts that move,
are doubled, cut out or come from another example; of packed files often what is in them. A reader may accept a file or
refuse it with an error of its own. Anything else is a failure: another exception, ten seconds of the processor, a
gibibyte of memory, a process that ends. Tries run in processes that are forked (Linux, macOS), so that none ends this
one. What failed is kept in the folder; the same seed makes the same files in the same order.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import io
import json
import os
import pickle
import random
import resource
import signal
import sqlite3
import struct
import sys
import tempfile
import time
import traceback
import zipfile
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import yaml
from gguf import GGUFWriter
from pyarrow import parquet

from medbench_local.acquire.conversion.model_config import read_model_config
from medbench_local.acquire.conversion.safetensors_reader import read_safetensors
from medbench_local.acquire.conversion.torch_reader import read_torch
from medbench_local.catalog.described import read_description
from medbench_local.catalog.load import DATA
from medbench_local.catalog.protocol import load_protocol
from medbench_local.catalog.task import Format
from medbench_local.engine.importance import read_importance
from medbench_local.engine.support import refuse_unsupported
from medbench_local.errors import MedbenchError
from medbench_local.files.gguf_header import read_gguf_header
from medbench_local.files.gguf_sense import refuse_nonsense
from medbench_local.files.gguf_shape import model_shape
from medbench_local.files.json_objects import read_json
from medbench_local.files.pickle_data import PickleError, load_pickle
from medbench_local.files.rows import SourceFile
from medbench_local.prompts.chat import Turn
from medbench_local.prompts.chat_template import TemplateChat
from medbench_local.prompts.template_process import templates
from medbench_local.reference.readers.reading import Results
from medbench_local.reference.requests import read_requests as read_prompts
from medbench_local.scoring.own_prompts import read_requests
from medbench_local.store.scores import ScoreStore, StoredRequest, StoredScore, score_key
from medbench_local.tasks.album import Album
from medbench_local.tasks.described import in_table
from medbench_local.tasks.reading import reader_of
from medbench_local.tasks.tables.reading import read_tables

SECONDS, MEMORY = 10, 1 << 30
"""Of the processor, and bytes beyond those that the readers take with nothing to read: for one file."""

AT_ONCE = 50
"""Tries of one process."""

Examples = dict[str, bytes]
Reader = Callable[[Path], object]


@dataclass(frozen=True)
class Target:
    """Something that reads files.

    Attributes:
        read: reads one.
        examples: sound files by their names, of which the ending tells the kind.
    """

    read: Reader
    examples: Callable[[], Examples]


# What is read


def _pickle(path: Path) -> None:
    names = {"collections.OrderedDict": dict, "torch.HalfStorage": None}
    with contextlib.suppress(PickleError):
        load_pickle(path.read_bytes(), calls=names, persistent=lambda key: key)


def _gguf(path: Path) -> None:
    header = read_gguf_header(path)
    refuse_nonsense(header)
    refuse_unsupported(header)
    model_shape(header)


def _template(path: Path) -> None:
    source = path.read_bytes().decode("utf-8", "replace")
    chat = TemplateChat(source, {"bos_token": "<s>", "eos_token": "</s>"}, origin="template")
    chat.write([Turn("user", "Which?"), Turn("assistant", "The answer is")])


def _table(path: Path) -> None:
    place = in_table(path)
    assert place.tables is not None
    with Album(place.pictures or (), path.parent / "home") as album:
        read_tables(place.tables, album)


def _task(format: Format) -> Reader:
    def read(path: Path) -> None:
        for _ in reader_of(format)(SourceFile(path), None):
            pass

    return read


def _results(path: Path) -> None:
    for _ in Results(path):
        pass


def _config(path: Path) -> None:
    from medbench_local.acquire.conversion.architectures import architecture_of
    from medbench_local.acquire.conversion.checkpoint import CheckpointFolder

    checkpoint = CheckpointFolder(path.parent)
    read_model_config(checkpoint, architecture_of(checkpoint))


KEYS = [score_key("a", str(number)) for number in range(20)]


def _store(path: Path) -> None:
    with ScoreStore(path) as store:
        store.get(KEYS)
        store.get_requests(KEYS)
    with ScoreStore(path.parent / "own.sqlite", [path]) as store:
        store.get(KEYS)
        store.get_requests(KEYS)


# Sound files


def _rows(count: int = 10) -> list[dict[str, object]]:
    return [
        {"id": f"q{n}", "question": f"Which {n}?", "options": ["yes", "no", "maybe"], "answer": n % 3}
        for n in range(count)
    ]


def _lines(rows: Sequence[Mapping[str, object]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def _parquet(rows: list[dict[str, object]], **how: object) -> bytes:
    stream = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist(rows), stream, **how)
    return stream.getvalue()


def _workbook() -> bytes:
    import openpyxl

    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(["question", "A", "B", "answer"])
    for number in range(10):
        sheet.append([f"Which {number}?", "yes", "no", "AB"[number % 2]])
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def _tables() -> Examples:
    text = b"question,A,B,answer\n" + b'"Which, %d?",yes,no,A\n"Or, %d?",no,yes,B\n' * 5
    text = b"".join(line.replace(b"%d", b"%d" % n) for n, line in enumerate(text.splitlines(keepends=True)))
    return {
        "q.csv": text,
        "q.csv.gz": gzip.compress(text),
        "q.tsv": text.replace(b",", b"\t"),
        "q.jsonl": _lines(_rows()),
        "q.jsonl.gz": gzip.compress(_lines(_rows())),
        "q.json": json.dumps(_rows()).encode(),
        "q.parquet": _parquet(_rows()),
        "plain.parquet": _parquet(_rows(), use_dictionary=False, compression="zstd"),
        "q.xlsx": _workbook(),
    }


def _safetensors() -> Examples:
    header = {
        "a": {"dtype": "F16", "shape": [2, 3], "data_offsets": [0, 12]},
        "__metadata__": {"format": "pt"},
    }
    data = json.dumps(header).encode()
    return {"m.safetensors": struct.pack("<Q", len(data)) + data + bytes(12)}


def _torch() -> Examples:
    import torch

    stream = io.BytesIO()
    torch.save(OrderedDict(a=torch.zeros(2, 3), b=torch.ones(4, dtype=torch.float16)), stream)
    return {"m.bin": stream.getvalue()}


def _gguf_file() -> Examples:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.gguf"
        writer = GGUFWriter(path, "llama")
        for key, value in (
            ("context_length", 64),
            ("embedding_length", 8),
            ("block_count", 1),
            ("head_count", 2),
        ):
            name = f"add_{key}"
            getattr(writer, name)(value)
        writer.add_feed_forward_length(8)
        writer.add_layer_norm_rms_eps(1e-5)
        writer.add_tokenizer_model("llama")
        writer.add_token_list([f"t{n}" for n in range(12)])
        writer.add_token_scores([float(-n) for n in range(12)])
        writer.add_token_types([1] * 12)
        writer.add_tensor("token_embd.weight", np.zeros((12, 8), np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return {"m.gguf": path.read_bytes()}


def _importance() -> Examples:
    entry = struct.pack("<i", 4) + b"attn" + struct.pack("<ii4f", 1, 4, 1.0, 2.0, 3.0, 4.0)
    return {"m.dat": struct.pack("<i", 1) + entry}


def _chat_templates() -> Examples:
    turn = "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] | trim }}</s>{% endfor %}"
    more = (
        "{%- set ns = namespace(n=0, seen=[]) %}{%- macro head(role, n=1) %}{{ role * n }}{% endmacro %}"
        "{{ range(10) | map('string') | join(', ') }}{{ {'a': [1, 2.5, none, true]} | tojson(indent=2) }}"
        "{{ messages | selectattr('role', 'equalto', 'user') | list | length }}{{ 'a\tb'.expandtabs(4).center(20) }}"
        "{% for m in messages %}{% set ns.n = ns.n + loop.index0 %}{% if m.role == 'system' %}{% continue %}{% endif %}"
        "{{ head(m.role) ~ ('x' * 3).replace('x', 'yy') | indent(2) }}{{ ns.n }}{{ m.role[::-1] | wordwrap(2) }}"
        "{{ m.content.split('</think>')[-1].lstrip() }}</s>{% endfor %}"
        "{%- if add_generation_prompt %}{{ '<assistant>' }}{% endif %}"
    )
    return {"plain.jinja": turn.encode(), "more.jinja": more.encode()}


def _official() -> Examples:
    rows = [
        {"question": f"Which {n}?", "options": dict(zip("ABCD", "wxyz", strict=True)), "answer_idx": "A",
         "answer": "w", "meta_info": "step1"} for n in range(5)
    ]  # fmt: skip
    return {"x.jsonl": _lines(rows), "x.jsonl.gz": gzip.compress(_lines(rows))}


def _mmlu() -> Examples:
    rows = [{"question": "Which?", "choices": list("abcd"), "answer": 1, "subject": "anatomy"}] * 5
    return {"x.csv": b'"Which, of these?",a,b,c,d,A\n' * 5, "x.parquet": _parquet(rows)}


def _pubmedqa() -> Examples:
    record = {"QUESTION": "Is it?", "CONTEXTS": ["a", "b"], "final_decision": "yes", "LONG_ANSWER": "l"}
    return {"x.json": json.dumps({str(n): record for n in range(5)}).encode()}


def _medmcqa() -> Examples:
    row = {"id": "i", "question": "Which?", "opa": "a", "opb": "b", "opc": "c", "opd": "d", "cop": 1,
           "subject_name": "s", "choice_type": "single"}  # fmt: skip
    rows = [{**row, "id": f"i{n}"} for n in range(5)]
    return {"x.json": _lines(rows), "x.parquet": _parquet(rows)}


def _asked() -> Examples:
    rows = [{"id": n, "prompt": f"Which {n}?", "options": [" A", " B"]} for n in range(5)]
    return {"r.jsonl": _lines(rows)}


def _results_files() -> Examples:
    rows = [{"id": n, "task": "t", "prediction": "A", "answer": "B", "correct": False} for n in range(5)]
    log = [
        {"doc_id": n, "doc": {"q": "Which?"}, "target": "1", "arguments": [["Which?", " A"], ["Which?", " B"]],
         "resps": [[["-1.5", "False"]], [["-0.5", "True"]]], "filtered_resps": [["-1.5", "False"], ["-0.5", "True"]],
         "acc": 1.0} for n in range(5)
    ]  # fmt: skip
    inspect = {"version": 2, "status": "success", "eval": {"task": "t", "model": "m"},
               "samples": [{"id": 1, "epoch": 1, "input": "Which?", "choices": ["a", "b"], "target": "A",
                            "scores": {"choice": {"value": "C", "answer": "A"}}}]}  # fmt: skip
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", json.dumps({**inspect, "samples": None}))
        archive.writestr("samples/1_epoch_1.json", json.dumps(inspect["samples"][0]))  # type: ignore[index]
    return {
        "r.jsonl": _lines(rows),
        "r.csv": b"id,correct,options\n" + b'1,true,"[""a"", ""b""]"\n' * 3,
        "samples_t_2024.jsonl": _lines(log),
        "r.json": json.dumps(inspect).encode(),
        "r.eval": packed.getvalue(),
    }


def _configs() -> Examples:
    config = {
        "architectures": ["LlamaForCausalLM"], "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
        "num_attention_heads": 4, "vocab_size": 320, "max_position_embeddings": 64, "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0, "rope_scaling": {"rope_type": "linear", "factor": 2.0}, "tie_word_embeddings": False,
    }  # fmt: skip
    return {"config.json": json.dumps(config).encode()}


def _protocols() -> Examples:
    return {
        f"{name}.yaml": (DATA / "protocols" / f"{name}.yaml").read_bytes() for name in ("laptop", "emnlp2024")
    }


def _descriptions() -> Examples:
    said = {"path": ".", "files": "q.jsonl", "columns": {"question": "question"}, "answers": "letters"}
    shared = b"path: .\nsplits: {test: &a q.jsonl, validation: *a, demonstrations: *a}\n"
    return {"d.yaml": yaml.safe_dump(said).encode(), "s.yaml": shared}


def _stores() -> Examples:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s.sqlite"
        with ScoreStore(path) as store:
            store.put({key: StoredScore((-0.5, -1.5), 0.8, None, 9) for key in KEYS})
            store.put_requests({key: StoredRequest(key, 9, 2, (1, 1)) for key in KEYS})
        database = sqlite3.connect(path)
        database.execute("PRAGMA journal_mode=DELETE")
        database.close()
        return {"s.sqlite": path.read_bytes()}


TARGETS: dict[str, Target] = {
    "safetensors": Target(read_safetensors, _safetensors),
    "torch": Target(read_torch, _torch),
    "pickle": Target(_pickle, lambda: {"p.pkl": pickle.dumps(OrderedDict(a=[1, 2.5, "x", (None, b"y")]), 2)}),
    "gguf": Target(_gguf, _gguf_file),
    "importance": Target(read_importance, _importance),
    "config": Target(_config, _configs),
    "json": Target(read_json, _configs),
    "template": Target(_template, _chat_templates),
    "table": Target(_table, _tables),
    "own": Target(_task("own"), lambda: {"x.jsonl": _lines(_rows())}),
    "medqa": Target(_task("medqa"), _official),
    "mmlu": Target(_task("mmlu"), _mmlu),
    "pubmedqa": Target(_task("pubmedqa"), _pubmedqa),
    "medmcqa": Target(_task("medmcqa"), _medmcqa),
    "requests": Target(read_requests, _asked),
    "prompts": Target(read_prompts, _asked),
    "results": Target(_results, _results_files),
    "protocol": Target(load_protocol, _protocols),
    "description": Target(read_description, _descriptions),
    "store": Target(_store, _stores),
}

# What is changed

ODD = (
    *(
        b"\xff\xff\xff\xff\xff\xff\xff\x7f",
        b"\xff\xff\xff\xff",
        b"\0\0\0\x80",
        b"\0",
        b"\n",
        b" ",
        b"\t",
        b'"',
        b"\\",
    ),
    *(
        b"NaN",
        b"-Infinity",
        b"1e400",
        b"1e308",
        b"1e-320",
        b"-1",
        b"9" * 40,
        b"null",
        b"true",
        b"{}",
        b"[]",
        b"[" * 500,
    ),
    *(
        b"\\ud800",
        b"\\u0000",
        b"\xed\xa0\x80",
        b"\xef\xbb\xbf",
        b",",
        b":",
        b"{{",
        b"}}",
        b"{%",
        b"%}",
        b" * 10**9",
        b"*a",
    ),
)


def changed(dice: random.Random, data: bytes, other: bytes) -> bytes:
    """Bytes with one to six changes."""
    made = bytearray(data)
    for _ in range(dice.choice((1, 1, 2, 3, 6))):
        at = dice.randrange(len(made) + 1)
        end = min(len(made), at + dice.choice((1, 2, 4, 16, 64)))
        match dice.randrange(9):
            case 0 if at < len(made):
                made[at] ^= 1 << dice.randrange(8)
            case 1:
                made[at:end] = dice.randbytes(end - at)
            case 2:
                del made[at:end]
            case 3:
                made[at:at] = dice.choice(ODD)
            case 4:
                made[at:end] = dice.choice(ODD)
            case 5:
                made[at:at] = made[at:end] * dice.choice((1, 10, 1000))
            case 6:
                begin = dice.randrange(len(other) + 1)
                made[at:at] = other[begin : begin + dice.choice((4, 32, 256))]
            case 7:
                del made[at:]
            case _:
                begin = dice.randrange(len(made) + 1)
                made[at:at] = made[begin : begin + dice.choice((4, 32, 256))]
    return bytes(made)


def damaged(dice: random.Random, name: str, data: bytes, other: bytes) -> bytes:
    """A file that was changed; of one that is packed in half of the cases what it holds."""
    if dice.random() < 0.5 and name.endswith(".gz"):
        return gzip.compress(changed(dice, gzip.decompress(data), other), mtime=0)
    if dice.random() < 0.5 and data.startswith(b"PK\3\4"):
        made = io.BytesIO()
        with (
            zipfile.ZipFile(io.BytesIO(data)) as archive,
            zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as target,
        ):
            chosen = dice.choice(archive.namelist())
            for member in archive.namelist():
                inner = archive.read(member)
                target.writestr(
                    zipfile.ZipInfo(member), changed(dice, inner, other) if member == chosen else inner
                )
        return made.getvalue()
    return changed(dice, data, other)


def tries(target: Target, seed: int) -> Iterator[tuple[str, bytes]]:
    """Names and contents of damaged files, without end."""
    examples = target.examples()
    dice = random.Random(seed)
    while True:
        name = dice.choice([*examples])
        yield name, damaged(dice, name, examples[name], dice.choice([*examples.values()]))


# How it is tried


def attempt(target: Target, batch: list[tuple[str, bytes]], folder: Path) -> str:
    """Read files in a process of its own; what failed with the last one that lies in the folder, or ""."""
    folder.mkdir(parents=True, exist_ok=True)
    said = folder / "said"
    child = os.fork()
    if child == 0:
        os._exit(_child(target, batch, folder, said))
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        ended = signal.Signals(os.WTERMSIG(status)).name
        return f"took more than {SECONDS} s" if ended == "SIGPROF" else f"ended by {ended}"
    return said.read_text(encoding="utf-8") if os.WEXITSTATUS(status) else ""


def _child(target: Target, batch: list[tuple[str, bytes]], folder: Path, said: Path) -> int:
    error: BaseException | None = None
    try:
        with open(os.devnull, "w", encoding="utf-8") as nothing:
            os.dup2(nothing.fileno(), 1)
            os.dup2(nothing.fileno(), 2)
        held = getattr(psutil.Process().memory_info(), "data", 0)
        if held:
            resource.setrlimit(resource.RLIMIT_DATA, (held + MEMORY, held + MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        for name, data in batch:
            for old in folder.iterdir():
                if old.is_file():
                    old.unlink()
            path = folder / name
            path.write_bytes(data)
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            with contextlib.suppress(MedbenchError):
                target.read(path)
            signal.setitimer(signal.ITIMER_PROF, 0)
    except BaseException as found:
        error = found
    signal.setitimer(signal.ITIMER_PROF, 0)
    templates.close()
    if error is None:
        return 0
    said.write_text("".join(traceback.format_exception(error))[-2000:], encoding="utf-8")
    return 1


def main() -> None:
    """Try damaged files until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "readers", nargs="*", metavar="READER", help=f"of {', '.join(TARGETS)}; all by default"
    )
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, default=Path("fuzz-failures"))
    asked = parser.parse_args()
    if wrong := [name for name in asked.readers if name not in TARGETS]:
        parser.error(f"no reader {wrong[0]}; there are {', '.join(TARGETS)}")
    made = {name: tries(TARGETS[name], asked.seed) for name in asked.readers or TARGETS}
    tried: Counter[str] = Counter()
    failures: list[str] = []
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        while time.monotonic() - began < 60 * asked.minutes:
            name = min(made, key=lambda one: tried[one] * (5 if one == "template" else 1))
            batch = [next(made[name]) for _ in range(AT_ONCE)]
            place = Path(folder) / name
            problem = attempt(TARGETS[name], batch, place)
            tried[name] += AT_ONCE
            if problem:
                kept = asked.keep / f"{name}-{asked.seed}-{tried[name]}"
                kept.mkdir(parents=True, exist_ok=True)
                for file in place.iterdir():
                    if file.is_file():
                        (kept / file.name).write_bytes(file.read_bytes())
                failures.append(f"{kept}: {problem.strip().splitlines()[-1]}")
                print(failures[-1], file=sys.stderr, flush=True)
    minutes = (time.monotonic() - began) / 60
    print(
        f"seed {asked.seed}, {minutes:.1f} minutes, {sum(tried.values()):,} files, {len(failures)} failures"
    )
    print(", ".join(f"{name} {count:,}" for name, count in tried.items()))
    print(*failures, sep="\n")


if __name__ == "__main__":
    main()
