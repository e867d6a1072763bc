"""Small files in the data sets' own formats, and a hub cache to put them in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

MEDQA = {
    "question": " Which one? ",
    "answer": "beta",
    "options": {"A": "alpha", "B": "beta", "C": "gamma", "D": "delta"},
    "answer_idx": "B",
}
MEDMCQA = {
    "question": "Which one?",
    "opa": "alpha",
    "opb": "beta",
    "opc": "gamma",
    "opd": "delta",
    "cop": 2,
    "id": "x1",
    "subject_name": "Anatomy",
}
PUBMEDQA = {"QUESTION": "Does it?", "CONTEXTS": ["First.", "Second."], "final_decision": "no"}
OWN = {"id": "q1", "question": "Which one?", "options": ["alpha", "beta"], "answer": 1}


def lines(*records: Any) -> bytes:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records).encode()


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def write_own(folder: Path, **splits: bytes) -> Path:
    """A folder of one's own questions; splits not given hold one good question."""
    for name in ("demonstrations", "validation", "test"):
        good = lines(OWN | {"id": name, "question": f"Which {name}?"})
        write(folder / f"{name}.jsonl", splits.get(name, good))
    return folder
