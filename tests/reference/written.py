"""Writes JSON Lines as users' files have them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from medbench_local.reference.rows import ResultRow


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def result(**fields: Any) -> ResultRow:
    """A row of results; what is not given is not known."""
    row: dict[str, Any] = {field.name: None for field in dataclasses.fields(ResultRow)}
    return ResultRow(**(row | {"file": "results.jsonl", "where": "line 1"} | fields))


def log_line(**changes: Any) -> dict[str, Any]:
    """A line of a harness log of MMLU, as version 0.4.3 and later write it."""
    line: dict[str, Any] = {
        "doc_id": 0,
        "doc": {"question": "Which?", "subject": "anatomy", "choices": ["a", "b", "c", "d"], "answer": 2},
        "target": "2",
        "arguments": {
            f"gen_args_{i}": {"arg_0": "Which?\nAnswer:", "arg_1": f" {letter}"}
            for i, letter in enumerate("ABCD")
        },
        "resps": [[["-3.5", "False"]], [["-1.25", "False"]], [["-0.5", "True"]], [["-4.0", "False"]]],
        "filtered_resps": [["-3.5", "False"], ["-1.25", "False"], ["-0.5", "True"], ["-4.0", "False"]],
        "filter": "none",
        "metrics": ["acc"],
        "doc_hash": "0" * 64,
        "prompt_hash": "0" * 64,
        "target_hash": "0" * 64,
        "acc": 1.0,
    }
    return line | changes
