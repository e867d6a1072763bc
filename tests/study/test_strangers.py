"""Which other stores a comparison on a cluster looks in."""

from __future__ import annotations

import os
from pathlib import Path

from medbench_local.study.crew_models import Turns


def test_a_store_of_a_comparison_that_shares_no_model_is_not_looked_in(tmp_path: Path) -> None:
    own, sister, stranger, earlier = (tmp_path / name / "scores.sqlite" for name in "abcd")
    turns = Turns()
    turns.begin(own, ["medical", "base"])
    turns.begin(sister, ["other medical", "base"])
    turns.begin(stranger, ["third medical", "third base"])
    # What is not under way may hold anything.
    assert turns.without_strangers(own, [sister, stranger, earlier]) == [sister, earlier]


def test_at_a_further_precision_its_models_count_too(tmp_path: Path) -> None:
    own, other = tmp_path / "a", tmp_path / "b"
    turns = Turns()
    turns.begin(own, ["base at 4 bits"])
    turns.begin(other, ["base at 8 bits"])
    assert turns.without_strangers(own, [other]) == []
    turns.begin(own, ["base at 8 bits"])
    assert turns.without_strangers(own, [other]) == [other]


def test_a_store_is_the_same_however_it_is_named(tmp_path: Path) -> None:
    turns = Turns()
    turns.begin(tmp_path / "a", ["x"])
    turns.begin(Path(os.path.relpath(tmp_path / "b")), ["y"])
    assert turns.without_strangers(Path(os.path.relpath(tmp_path / "a")), [tmp_path / "b"]) == []
