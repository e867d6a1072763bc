"""Headers that llama.cpp would not survive, or would compute nonsense from, are refused before it sees them."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from gguf import GGUFReader

from medbench_local.errors import InputError
from medbench_local.files.gguf_header import read_gguf_header
from medbench_local.files.gguf_sense import refuse_nonsense
from tests.corpus.command_line import refusal

INF, NAN = float("inf"), float("nan")


def changed(source: Path, target: Path, key: str, place: int, data: bytes) -> Path:
    """A copy of a GGUF file in which one part of a key's value is another; found by the gguf package."""
    field = GGUFReader(source).fields[key]
    part = field.parts[field.data[place]]
    whole = bytearray(source.read_bytes())
    old = part.tobytes()
    assert len(old) == len(data)
    # Where a part lies: behind the parts before it.
    begin = field.offset + sum(one.nbytes for one in field.parts[: field.data[place]])
    assert whole[begin : begin + len(old)] == old
    whole[begin : begin + len(data)] = data
    target.write_bytes(whole)
    return target


def float32(value: float) -> bytes:
    return struct.pack("<f", value)


EPSILON, SCORES = "llama.attention.layer_norm_rms_epsilon", "tokenizer.ggml.scores"


def wrong(models: Path, folder: Path) -> Iterator[tuple[Path, str]]:
    source = models / "f16.gguf"
    for number, (key, place, value, problem) in enumerate(
        (
            (EPSILON, 0, NAN, f"key '{EPSILON}': found nan, expected a finite number"),
            (EPSILON, 0, -1e-5, f"key '{EPSILON}': found -1e-05, expected 0 or more"),
            ("llama.rope.freq_base", 0, INF, "key 'llama.rope.freq_base': found inf"),
            (SCORES, 300, NAN, f"key '{SCORES}': the score of token 300 is nan"),
            (SCORES, 300, -INF, f"key '{SCORES}': the score of token 300 is -inf"),
        )
    ):
        yield changed(source, folder / f"{number}.gguf", key, place, float32(value)), problem
    field = GGUFReader(source).fields["tokenizer.ggml.tokens"]
    texts = [bytes(field.parts[at]) for at in field.data]
    first, second = next(
        (a, b) for a in range(300, 400) for b in range(a + 1, 512) if len(texts[a]) == len(texts[b])
    )
    twice = changed(source, folder / "twice.gguf", "tokenizer.ggml.tokens", second, texts[first])
    yield twice, rf"token {second} is .*, as token {first} is"


def test_what_llama_cpp_does_not_bear_is_refused(models: Path, tmp_path: Path) -> None:
    refuse_nonsense(read_gguf_header(models / "f16.gguf"))
    tried = list(wrong(models, tmp_path))
    assert len(tried) == 6
    for path, problem in tried:
        with pytest.raises(InputError, match=problem):
            refuse_nonsense(read_gguf_header(path))


def test_the_command_line_loads_no_such_file(models: Path, tmp_path: Path) -> None:
    request = {"id": 1, "prompt": "Which?", "options": [" A", " B"]}
    (tmp_path / "r.jsonl").write_text(json.dumps(request) + "\n", encoding="utf-8")
    for path, _ in [*wrong(models, tmp_path)][::5]:
        said = refusal("score", path, tmp_path / "r.jsonl")
        assert path.name in said
        assert "key '" in said


def test_lists_that_are_too_short_for_the_vocabulary(models: Path, tmp_path: Path) -> None:
    data = (models / "f16.gguf").read_bytes()
    name = b"tokenizer.ggml.scores"
    at = data.index(name) + len(name)
    kind, of, count = struct.unpack_from("<IIQ", data, at)
    assert (kind, of, count) == (9, 6, 512)
    whole = bytearray(data)
    struct.pack_into("<Q", whole, at + 8, 511)
    del whole[at + 16 : at + 20]
    path = tmp_path / "short.gguf"
    path.write_bytes(bytes(whole) + bytes(64))  # so that no tensor reaches beyond its end
    with pytest.raises(InputError, match="holds 511 items for 512 tokens"):
        refuse_nonsense(read_gguf_header(path))
