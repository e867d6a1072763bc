"""Pointers of Git LFS and saved web pages in place of every kind of file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medbench_local.acquire.conversion.safetensors_reader import read_safetensors
from medbench_local.acquire.conversion.sentencepiece_tokens import read_sentencepiece_tokens
from medbench_local.acquire.conversion.torch_reader import read_torch
from medbench_local.engine.importance import read_importance
from medbench_local.errors import InputError
from medbench_local.files.gguf_header import read_gguf_header
from medbench_local.files.json_objects import read_json, read_text
from medbench_local.files.readers import csv_rows, json_lines, json_mapping, parquet_rows
from medbench_local.files.rows import SourceFile

POINTER = (
    "version https://git-lfs.github.com/spec/v1\n"
    "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\n"
    "size 13476839424\n"
)
PAGE = "\n<!DOCTYPE html>\n<html class=''><head><title>model.gguf</title></head></html>\n"

READERS: dict[str, Callable[[Path], Any]] = {
    "model.safetensors": read_safetensors,
    "pytorch_model.bin": read_torch,
    "tokenizer.json": read_json,
    "tokenizer.model": lambda path: read_sentencepiece_tokens(path.parent, {}, {}),
    "chat_template.jinja": read_text,
    "model.gguf": read_gguf_header,
    "imatrix.dat": read_importance,
    "test.jsonl": lambda path: list(json_lines(SourceFile(path))),
    "test.jsonl.gz": lambda path: list(json_lines(SourceFile(path))),
    "ori_pqal.json": lambda path: list(json_mapping(SourceFile(path))),
    "test.csv": lambda path: list(csv_rows(SourceFile(path))),
    "test.parquet": lambda path: list(parquet_rows(SourceFile(path), ("question",))),
    "data.zip": lambda path: list(json_lines(SourceFile(path, "test.jsonl"))),
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize(
    ("content", "says", "advice"),
    [(POINTER, "is a pointer of Git LFS", "git lfs pull"), (PAGE, "is a web page", "hf download")],
    ids=["pointer", "page"],
)
def test_what_stands_in_for_a_file_is_named(
    tmp_path: Path, name: str, content: str, says: str, advice: str
) -> None:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=f"{name}: {says}, not the file itself") as caught:
        READERS[name](path)
    assert advice in caught.value.advice


@pytest.mark.parametrize("name", READERS)
def test_a_link_that_was_saved_as_text_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / "0123abcd").write_bytes(b"the content")
    (tmp_path / "model").mkdir()
    path = tmp_path / "model" / name
    path.write_text("../blobs/0123abcd", encoding="utf-8")
    with pytest.raises(InputError, match=f"{name}: is a link that was saved as text, to ../blobs/0123abcd"):
        READERS[name](path)
