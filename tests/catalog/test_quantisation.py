"""Quantisation configs: the built-in ones hold together, own ones are checked."""

from __future__ import annotations

from pathlib import Path

import pytest

from medbench_local.catalog.quantisation import FULL, ladder, load_quant, quant_names
from medbench_local.errors import InputError, UsageError

OWN = """
name: own
summary: mine
file_type: q4_k_m
bits_per_weight: 4.9
tensor_types: {"attn_v": q8_0}
equivalence: {questions: 100, margin: 0.03, confidence: 0.9}
next: q5_k_m
"""


def write(folder: Path, text: str, name: str = "own.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_the_built_in_configs() -> None:
    names = quant_names()
    assert {"full", "q8_0", "q6_k", "q5_k_m", "q4_k_m", "q4_0", "q3_k_m", "iq4_xs", "q2_k"} <= set(names)
    assert names[0] == FULL
    for name in names:
        config = load_quant(name)
        assert config.name == name
        assert config.file_type == ("auto" if name == FULL else name)


def test_every_ladder_ends_at_full() -> None:
    for name in quant_names():
        steps = ladder(name)
        assert (steps[0].name, steps[-1].name) == (name, FULL)
        bits = [step.bits_per_weight for step in steps]
        assert bits == sorted(set(bits))


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    config = load_quant(write(tmp_path, OWN))
    assert config.tensor_types == {"attn_v": "q8_0"}
    assert [step.name for step in ladder(tmp_path / "own.yaml")] == ["own", "q5_k_m", "q6_k", "q8_0", "full"]


def test_the_imatrix_lies_beside_its_config(tmp_path: Path) -> None:
    path = write(tmp_path, OWN + "imatrix: i.gguf\n")
    with pytest.raises(InputError, match="there is no file"):
        load_quant(path)
    (tmp_path / "i.gguf").touch()
    assert load_quant(path).imatrix == (tmp_path / "i.gguf").resolve()


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"Did you mean q4_k_m\?.*q8_0"):
        load_quant("Q4_K_M")


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("q4_k_m", "q4_k_x", "line 4, key 'file_type'"),
        ("4.9", "99", "bits_per_weight"),
        ("attn_v", "attn_(v", "regular expression"),
        ("q8_0}", "q9_0}", "tensor_types.attn_v"),
        ("margin: 0.03", "margin: 0", "equivalence.margin"),
        ("questions: 100", "questions: 1", "equivalence.questions"),
        ("next: q5_k_m", "next: q9", "not a built-in config"),
        ("next: q5_k_m", "next: q4_0", "no more bits"),
        ("name: own", "name: full", "kept for"),
        ("name: own", "name: ../own", "key 'name'"),
        ("file_type: q4_k_m", "file_type: auto", "for the config 'full' only"),
        ("summary: mine\n", "", "summary"),
        ("summary: mine", "summary: mine\nsumary: x", "line 4, key 'sumary': unknown key"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, before: str, after: str, says: str) -> None:
    assert before in OWN
    with pytest.raises(InputError, match=says):
        load_quant(write(tmp_path, OWN.replace(before, after)))
