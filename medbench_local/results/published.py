"""The JSON Schema of results.json, for whoever reads the file without this package.

``python -m medbench_local.results.published`` writes it again; a test holds the file to what it would write.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from medbench_local.results.schema import SCHEMA, Results

SCHEMA_FILE = Path(__file__).with_name("results.schema.json")
"""The published schema; part of the package."""


def results_schema() -> dict[str, Any]:
    """The schema, made from the types that read and write the file.

    It says what each value may be. What values must have in common (that a verdict is the one of its interval, say) is
    checked by `medbench_local.read_results`.
    """
    schema = _untitled(Results.model_json_schema(mode="validation"))
    properties = schema.pop("properties")
    del properties["schema_version"]
    number = {"const": SCHEMA, "description": "The version of this schema."}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "results.json of medbench-local",
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


def schema_text() -> str:
    """The text of the file."""
    return json.dumps(results_schema(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    SCHEMA_FILE.write_text(schema_text(), encoding="utf-8", newline="\n")
