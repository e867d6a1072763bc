"""Runs that were begun in the exact mode, when it was the default, go on in it without being asked to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from medbench_local.errors import InputError
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


CHECK: dict[str, Any] = {**OPTIONS, "quant": "q8_0", "protocol": "demo"}


@pytest.mark.parametrize("where", [{}, {"output": Path("named")}], ids=["by default", "named"])
def test_a_check_goes_on_in_its_folder(fakes: Fakes, where: dict[str, Any]) -> None:
    fakes.check("demo-med", mode="exact", **CHECK, **where)
    asked = fakes.prompts
    fakes.check("demo-med", **CHECK, **where)
    assert set(fakes.modes) == {"exact"}
    assert fakes.prompts == asked
    assert len(list(Path("runs").glob("check-*"))) == (not where)


def test_checks_of_both_modes_share_a_folder_that_was_named(fakes: Fakes) -> None:
    for mode in ("exact", "reproducible", None):
        fakes.check("demo-med", mode=mode, output=Path("named"), **CHECK)
    assert fakes.modes[-2:] == ["reproducible"] * 2, "the one that goes with the weights comes first"


def test_another_check_is_begun_as_if_a_folder_that_was_named_were_empty(fakes: Fakes) -> None:
    fakes.check("demo-med", mode="exact", output=Path("named"), **CHECK)
    fakes.check("demo-base", output=Path("named"), **CHECK)
    assert fakes.modes == ["exact"] * 2 + ["reproducible"] * 2


def test_a_check_without_a_list_was_begun_in_the_exact_mode(fakes: Fakes) -> None:
    fakes.check("demo-med", mode="exact", output=Path("named"), **CHECK)
    (Path("named") / "checks.json").unlink()
    fakes.check("demo-med", output=Path("named"), **CHECK)
    assert set(fakes.modes) == {"exact"}


def test_scores_of_a_comparison_are_of_no_check(fakes: Fakes) -> None:
    fakes.compare(mode="exact", output=Path("named"), **OPTIONS)
    before = len(fakes.modes)
    fakes.check("demo-med", output=Path("named"), **CHECK)
    assert set(fakes.modes[before:]) == {"reproducible"}


@pytest.mark.parametrize("content", ["[]", '{"identities": "all"}', '{"identities": [1]}', "{"])
def test_a_damaged_list_is_named(fakes: Fakes, content: str) -> None:
    fakes.check("demo-med", output=Path("named"), **CHECK)
    (Path("named") / "checks.json").write_text(content)
    with pytest.raises(InputError, match=r"checks\.json"):
        fakes.check("demo-med", output=Path("named"), **CHECK)
