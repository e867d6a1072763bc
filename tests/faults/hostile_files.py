"""Files that take far more time or memory than their size says, and the commands that read them.

Run as a program it tries all of them, below a folder, and says what each command ended with and what all of them took:

    python -m tests.faults.hostile_files FOLDER
"""

from __future__ import annotations

import gzip
import io
import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.corpus.command_line import run

MIB = 2**20


def packed(*pieces: tuple[bytes, int]) -> bytes:
    """Gzipped: each piece so many times."""
    stream = io.BytesIO()
    with gzip.GzipFile(fileobj=stream, mode="wb", compresslevel=1) as archive:
        for piece, times in pieces:
            for _ in range(times):
                archive.write(piece)
    return stream.getvalue()


def question(**more: object) -> dict[str, object]:
    return {"question": "Which?", "options": ["a", "b"], "answer": 0, **more}


def line(**more: object) -> bytes:
    return json.dumps(question(**more)).encode() + b"\n"


def keys(count: int, *more: bytes) -> bytes:
    return b'{"question": "Which?"' + b"".join([*(b', "k%d": 1' % n for n in range(count)), *more]) + b"}\n"


def parquet_of(columns: dict[str, object], **how: object) -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    stream = io.BytesIO()
    parquet.write_table(pa.table(columns), stream, compression="zstd", **how)
    return stream.getvalue()


def repeated_value(*, nested: bool) -> bytes:
    """A text of 8 MiB that 4,096 rows, or the options of each, refer to: in itself some hundred bytes."""
    import pyarrow as pa

    text = pa.DictionaryArray.from_arrays(pa.array([0] * 4096, pa.int32()), pa.array(["x" * (8 * MIB)]))
    if not nested:
        return parquet_of({"question": text, "options": [["a", "b"]] * 4096, "answer": [0] * 4096})
    options = pa.ListArray.from_arrays(pa.array(range(0, 4097, 2), pa.int32()), text)
    return parquet_of({"question": ["Which?"] * 2048, "options": options, "answer": [0] * 2048})


def repeated_beginning() -> bytes:
    """Texts that are one mebibyte of the one before and a number."""
    texts = ["x" * MIB + str(n) for n in range(128)]
    columns = {"question": texts, "options": [["a", "b"]] * 128, "answer": [0] * 128}
    return parquet_of(columns, use_dictionary=False, column_encoding={"question": "DELTA_BYTE_ARRAY"})


def rows_of_nothing() -> bytes:
    import pyarrow as pa

    return parquet_of(dict.fromkeys(("question", "options", "answer"), pa.nulls(5_000_000, pa.string())))


def doubled() -> bytes:
    """A thousand million times one key, by references to what refers to others."""
    lines = ["a0: &a0 {k: 1}", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 31))]
    return "\n".join(lines).encode()


