"""One set of rules for JSON from outside: whole files, parts of files, and lines."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medbench_local.errors import InputError
from medbench_local.files.json_objects import parse_json, read_json, read_json_object
from medbench_local.files.readers import json_lines
from medbench_local.files.rows import SourceFile

Read = Callable[[Path], Any]


def _first_line(path: Path) -> Any:
    (row,) = json_lines(SourceFile(path))
    return row.fields


READERS: dict[str, Read] = {"whole": read_json, "object": read_json_object, "lines": _first_line}


@pytest.fixture(params=list(READERS))
def read(request: pytest.FixtureRequest) -> Read:
    return READERS[str(request.param)]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_byte_order_mark_and_gzip_are_read(read: Read, tmp_path: Path, packed: bool, mark: bytes) -> None:
    data = mark + '{"ß": [1, 2.5, null]}\n'.encode()
    path = tmp_path / ("a.json.gz" if packed else "a.json")
    path.write_bytes(gzip.compress(data) if packed else data)
    assert read(path) == {"ß": [1, 2.5, None]}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"{", r"line 1, column 2: not valid JSON: Expecting property name"),
        (b'{"a": {"b": 1, "b": 2}}', r"line 1: not valid JSON: the key 'b' is given twice"),
        (b'{"a": ' + b"[" * 100_000, r"line 1: not valid JSON: nested too deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}", r"line 1: not valid JSON: .*digits"),
        (b'{"\xff": 1}', r"not UTF-8 text \(byte 3"),
        (b"[1]", r"line 1: expected a JSON (object|mapping)"),
    ],
)
def test_what_is_refused_and_where(read: Read, tmp_path: Path, data: bytes, said: str) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(data)
    if read is read_json and data == b"[1]":
        assert read(path) == [1]
        return
    with pytest.raises(InputError, match=rf"a\.json.*{said}"):
        read(path)


def test_constants_are_read_where_python_programs_write_them_and_refused_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"a": math.nan}))
    assert math.isnan(read_json(path)["a"])
    with pytest.raises(InputError, match="NaN is no JSON number"):
        read_json_object(path, constants=False)
    with pytest.raises(InputError, match="line 1: not valid JSON: NaN is no JSON number"):
        list(json_lines(SourceFile(path), constants=False))


def test_a_part_of_a_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.bin, header, column 2: not valid JSON"):
        parse_json(b"{", tmp_path / "a.bin", "header")
    with pytest.raises(InputError, match=r"a\.bin, header, line 2, column 2: not valid JSON"):
        parse_json(b"{\n}}", tmp_path / "a.bin", "header")


def test_a_file_that_is_not_there(read: Read, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.json: no such file"):
        read(tmp_path / "a.json")


def test_a_file_that_is_implausibly_large_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medbench_local.files.json_objects.LARGEST", 1 << 20)
    (tmp_path / "a.json").write_bytes(b" " * (1 << 20) + b"{}")
    with pytest.raises(InputError, match=r"a\.json: larger than 1 MiB"):
        read_json(tmp_path / "a.json")
