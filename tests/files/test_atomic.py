"""Files that are whole or not there, and places that can be written to."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from medbench_local.errors import StoreError, UsageError
from medbench_local.files.atomic import appended, need_place, output_file, write_atomic


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
        with pytest.raises(StoreError, match=r"cannot be written.*`output=`"):
            need_place(folder)


def test_what_a_user_names_is_followed_and_nothing_else_is(tmp_path: Path) -> None:
    link, target = tmp_path / "link", tmp_path / "deep" / "file"
    link.symlink_to(target)
    for text in ("first", "second"):
        assert output_file(link) == target.resolve()
        write_atomic(output_file(link), text)
        assert (link.is_symlink(), target.is_symlink()) == (True, False)
        assert target.read_text() == text
    write_atomic(link, "third")
    assert (link.is_symlink(), link.read_text(), target.read_text()) == (False, "third", "second")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deep", "link"]
    assert list(target.parent.iterdir()) == [target]


def test_what_is_written_on_is_no_link(tmp_path: Path) -> None:
    link, target = tmp_path / "link", tmp_path / "target"
    target.write_text("precious")
    link.symlink_to(target)
    for text in (b"one", b"two"):
        with appended(link) as file:
            file.write(text)
    assert (link.is_symlink(), link.read_text(), target.read_text()) == (False, "onetwo", "precious")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_refused_and_stays(tmp_path: Path) -> None:
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    for path in (pipe, link):
        with pytest.raises(UsageError, match="is a device or a pipe"):
            output_file(path)
    with pytest.raises(UsageError, match="is a device or a pipe"):
        write_atomic(pipe, "text")
    with pytest.raises(OSError, match=r"pipe|No such device"), appended(pipe):
        pass
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert link.is_symlink()


def test_a_folder_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path)
    for path in (Path(), Path(".."), tmp_path, tmp_path / "link", Path(tmp_path.anchor)):
        with pytest.raises(UsageError, match="is a folder, not a file"):
            output_file(path)


@pytest.mark.parametrize("length", [245, 255, 256, 5000])
def test_a_name_that_is_too_long_is_said_to_be(tmp_path: Path, length: int) -> None:
    for folder in (tmp_path, tmp_path / "new"):
        with pytest.raises(UsageError, match="a longer name than the file system takes"):
            output_file(folder / ("n" * length))
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way_or_links_in_a_circle_are_errors_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    for path in (tmp_path / "file" / "below", tmp_path / "circle", tmp_path / "circle" / "below"):
        with pytest.raises(StoreError, match="cannot be written"):
            output_file(path)


def test_inputs_are_never_an_output(tmp_path: Path) -> None:
    asked, other, folder = tmp_path / "asked", tmp_path / "other", tmp_path / "folder"
    asked.write_text("asked")
    folder.mkdir()
    (folder / "data").symlink_to(other)
    (tmp_path / "link").symlink_to(asked)
    (tmp_path / "way").symlink_to(folder)
    inputs = [asked, folder, tmp_path / "absent"]
    for path in (asked, tmp_path / "folder" / ".." / "asked", tmp_path / "link"):
        with pytest.raises(UsageError, match="what this command reads"):
            output_file(path, inputs=inputs)
    for path in (folder / "new", folder / "a" / "b", tmp_path / "way" / "new"):
        with pytest.raises(UsageError, match=r"lies in .* which this command reads"):
            output_file(path, inputs=inputs)
    for path in (tmp_path / "absent", tmp_path / "folder2", other):
        assert output_file(path, inputs=inputs) == path.resolve()


def test_what_a_run_consists_of_is_never_an_output(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    for name in ("results.json", "scores.sqlite"):
        with pytest.raises(UsageError, match="belongs to the run"):
            output_file(tmp_path / name)
    (tmp_path / "scores.sqlite").write_text("")
    with pytest.raises(UsageError, match="belongs to the run"):
        output_file(tmp_path / "manifest.json")
    assert output_file(tmp_path / "report.html") == (tmp_path / "report.html").resolve()
    (tmp_path / "plain").mkdir()
    write_atomic(tmp_path / "plain" / "results.json", "{}")
    assert output_file(tmp_path / "plain" / "results.json"), "a file of that name alone makes no run"