BLANKS = b"\n" * MIB
HEADER = b"question,options,answer\n"
QUESTIONS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "a million keys": ("q.jsonl", lambda: keys(10**6)),
    "a key twice among many": ("q.jsonl", lambda: keys(10**6, b', "k999999": 1')),
    "other keys on each line": (
        "q.jsonl",
        lambda: b"".join(keys(900).replace(b"k", b"%d " % n) for n in range(50)),
    ),
    "a million options": ("q.jsonl", lambda: line(options=[str(n) for n in range(10**6)])),
    "a million named options": ("q.jsonl", lambda: line(options={str(n): "a" for n in range(10**6)})),
    "line breaks": ("q.jsonl", lambda: BLANKS * 5),
    "line breaks, packed": ("q.jsonl.gz", lambda: packed((BLANKS, 100))),
    "line breaks behind carriage returns": ("q.jsonl", lambda: b" \r\n" * (3 * MIB)),
    "blanks in JSON": ("q.json", lambda: b" " * (40 * MIB)),
    "blanks in JSON, packed": ("q.json.gz", lambda: packed((b"[", 1), (b" " * MIB, 100))),
    "empty lists": ("q.json", lambda: b"[" + b"[]," * (3 * MIB) + b"[]]"),
    "empty lists in lines": ("q.jsonl", lambda: (b'{"question": [' + b"[]," * 1_400_000 + b"[]]}\n") * 3),
    "lines that are none": ("q.jsonl", lambda: b"x\n" * MIB),
    "an endless line, packed": ("q.jsonl.gz", lambda: packed((b"x" * MIB, 100))),
    "endless texts": ("q.jsonl", lambda: line(question="x" * (3 * MIB)) * 3),
    "commas": ("q.csv", lambda: b"," * (20 * MIB)),
    "commas, packed": ("q.csv.gz", lambda: packed((b"," * MIB, 100))),
    "lines of commas": ("q.csv", lambda: HEADER + (b"," * 900 + b"\n") * 10_000),
    "csv of line breaks": ("q.csv", lambda: BLANKS * 5),
    "a quotation mark": ("q.csv", lambda: HEADER + b'"' + b"x\n" * (MIB // 4)),
    "quotation marks": ("q.csv", lambda: HEADER + b'"a"b\n' * (MIB // 4)),
    "not UTF-8": ("q.csv", lambda: b"\xe4\xe4 " * (3 * MIB)),
    "a value repeated": ("q.parquet", lambda: repeated_value(nested=False)),
    "a value repeated in lists": ("q.parquet", lambda: repeated_value(nested=True)),
    "a beginning repeated": ("q.parquet", repeated_beginning),
    "rows of nothing": ("q.parquet", rows_of_nothing),
    "references": ("q.yaml", doubled),
}
"""Files of questions, by what is wrong with them: the name of each, and what makes it."""


def request(prompt: str) -> bytes:
    return json.dumps({"id": 1, "prompt": prompt, "options": ["a", "b"]}).encode() + b"\n"


def results(header: bytes, row: bytes) -> bytes:
    return b"id,correct" + header * 500_000 + b"\n" + b"1,1" + row * 500_000 + b"\n"


def commands(folder: Path) -> dict[str, tuple[str, ...]]:
    """Every attempt, by what is wrong; its files are made."""

    def made(name: str, file: str, data: bytes) -> str:
        place = folder / name.replace(",", "").replace(" ", "-") / file
        place.parent.mkdir()
        place.write_bytes(data)
        return str(place)

    found: dict[str, tuple[str, ...]] = {}
    for name, (file, make) in QUESTIONS.items():
        found[name] = ("import", made(name, file, make()), "--output", str(folder / "task"))
    plan = ("compare", "demo-med", "demo-base", "--dry-run", "--shots", "0")
    path = made("keys of a task", "q.jsonl", keys(10**6))
    found["keys of a task"] = (*plan, "--tasks", path)
    found["references in a protocol"] = (
        *plan,
        "--protocol",
        made("references in a protocol", "p.yaml", doubled()),
    )
    score = ("score", "demo-med")
    for name, data in {
        "a long prompt": request("x " * (5 * MIB)),
        "requests of line breaks": BLANKS * 5,
        "keys of a request": keys(10**6),
    }.items():
        found[name] = (*score, made(name, "r.jsonl", data), "--output", str(folder / "scores.jsonl"))
    for name, file, data in (
        ("columns of results", "r.csv", results(b",a", b",1")),
        ("results of line breaks", "r.jsonl", BLANKS * 5),
        ("results of empty lists", "r.json", b"[" + b"[]," * (3 * MIB) + b"[]]"),
        ("results of commas, packed", "r.csv.gz", packed((b"," * MIB, 100))),
    ):
        path = made(name, file, data)
        found[name] = ("verdict", path, path)
    return found


def most_memory() -> int:
    """Bytes that this process had at most."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux counts in ru_maxrss what the process had that started this one
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    for name, words in commands(Path(sys.argv[1])).items():
        began = time.process_time()
        ended = run(*words)
        took = round(time.process_time() - began, 2)
        print(
            json.dumps({"name": name, "code": ended.code, "out": ended.out, "err": ended.err, "took": took})
        )
    print(json.dumps({"memory": most_memory()}))


if __name__ == "__main__":
    main()
