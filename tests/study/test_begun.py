"""Runs that were begun in the exact mode, when it was the default, go on in it without being asked to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.study.conftest import Fakes

OPTIONS: dict[str, Any] = {"tasks": ["./made-up"], "shots": [0], "limit": 20}


@pytest.mark.parametrize("where", [{}, {"output": Path("named")}], ids=["by default", "named"])
def test_a_finished_one_is_found_and_an_interrupted_one_goes_on(fakes: Fakes, where: dict[str, Any]) -> None:
    old = fakes.compare(mode="exact", **OPTIONS, **where)
    again = fakes.compare(**OPTIONS, **where)
    assert (again.computed, again.results.mode) == (False, "exact")
    before, asked = old.folder.results_file.read_bytes(), fakes.prompts
    old.folder.results_file.unlink()
    resumed = fakes.compare(**OPTIONS, **where)
    assert resumed.computed
    assert resumed.folder.path == old.folder.path
    assert fakes.prompts == asked, "nothing is scored again"
    now = json.loads(old.folder.results_file.read_bytes())
    assert {**now, "timing": None} == {**json.loads(before), "timing": None}


def test_one_that_was_begun_by_the_weights_comes_first(fakes: Fakes) -> None:
    own = fakes.compare(**OPTIONS)
    assert own.results.mode == "reproducible"
    exact = fakes.compare(mode="exact", **OPTIONS)
    assert exact.folder.path != own.folder.path
    again = fakes.compare(**OPTIONS)
    assert (again.computed, again.folder.path) == (False, own.folder.path)
    named = fakes.compare(mode="reproducible", **OPTIONS)
    assert (named.computed, named.folder.path) == (False, own.folder.path)


def test_a_check_goes_on_in_its_folder(fakes: Fakes) -> None:
    options: dict[str, Any] = {**OPTIONS, "quant": "q8_0", "protocol": "demo"}
    fakes.check("demo-med", mode="exact", **options)
    asked = fakes.prompts
    fakes.check("demo-med", **options)
    assert fakes.prompts == asked
    assert len(list(Path("runs").glob("check-*"))) == 1
