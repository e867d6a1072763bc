"""Archives from outside: what is read equals what was packed, and what could do harm is refused."""

from __future__ import annotations

import tracemalloc
import zipfile
from pathlib import Path

import pyarrow
import pytest

from medbench_local.errors import InputError
from medbench_local.files import zip_members
from medbench_local.files.zip_members import open_archive
from tests.reference.readers.logs import declare_zstandard

TEXT = b"some text, again and again; " * 400


def packed(path: Path, method: int = zipfile.ZIP_DEFLATED, name: str = "a.json") -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr(name, TEXT)
    return path


def zstandard(path: Path, *frames: bytes, method: int = 93) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(
            "a.json", b"".join(pyarrow.compress(frame, "zstd", asbytes=True) for frame in frames)
        )
    declare_zstandard(path, {"a.json": TEXT}, method)
    return path


def read(path: Path, name: str = "a.json") -> bytes:
    with open_archive(path) as archive:
        return archive.read(name)


def test_stored_deflated_and_zstandard(tmp_path: Path) -> None:
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        assert read(packed(tmp_path / "a.zip", method)) == TEXT
    assert read(zstandard(tmp_path / "b.zip", TEXT)) == TEXT
    assert (
        read(zstandard(tmp_path / "c.zip", TEXT[:5000], TEXT[5000:])) == TEXT
    )  # writers split large members


def test_other_compressions_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="compressed by method 14"):
        read(packed(tmp_path / "a.zip", zipfile.ZIP_LZMA))


def test_damage_is_noticed(tmp_path: Path) -> None:
    path = zstandard(tmp_path / "a.zip", TEXT)
    data = path.read_bytes()
    at = data.index(b"a.json") + 6
    for change in (
        data[:at] + bytes(len(data[at : at + 8])) + data[at + 8 :],
        data.replace(TEXT[:8], b"another!", 1),
    ):
        path.write_bytes(change)
        with pytest.raises(InputError, match=r"a\.zip"):
            read(path)
    with pytest.raises(InputError, match="its size or checksum"):
        read(zstandard(tmp_path / "b.zip", TEXT + b"more than the archive says"))
    with pytest.raises(InputError, match="its size or checksum"):
        read(zstandard(tmp_path / "c.zip", TEXT[:-1] + b"?"))
    path.write_bytes(b"no archive")
    with pytest.raises(InputError, match="not a whole zip archive"):
        read(path)


@pytest.mark.parametrize("name", ["../a.json", "/a.json", "b/../../a.json", "..\\a.json", "C:\\a.json"])
def test_names_that_lead_outside(tmp_path: Path, name: str) -> None:
    with (
        pytest.raises(InputError, match="leads out of the archive"),
        open_archive(packed(tmp_path / "a", name=name)),
    ):
        pass


def test_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = packed(tmp_path / "a.zip")
    for name, value, problem in (
        ("LARGEST_MEMBER", 1000, "larger than"),
        ("LARGEST_TOTAL", 1000, "hold more than"),
        ("MOST_MEMBERS", 0, "1 members"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(zip_members, name, value)
            with pytest.raises(InputError, match=problem):
                read(path)


def test_a_member_that_is_larger_than_it_says_is_not_unpacked_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.json", bytes(64 << 20))
    data = bytearray(path.read_bytes())
    directory = data.rindex(b"PK\1\2")
    data[directory + 24 : directory + 28] = (100).to_bytes(4, "little")
    path.write_bytes(data)
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="not a whole zip archive"):
            read(path)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 8 << 20
