"""Small runs of the embedded pair, and what of them must be the same wherever they were computed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

PROTOCOL = """\
name: small
summary: A small search, a test with and without demonstrations.
shots: [0, 2]
selection: {method: exhaustive, formats: [0], demonstration_seeds: [0, 1], validation_questions: 12}
"""

TASKS = ("demo-anatomy", "demo-biology")


def protocol(folder: Path) -> Path:
    """The protocol above as a file."""
    path = folder / "small.yaml"
    path.write_text(PROTOCOL, encoding="utf-8")
    return path


def results(run: Path) -> dict[str, Any]:
    """``results.json`` but for its timing."""
    found: dict[str, Any] = json.loads((run / "results.json").read_text(encoding="utf-8"))
    del found["timing"]
    return found


def timing(run: Path) -> dict[str, Any]:
    """That timing."""
    found: dict[str, Any] = json.loads((run / "results.json").read_text(encoding="utf-8"))["timing"]
    return found


def files(run: Path) -> dict[str, bytes]:
    """The samples, questions and prompts of a run, by name."""
    paths = [run / "prompts.jsonl", *(run / "samples").rglob("*"), *(run / "questions").rglob("*")]
    return {str(path.relative_to(run)): path.read_bytes() for path in paths if path.is_file()}
