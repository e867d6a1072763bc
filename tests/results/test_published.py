"""results.schema.json is what the types say, and real files of every age keep to it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from medbench_local import read_results
from medbench_local.results.identification import Identification
from medbench_local.results.published import (
    SCHEMA_FILE,
    SWEEP_SCHEMA_FILE,
    results_schema,
    schema_text,
    sweep_schema,
)
from tests.report.examples import CASES
from tests.results.test_reading import _old
from tests.study.conftest import Fakes

OPTIONS: dict[str, Any] = {"tasks": ["./made-up"], "shots": [0, 2], "limit": 12}


def _problems(data: object) -> list[str]:
    published = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    return [
        f"{error.json_path}: {error.message}" for error in Draft202012Validator(published).iter_errors(data)
    ]


def test_the_published_schema_is_what_the_types_say() -> None:
    for file, schema in ((SCHEMA_FILE, results_schema()), (SWEEP_SCHEMA_FILE, sweep_schema())):
        found = file.read_text(encoding="utf-8")
        assert found == schema_text(schema), "write it again: python -m medbench_local.results.published"


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(results_schema())
    Draft202012Validator.check_schema(sweep_schema())


@pytest.mark.parametrize(
    "options", [{}, {"quant": "auto", "ablation": True}, {"scoring": "greedy", "quant": "none"}]
)
def test_what_a_run_writes_keeps_to_it(fakes: Fakes, options: dict[str, Any]) -> None:
    run = fakes.compare(**OPTIONS, **options)
    assert _problems(json.loads(run.folder.results_file.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("case", CASES)
def test_results_of_every_kind_keep_to_it(case: str) -> None:
    assert _problems(json.loads(CASES[case].to_json())) == []


def test_files_of_earlier_releases_keep_to_it(fakes: Fakes, tmp_path: Path) -> None:
    run = fakes.compare(**OPTIONS)
    data = json.loads(run.folder.results_file.read_text(encoding="utf-8"))
    for key in Identification.model_fields:  # as 0.1 wrote schema 2
        del data[key]
    for model in data["models"].values():
        del model["full_sha256"], model["files"]
    assert _problems(data) == []
    path, first = _old(fakes, tmp_path)
    assert _problems(first)[0].startswith("$"), "schema 1 is another one"
    path.write_text(json.dumps(first))
    assert _problems(read_results(path).to_dict()) == []


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda data: data.update(schema=3), "$.schema"),
        (lambda data: data.pop("comparisons"), "$"),
        (lambda data: data.update(unheard_of=1), "$"),
        (lambda data: data["comparisons"][0].update(verdict="draw"), "$.comparisons[0].verdict"),
        (lambda data: data["comparisons"][0]["accuracy"].update(base=1.2), "$.comparisons[0].accuracy.base"),
        (lambda data: data["models"]["base"].pop("sha256"), "$.models.base"),
    ],
)
def test_other_files_do_not(change: Any, place: str) -> None:
    data = json.loads(CASES["one comparison"].to_json())
    change(data)
    assert [problem.partition(":")[0] for problem in _problems(data)] == [place]
