"""Malformed protocol, prompt and quantisation files, and a damaged catalog, through the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from medbench_local.catalog import model
from tests.corpus.command_line import files_below, refusal, run

PROTOCOL = "name: mine\nsummary: My own.\n"
QUANT = """name: mine
summary: My own.
file_type: q4_k_m
bits_per_weight: 4.8
equivalence: {questions: 200, margin: 0.02, confidence: 0.9}
"""

# What the file holds, then what the line must say beside the file's name.
NO_YAML: dict[str, tuple[bytes, tuple[str, ...]]] = {
    "empty": (b"", ("line 1", "a mapping of keys to values")),
    "only a comment": (b"# nothing\n", ("line 1", "a mapping")),
    "a list": (b"- a\n- b\n", ("line 1", "a mapping")),
    "a text": (b"hello\n", ("line 1", "a mapping")),
    "a number": (b"7\n", ("line 1", "a mapping")),
    "open bracket": (b"name: [a, b\nsummary: x\n", ("line 2", "not valid YAML")),
    "open quote": (b'name: "abc\n', ("line", "not valid YAML")),
    "bad indentation": (b"name: x\n  summary: y\n z: 1\n", ("line 2", "not valid YAML")),
    "tab": (b"selection:\n\tmethod: none\n", ("line 2", "not valid YAML")),
    "two documents": (b"name: a\n---\nname: b\n", ("line 2", "not valid YAML")),
    "alias of nothing": (b"name: *nothing\n", ("line 1", "not valid YAML")),
    "anchor in itself": (b"name: &a [*a]\nsummary: x\n", ("line 1", "key 'name'")),
    "runs Python": (b"name: !!python/object/apply:os.system [exit]\n", ("line 1", "not valid YAML")),
    "names a class": (b"name: !!python/name:os.system\n", ("line 1", "not valid YAML")),
    "unknown tag": (b"name: !thing x\n", ("line 1", "not valid YAML")),
    "not UTF-8": (b"name: \xff\xfe\n", ("byte 6", "not UTF-8")),
    "NUL": (b"name: a\0b\n", ("not valid YAML",)),
    "control characters": (b"name: \x1b[31m\n", ("not valid YAML",)),
    "a key twice": (b"name: a\nname: b\n", ("line 2, key 'name'", "already given on line 1")),
    "a key that is a list": (b"[a, b]: 1\n", ("not valid YAML",)),
    "a hundred thousand lists": (b"name: " + b"[" * 100_000, ("not valid YAML",)),
    "a date that is none": (b"name: 2024-13-45\n", ("not valid YAML",)),
}

PROTOCOLS: dict[str, tuple[str, tuple[str, ...]]] = {
    "unknown key": (PROTOCOL + "shot: [3]\n", ("line 3, key 'shot'", "unknown key; known are name")),
    "unknown key inside": (PROTOCOL + "selection:\n  methods: none\n", ("line 4", "methods", "unknown key")),
    "no name": ("summary: x\n", ("key 'name'", "required")),
    "no summary": ("name: x\n", ("key 'summary'", "required")),
    "name in capitals": ("name: Mine\nsummary: x\n", ("line 1, key 'name'", "Mine")),
    "name that climbs": ("name: ../x\nsummary: x\n", ("line 1, key 'name'", "../x")),
    "name a number": ("name: 3\nsummary: x\n", ("line 1, key 'name'", "text", "3")),
    "name endless": (f"name: {'x' * 70}\nsummary: x\n", ("line 1, key 'name'", "64")),
    "summary blank": ("name: x\nsummary: ' '\n", ("line 2, key 'summary'", "empty")),
    "shots a number": (PROTOCOL + "shots: 3\n", ("line 3, key 'shots'", "a list", "3")),
    "shots a text": (PROTOCOL + "shots: '0,3'\n", ("line 3, key 'shots'", "a list")),
    "shots empty": (PROTOCOL + "shots: []\n", ("line 3, key 'shots'", "at least 1")),
    "shots negative": (
        PROTOCOL + "shots: [0, -1]\n",
        ("line 3, key 'shots.1'", "greater than or equal to 0"),
    ),
    "shots a fraction": (PROTOCOL + "shots: [1.5]\n", ("line 3, key 'shots.0'", "a whole number")),
    "shots true": (PROTOCOL + "shots: [true]\n", ("line 3, key 'shots.0'", "a whole number")),
    "shots many": (PROTOCOL + "shots: [65]\n", ("line 3, key 'shots.0'", "less than or equal to 64")),
    "shots twice": (PROTOCOL + "shots: [3, 3]\n", ("line 3, key 'shots'", "twice")),
    "scoring": (PROTOCOL + "scoring: best\n", ("line 3, key 'scoring'", "'constrained'", "best")),
    "selection a text": (
        PROTOCOL + "selection: racing\n",
        ("line 3, key 'selection'", "a mapping", "racing"),
    ),
    "selection a list": (PROTOCOL + "selection: [racing]\n", ("line 3, key 'selection'", "a mapping")),
    "selection null": (PROTOCOL + "selection:\n", ("line 3, key 'selection'", "a mapping")),
    "method": (PROTOCOL + "selection: {method: random}\n", ("key 'selection.method'", "'exhaustive'")),
    "formats negative": (PROTOCOL + "selection: {formats: [-1]}\n", ("key 'selection.formats.0'",)),
    "formats huge": (PROTOCOL + "selection: {formats: [4294967296]}\n", ("key 'selection.formats.0'",)),
    "formats a mapping": (PROTOCOL + "selection: {formats: {a: 1}}\n", ("key 'selection.formats'", "a list")),
    "no demonstration sets": (
        PROTOCOL + "selection: {demonstration_seeds: []}\n",
        ("key 'selection.demonstration_seeds'", "at least 1"),
    ),
    "error rate 1": (
        PROTOCOL + "selection: {error_rate: 1.0}\n",
        ("key 'selection.error_rate'", "less than 1"),
    ),
    "error rate not a number": (
        PROTOCOL + "selection: {error_rate: .nan}\n",
        ("key 'selection.error_rate'",),
    ),
    "fraction 0": (PROTOCOL + "selection: {max_fraction: 0.0}\n", ("key 'selection.max_fraction'",)),
    "prompts 0": (PROTOCOL + "selection: {max_prompts: 0}\n", ("key 'selection.max_prompts'",)),
    "validation questions 0": (
        PROTOCOL + "selection:\n  validation_questions: 0\n",
        ("line 4, key 'selection.validation_questions'", "greater than or equal to 1"),
    ),
    "confidence in percent": (PROTOCOL + "bootstrap: {confidence: 95.0}\n", ("key 'bootstrap.confidence'",)),
    "seed negative": (PROTOCOL + "selection: {seed: -1}\n", ("key 'selection.seed'",)),
    "ablation a text": (PROTOCOL + "ablation: maybe\n", ("line 3, key 'ablation'", "true or false")),
    "context 0": (PROTOCOL + "context: 0\n", ("line 3, key 'context'",)),
    "overlong": (PROTOCOL + "overlong: cut\n", ("line 3, key 'overlong'", "'drop-demonstrations'")),
    "chat_bos": (PROTOCOL + "chat_bos: 2\n", ("line 3, key 'chat_bos'", "'once'")),
    "letters": (PROTOCOL + "letters: all\n", ("line 3, key 'letters'", "'first'")),
    "greedy tokens": (PROTOCOL + "greedy: {max_tokens: 5000}\n", ("key 'greedy.max_tokens'", "4096")),
    "check questions": (PROTOCOL + "check: {questions: some}\n", ("key 'check.questions",)),
    "check margin": (PROTOCOL + "check: {margin: 2.0}\n", ("key 'check.margin'",)),
    "tolerance": (
        PROTOCOL + "reference: {prediction_tolerance: -0.1}\n",
        ("key 'reference.prediction_tolerance'",),
    ),
    "tolerance by its old name": (PROTOCOL + "reference: {near_tie: -0.1}\n", ("key 'reference.near_tie'",)),
    "same verdicts": (PROTOCOL + "reference: {same_verdicts: 1}\n", ("key 'reference.same_verdicts'",)),
    # prompts
    "prompts a text": (PROTOCOL + "prompts: Be good.\n", ("line 3, key 'prompts'", "a mapping")),
    "prompts a list": (PROTOCOL + "prompts: [a]\n", ("line 3, key 'prompts'", "a mapping")),
    "prompts without task": (PROTOCOL + "prompts: {all: Be good.}\n", ("key 'prompts.all'", "a mapping")),
    "prompt half a character": (
        PROTOCOL + 'prompts: {all: {all: "\\ud800"}}\n',
        ("line 3, key 'prompts.all.all'", "surrogate"),
    ),
    "prompt a number": (PROTOCOL + "prompts: {all: {all: 7}}\n", ("key 'prompts.all.all'", "text", "7")),
    "prompt blank": (PROTOCOL + "prompts:\n  all:\n    all: ''\n", ("line 5", "'prompts.all.all'", "empty")),
    "model a number": (PROTOCOL + "prompts: {3: {all: x}}\n", ("line 3", "prompts.3", "text")),
}

QUANTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "no file type": (QUANT.replace("file_type: q4_k_m\n", ""), ("key 'file_type'", "required")),
    "no rule": (QUANT.split("equivalence")[0], ("key 'equivalence'", "required")),
    "file type": (QUANT.replace("q4_k_m", "q4_k_x"), ("line 3, key 'file_type'", "'q4_k_m'")),
    "bits 0": (QUANT.replace("4.8", "0"), ("line 4, key 'bits_per_weight'", "greater than 1")),
    "bits a text": (QUANT.replace("4.8", "few"), ("line 4, key 'bits_per_weight'", "a number")),
    "bits many": (QUANT.replace("4.8", "33"), ("line 4, key 'bits_per_weight'", "32")),
    "questions few": (QUANT.replace("200", "3"), ("line 5, key 'equivalence.questions'", "20")),
    "margin half": (QUANT.replace("0.02", "0.5"), ("line 5, key 'equivalence.margin'", "0.5")),
    "confidence": (QUANT.replace("0.9}", "0.3}"), ("line 5, key 'equivalence.confidence'", "0.5")),
    "tensor types a list": (QUANT + "tensor_types: [x]\n", ("line 6, key 'tensor_types'", "a mapping")),
    "tensor type": (QUANT + "tensor_types: {output: q9}\n", ("line 6, key 'tensor_types.output'", "'q8_0'")),
    "tensor expression": (QUANT + "tensor_types: {'(': f16}\n", ("key 'tensor_types'", "regular expression")),
    "tensor name": (QUANT + "tensor_types: {'é': f16}\n", ("key 'tensor_types'", "no tensor name")),
    "cache": (QUANT + "kv_cache: q8_0\n", ("line 6, key 'kv_cache'", "'f32'")),
    "next unknown": (QUANT + "next: q99\n", ("key 'next'", "not a built-in config")),
    "next lower": (QUANT + "next: q2_k\n", ("key 'next'", "no more bits")),
    "imatrix absent": (QUANT + "imatrix: nowhere.gguf\n", ("key 'imatrix'", "there is no file")),
    "auto": (QUANT.replace("q4_k_m", "auto"), ("file_type 'auto'",)),
    "the name full": (QUANT.replace("name: mine", "name: full"), ("full", "kept")),
    "unknown key": (QUANT + "bits: 4\n", ("line 6, key 'bits'", "unknown key")),
}


@pytest.mark.parametrize(("content", "says"), NO_YAML.values(), ids=NO_YAML)
@pytest.mark.parametrize("kind", ["protocol", "quant"])
def test_a_file_that_is_no_mapping(tmp_path: Path, kind: str, content: bytes, says: tuple[str, ...]) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    words = {"protocol": _protocol(path), "quant": ("quants", "show", path)}[kind]
    _refused(path, words, says)


@pytest.mark.parametrize(("content", "says"), PROTOCOLS.values(), ids=PROTOCOLS)
def test_protocols(tmp_path: Path, content: str, says: tuple[str, ...]) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(content, encoding="utf-8")
    _refused(path, _protocol(path), says)


@pytest.mark.parametrize(("content", "says"), QUANTS.values(), ids=QUANTS)
def test_quantisation_configs(tmp_path: Path, content: str, says: tuple[str, ...]) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(content, encoding="utf-8")
    _refused(path, ("compare", "demo-med", "demo-base", "--dry-run", "--quant", path), says)


def test_the_texts_that_the_cases_damage_are_sound(tmp_path: Path) -> None:
    (tmp_path / "protocol.yaml").write_text(PROTOCOL, encoding="utf-8")
    (tmp_path / "quant.yaml").write_text(QUANT, encoding="utf-8")
    assert run(*_protocol(tmp_path / "protocol.yaml")).code == 0
    assert run("quants", "show", tmp_path / "quant.yaml").code == 0


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("models: 3\n", ("line 1, key 'models'",)),
        ("models: [\n", ("not valid YAML",)),
        ("modles: {}\n", ("unknown key",)),
    ],
)
def test_a_damaged_catalog(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, says: tuple[str, ...]
) -> None:
    path = tmp_path / "models.yaml"
    path.write_text(content, encoding="utf-8")
    monkeypatch.setattr(model, "DATA", tmp_path)
    model._read.cache_clear()
    try:
        _refused(path, ("models", "list"), says)
    finally:
        model._read.cache_clear()


def _protocol(path: Path) -> tuple[str | Path, ...]:
    return "prompts", "show", "--model", "demo-med", "--task", "demo-anatomy", "--protocol", path


def _refused(path: Path, words: tuple[str | Path, ...], says: tuple[str, ...]) -> None:
    before = files_below(path.parent)
    line = refusal(*words)
    for part in (path.name, *says):
        assert part in line, line
    assert files_below(path.parent) == before
