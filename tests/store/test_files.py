"""Files that are whole or not there, and places that can be written to."""

from __future__ import annotations

from pathlib import Path

import pytest

from medbench_local.errors import StoreError
from medbench_local.store.files import need_place, write_atomic


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "new" / "report.md"
    for text in ("first\n", "Ärztin, Ελλάς\n"):
        write_atomic(target, text)
        assert target.read_bytes() == text.encode()
    assert list(target.parent.iterdir()) == [target]


def test_text_that_cannot_be_written_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "report.md"
    write_atomic(target, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomic(target, "half a pair: \ud800")
    assert target.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_that_can_be_made_is_a_place_and_is_not_made(tmp_path: Path) -> None:
    need_place(tmp_path)
    need_place(tmp_path / "runs" / "new")
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way_is_no_place(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    for folder in (tmp_path / "runs", tmp_path / "runs" / "new"):
        with pytest.raises(StoreError, match=r"cannot be written.*--output"):
            need_place(folder)
