"""The JSON Schemas of results.json and sweep.json, for whoever reads the files without this package.

``python -m medbench_local.results.published`` writes them again; a test holds the files to what it would write.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from medbench_local.results.schema import SCHEMA, Results
from medbench_local.results.sweep_folder import SWEEP_SCHEMA, SweepRecord

SCHEMA_FILE = Path(__file__).with_name("results.schema.json")
"""The published schema; part of the package."""

SWEEP_SCHEMA_FILE = Path(__file__).with_name("sweep.schema.json")
"""That of sweep.json."""


def results_schema() -> dict[str, Any]:
    """The schema, made from the types that read and write the file.

    It says what each value may be. What values must have in common (that a verdict is the one of its interval, say) is
    checked by `medbench_local.read_results`.
    """
    return _schema(Results, SCHEMA, "results.json of medbench-local")


def sweep_schema() -> dict[str, Any]:
    """That of sweep.json, likewise."""
    return _schema(SweepRecord, SWEEP_SCHEMA, "sweep.json of medbench-local")


def _schema(kind: type[BaseModel], version: int, title: str) -> dict[str, Any]:
    schema = _untitled(kind.model_json_schema(mode="validation"))
    properties = schema.pop("properties")
    del properties["schema_version"]
    number = {"const": version, "description": "The version of this schema."}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": title,
        "properties": {"schema": number, **properties},
        "required": ["schema", *schema["required"]],
    }


def _untitled(part: Any) -> Any:
    """The same without titles, which only repeat the names of keys; a key that is called so stays."""
    if isinstance(part, list):
        return [_untitled(value) for value in part]
    if not isinstance(part, dict):
        return part
    return {
        key: _untitled(value)
        for key, value in part.items()
        if not (key == "title" and isinstance(value, str))
    }


def schema_text(schema: Mapping[str, Any]) -> str:
    """The text of a file."""
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for file, schema in ((SCHEMA_FILE, results_schema()), (SWEEP_SCHEMA_FILE, sweep_schema())):
        file.write_text(schema_text(schema), encoding="utf-8", newline="\n")
