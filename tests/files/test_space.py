"""Room is counted by disk."""

from __future__ import annotations

from collections import namedtuple
from pathlib import Path

import pytest

from medbench_local.errors import AcquireError
from medbench_local.files.space import DiskNeed, check_room
from medbench_local.paths import existing

USAGE = namedtuple("USAGE", "total used free")


def test_needs_on_one_disk_add_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: USAGE(100, 0, 10 * 10**9))
    one, other = (
        DiskNeed(tmp_path / "a" / "b", 6 * 10**9, "the download"),
        DiskNeed(tmp_path, 4 * 10**9, "the GGUF"),
    )
    check_room([one, other])
    with pytest.raises(
        AcquireError, match=r"10\.50 GB needed \(6\.00 GB for the download \+ 4\.00 GB .* 0\.50"
    ):
        check_room([one, other, DiskNeed(tmp_path, 5 * 10**8, "the rest")])


def test_needs_of_nothing_are_met_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: USAGE(100, 100, 0))
    check_room([DiskNeed(tmp_path, 0, "nothing"), DiskNeed(tmp_path, -5, "less")])


def test_the_nearest_folder_that_exists(tmp_path: Path) -> None:
    assert existing(tmp_path / "x" / "y") == tmp_path
    assert existing(tmp_path) == tmp_path
