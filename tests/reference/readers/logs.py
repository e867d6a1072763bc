"""Writes logs of inspect_ai as its version 0.3.285 lays them out, as far as they are read."""

from __future__ import annotations

import json
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow

CHOICES = ["aspirin", "heparin", "zinc", "iron"]


def sample(number: int, value: object = "C", *, epoch: int = 1, **changes: Any) -> dict[str, Any]:
    """A sample of a multiple-choice task with the scorer ``choice``; its target is A, B, C, D in turn."""
    target = "ABCD"[number % 4]
    answer = {"C": target, "N": ""}.get(str(value), "ABCD"[(number + 1) % 4])
    return {
        "id": f"q{number}",
        "epoch": epoch,
        "input": f"Question {number}?",
        "choices": CHOICES,
        "target": target,
        "messages": [{"role": "user", "content": "Answer the following ..."}],
        "scores": {"choice": {"value": value, "answer": answer, "explanation": "ANSWER", "history": []}},
        "metadata": {},
        "store": {},
        "events": [{"event": "sample_init"}],
        "attachments": {},
    } | changes


def log(samples: Sequence[Mapping[str, Any]], **changes: Any) -> dict[str, Any]:
    """A finished log; ``reductions`` is left to the caller."""
    return {
        "version": 2,
        "status": "success",
        "eval": {"task": "anatomy", "task_id": "x", "model": "mockllm/model", "config": {"epochs": 1}},
        "plan": {"name": "plan", "steps": []},
        "results": {"total_samples": len(samples)},
        "samples": [*samples],
    } | changes


def write_json(path: Path, value: object) -> Path:
    path.write_text(json.dumps(value, indent=2), encoding="utf-8")
    return path


def write_eval(path: Path, value: Mapping[str, Any], *, zstandard: bool = False) -> Path:
    """The same log as an archive; inspect_ai compresses its members by Zstandard."""
    members = {"_journal/start.json": {}} | {
        f"samples/{each['id']}_epoch_{each['epoch']}.json": each for each in value["samples"]
    }
    if value.get("reductions"):
        members["reductions.json"] = value["reductions"]
    members["header.json"] = {
        name: part for name, part in value.items() if name not in ("samples", "reductions")
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED if zstandard else zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            data = json.dumps(content).encode()
            archive.writestr(name, pyarrow.compress(data, "zstd", asbytes=True) if zstandard else data)
    if zstandard:
        declare_zstandard(path, {name: json.dumps(content).encode() for name, content in members.items()})
    return path


def declare_zstandard(path: Path, unpacked: Mapping[str, bytes], method: int = 93) -> None:
    """Rewrite the headers of an archive whose stored members are Zstandard frames, which zipfile cannot write."""
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        infos, at = archive.infolist(), archive.start_dir
    for info in infos:
        facts = struct.pack("<L", zlib.crc32(unpacked[info.filename])), len(unpacked[info.filename])
        for header, where in (
            (info.header_offset, 8),
            (at, 10),
        ):  # the method; size and checksum follow at fixed places
            struct.pack_into("<H", data, header + where, method)
            data[header + where + 6 : header + where + 10] = facts[0]
            struct.pack_into("<L", data, header + where + 14, facts[1])
        name, extra, comment = struct.unpack_from("<3H", data, at + 28)
        at += 46 + name + extra + comment
    path.write_bytes(bytes(data))
