"""Pictures made for tests, and tables of them as the hub has them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from PIL import Image
from pyarrow import parquet

from tests.tasks.data import write


def picture(number: int, *, size: tuple[int, int] = (3, 2), format: str = "PNG", mode: str = "RGB") -> bytes:
    """A small picture; each number below 16 million gives another one."""
    image = Image.new("RGB", size, (number & 255, number >> 8 & 255, number >> 16 & 255)).convert(mode)
    stream = io.BytesIO()
    image.save(stream, format)
    return stream.getvalue()


def write_pictures(folder: Path, names: Sequence[str]) -> None:
    """One picture for each name, all different."""
    for number, name in enumerate(names):
        write(folder / name, picture(number))


def as_hub(data: bytes | None, path: str | None = None) -> dict[str, Any] | None:
    """A cell of a column of pictures."""
    return None if data is None else {"bytes": data, "path": path}


def table(path: Path, rows: Sequence[dict[str, Any]], *, pictures: Sequence[str] = ("image",)) -> Path:
    """A parquet file of rows, a few to a row group."""
    cells = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    columns = {
        name: pa.array([row[name] for row in rows], cells if name in pictures else None) for name in rows[0]
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.table(columns), path, row_group_size=7)
    return path
