"""Parquet files as Arrow reads them, with repeated values held once; and ends that Arrow does not survive."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from medbench_local.errors import InputError
from medbench_local.files.parquet_footer import longest_value, read_footer
from medbench_local.files.readers import parquet_rows
from medbench_local.files.rows import SourceFile

TEXTS = ["aspirin", "", None, "ä" * 300, "heparin", "aspirin"] * 20
TABLE = pa.table(
    {
        "text": TEXTS,
        "number": [*range(len(TEXTS))],
        "options": [None if n % 7 == 0 else ["yes", None, f"no {n % 5}"][: n % 4] for n in range(len(TEXTS))],
        "context": [
            None if n % 9 == 0 else {"texts": ["a", "b" * (n % 3)], "n": n} for n in range(len(TEXTS))
        ],
        "picture": [{"bytes": bytes([n % 5]) * 40, "path": None} for n in range(len(TEXTS))],
        "sizes": pa.array([[n] * (n % 3) for n in range(len(TEXTS))], pa.large_list(pa.int64())),
    }
)


@pytest.mark.parametrize(
    "how",
    [
        {}, {"row_group_size": 17}, {"use_dictionary": False}, {"dictionary_pagesize_limit": 64},
        {"compression": "zstd"}, {"compression": "gzip"}, {"compression": "brotli"}, {"compression": "lz4"},
        {"compression": "none"}, {"data_page_version": "2.0"}, {"version": "1.0"},
        {"use_dictionary": False, "column_encoding": {"text": "DELTA_BYTE_ARRAY", "number": "DELTA_BINARY_PACKED"}},
    ],
)  # fmt: skip
@pytest.mark.parametrize("batch", [7, 4096])
def test_rows_are_those_that_arrow_reads(tmp_path: Path, how: dict[str, Any], batch: int) -> None:
    path = tmp_path / "t.parquet"
    parquet.write_table(TABLE, path, **how)
    found = [row.fields for row in parquet_rows(SourceFile(path), TABLE.column_names, batch=batch)]
    assert found == TABLE.to_pylist()


@pytest.mark.parametrize("codec", ["none", "snappy", "gzip", "brotli", "zstd", "lz4"])
def test_the_longest_text_of_a_dictionary(tmp_path: Path, codec: str) -> None:
    parquet.write_table(TABLE, tmp_path / "t.parquet", compression=codec)
    footer = read_footer(tmp_path / "t.parquet")
    assert footer.rows == len(TEXTS)
    (group,) = footer.groups
    longest = {
        chunk.path: longest_value(tmp_path / "t.parquet", chunk, 1 << 20)
        for chunk in group
        if chunk.kind == 6
    }
    assert longest == {
        "text": 600, "options.list.element": 4, "context.texts.list.element": 2, "picture.bytes": 40,
    }  # fmt: skip
    theirs = parquet.read_metadata(tmp_path / "t.parquet").row_group(0)
    for place, chunk in enumerate(group):
        other = theirs.column(place)
        assert (chunk.path, chunk.count) == (other.path_in_schema, other.num_values)
        assert chunk.unpacked == other.total_uncompressed_size
        assert chunk.dictionary == other.dictionary_page_offset


def test_equal_texts_are_held_once(tmp_path: Path) -> None:
    text = "long " * 1000
    parquet.write_table(pa.table({"text": [text] * 100}), tmp_path / "t.parquet")
    rows = [row.fields["text"] for row in parquet_rows(SourceFile(tmp_path / "t.parquet"), ["text"])]
    assert rows == [text] * 100
    assert len({id(one) for one in rows}) == 1


_READ_ALL = """
import sys
from pathlib import Path
from medbench_local.errors import InputError
from medbench_local.files.readers import parquet_rows
from medbench_local.files.rows import SourceFile
path = Path(sys.argv[1])
data = path.read_bytes()
length = int.from_bytes(data[-8:-4], "little")
for at in range(len(data) - 8 - length, len(data) - 8):
    for bit in range(0, 8, 2):
        changed = bytearray(data)
        changed[at] ^= 1 << bit
        path.write_bytes(changed)
        try:
            list(parquet_rows(SourceFile(path), ["options"]))
        except InputError:
            pass
print("all")
"""


def test_a_damaged_end_ends_no_process(tmp_path: Path) -> None:
    """In a process of its own: asked for its metadata, Arrow ends it on a dozen of these bits."""
    parquet.write_table(pa.table({"options": [["yes", "no"]] * 3}), tmp_path / "x.parquet")
    ended = subprocess.run(
        [sys.executable, "-c", _READ_ALL, str(tmp_path / "x.parquet")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (0, "all\n"), ended.stderr[-2000:]


def test_no_parquet_file_at_all(tmp_path: Path) -> None:
    for data in (
        b"",
        b"PAR1",
        b"PAR1" * 2,
        b"x" * 100,
        b"PAR1" + b"\x99" * 40 + (40).to_bytes(4, "little") + b"PAR1",
    ):
        (tmp_path / "x.parquet").write_bytes(data)
        with pytest.raises(InputError, match="not a readable parquet file"):
            list(parquet_rows(SourceFile(tmp_path / "x.parquet"), ["text"]))
