"""What pictures are seen with is part of what a model is: in its sameness, a run's identity and its signature."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from medbench_local.acquire.picture_parts import VisionFiles
from medbench_local.catalog.quantisation import load_quant
from medbench_local.progress import Silent
from medbench_local.report.identity import signature
from medbench_local.results.schema import PairOf
from medbench_local.study.identification import model_record
from medbench_local.study.manifest import identity_of
from medbench_local.study.options import CompareOptions, resolve
from medbench_local.study.plan import SAME_FILE, Plan
from medbench_local.study.planner import Planner
from medbench_local.vision.parts import VisionParts
from tests.report.examples import CASES
from tests.study.conftest import Fakes


@pytest.fixture
def plan(fakes: Fakes, tmp_path: Path) -> Plan:
    """A plan whose models have one language model, and see pictures."""
    options = resolve(CompareOptions(tasks=["./made-up"], shots=[0], limit=2, quant="full"))
    planner = Planner("demo-med", "demo-base", options, Silent())
    found = planner.plan(planner.quants[0])
    model = replace(found.medical, entry=None, vision=seeing())
    return replace(found, medical=model, base=model)


def seeing(**changes: Any) -> VisionFiles:
    parts = VisionParts(
        "llava", "1" * 64, -2, "floor", "crop", 16, 64, projector="linear", patch="<im_patch>"
    )
    made = VisionFiles(
        vision=Path("vision"),
        vision_sha256="a" * 64,
        tower=Path("tower"),
        tower_sha256="1" * 64,
        parts=parts,
        family="llava-med",
        size=9,
    )
    return replace(made, **changes)


@pytest.mark.parametrize("change", [{"vision_sha256": "b" * 64}, {"tower_sha256": "2" * 64}])
def test_models_that_see_otherwise_are_not_the_same(plan: Plan, change: dict[str, str]) -> None:
    assert plan.same_file
    assert SAME_FILE in plan.warnings
    other = replace(plan, base=replace(plan.base, vision=seeing(**change)))
    assert not other.same_file
    assert SAME_FILE not in other.warnings


def test_how_a_folder_says_its_model_is_prompted_decides_which_run_it_is(plan: Plan) -> None:
    """Where the note in a folder is lost, the same files are prompted otherwise."""
    other = replace(plan, medical=replace(plan.medical, vision=seeing(family="llava-v0")))
    quants = [load_quant("full")]
    assert identity_of(plan, quants) == identity_of(replace(plan), quants)
    assert identity_of(plan, quants) != identity_of(other, quants)


def test_the_signature_names_what_pictures_are_seen_with(plan: Plan) -> None:
    results = CASES["one comparison"]
    both = PairOf(medical=model_record(plan.medical), base=model_record(replace(plan.base, vision=None)))
    medical, base = signature(results.model_copy(update={"models": both})).split("|")[2:4]
    assert medical == f"medical:demo-med@{plan.medical.quantised.sha256[:12]}+{'a' * 12}"
    assert base == f"base:demo-med@{plan.medical.quantised.sha256[:12]}"
