"""Cloze scores of the reference against transformers and sentencepiece alone, on a real tiny checkpoint."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medbench_local.errors import InputError
from medbench_local.files.hashes import prompt_sha256
from medbench_local.reference.cloze import cloze
from medbench_local.reference.rows import read_rows
from medbench_local.reference.run import run_reference
from medbench_local.reference.tokens import Tokenizer, read_tokenizer
from tests.reference.written import write_lines

QUESTIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Lily wanted to go to the", (" big park", " big tree", " big blue ball")),
    ("Lily wanted to go to the ", ("big park", "big tree", "5 trees", "house")),
    (
        "One day, a dog named Tim",
        (" was very sad", " was very happy", " was", " was very happy and ran home"),
    ),
    ("She saw a bi", ("g dog", "rd", "ke")),
    ("Once upon a ti", ("me there was a café", "ny mouse", "世界")),
    ("The answer is:\n\nAnswer: ", ("the heart", "the head", "the heart of the dog", "the heart")),
)
"""A first word that all options share, an option that begins another, and options that melt with the prompt's end."""


@pytest.fixture(scope="module")
def checkpoint(shared_data: Path) -> Path:
    return shared_data / "weights" / "stories260K"


@pytest.fixture(scope="module")
def tokenizer(checkpoint: Path) -> Tokenizer:
    return read_tokenizer(checkpoint, 512)


@pytest.fixture(scope="module")
def pieces(checkpoint: Path) -> Any:
    from sentencepiece import SentencePieceProcessor

    processor = SentencePieceProcessor()
    processor.LoadFromFile(str(checkpoint / "tokenizer.model"))
    return processor


@pytest.fixture(scope="module")
def network(checkpoint: Path) -> Any:
    import torch
    from transformers import LlamaForCausalLM

    return LlamaForCausalLM.from_pretrained(str(checkpoint), dtype=torch.float64)


def by_hand(network: Any, pieces: Any, prompt: str, options: Sequence[str]) -> tuple[list[float], list[int]]:
    """Sums and bytes by the definition: one whole text at a time, and the bytes that are not decoded before."""
    import torch

    own = pieces.EncodeAsIds(prompt)
    texts = [pieces.EncodeAsIds(prompt + option) for option in options]
    start = max(n for n in range(len(own) + 1) if all(text[:n] == own[:n] for text in texts))
    sums, sizes = [], []
    for option, text in zip(options, texts, strict=True):
        with torch.inference_mode():
            rows = network(torch.tensor([[1, *text]])).logits[0].log_softmax(-1)
        sums.append(sum(float(rows[i, text[i]]) for i in range(start, len(text))))
        sizes.append(len((prompt + option).encode()) - len(pieces.DecodeIds(text[:start]).encode()))
    return sums, sizes


@pytest.fixture(scope="module")
def finished(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """All questions twice, as cloze and as letters, mixed."""
    folder = tmp_path_factory.mktemp("cloze")
    rows: list[dict[str, Any]] = []
    for i, (prompt, options) in enumerate(QUESTIONS):
        row = {"task": "made-up", "id": str(i), "prompt": prompt, "options": options, "answer": 0}
        rows += [row | {"scoring": "cloze"}, row | {"options": ["A", "B"]}]
    prompts = write_lines(folder / "prompts.jsonl", rows)
    run_reference(checkpoint, prompts, folder / "o.jsonl", device="cpu", dtype="float32", batch_size=3)
    return lines(folder / "o.jsonl")


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize(("prompt", "options"), QUESTIONS)
def test_log_probabilities_a_byte_are_those_of_transformers(
    finished: list[dict[str, Any]], network: Any, pieces: Any, prompt: str, options: tuple[str, ...]
) -> None:
    (row,) = (row for row in finished if row["scoring"] == "cloze" and row["prompt"] == prompt)
    sums, sizes = by_hand(network, pieces, prompt, options)
    assert row["bytes"] == sizes
    expected = [total / size for total, size in zip(sums, sizes, strict=True)]
    assert row["logprobs"] == pytest.approx(expected, abs=1e-4)
    assert row["prediction"] == int(np.argmax(expected))
    assert row["mass"] == pytest.approx(sum(map(math.exp, sums)), rel=1e-3)
    assert row["prompt_sha256"] == prompt_sha256(prompt)


def test_a_first_word_that_all_options_share_is_scored_and_counted(
    finished: list[dict[str, Any]], network: Any, pieces: Any
) -> None:
    """By the chain rule: the same as the shared word's own log-probability and that of the rest after it."""
    prompt, options = QUESTIONS[0]
    row = next(row for row in finished if row["scoring"] == "cloze" and row["prompt"] == prompt)
    ((word,), (size,)) = by_hand(network, pieces, prompt, [" big"])
    rest, _ = by_hand(network, pieces, prompt + " big", [option.removeprefix(" big") for option in options])
    assert size == 4
    assert word < -0.5, "or leaving it out could not be told"
    expected = [(word + end) / len(option) for end, option in zip(rest, options, strict=True)]
    assert row["logprobs"] == pytest.approx(expected, abs=1e-4)


def test_letters_are_computed_beside_them(finished: list[dict[str, Any]], network: Any, pieces: Any) -> None:
    import torch

    letters = [row for row in finished if row["scoring"] == "constrained"]
    assert len(letters) == len(QUESTIONS)
    for row in letters:
        with torch.inference_mode():
            rows = network(torch.tensor([[1, *pieces.EncodeAsIds(row["prompt"])]])).logits[0, -1]
        expected = rows.log_softmax(-1)[[pieces.PieceToId("A"), pieces.PieceToId("B")]]
        assert row["logprobs"] == pytest.approx(expected.tolist(), abs=2e-4)
        assert "bytes" not in row


def shown(pieces: Any, tokens: Sequence[int]) -> list[str]:
    return [pieces.IdToPiece(token) for token in tokens]


def test_where_an_options_tokens_start(tokenizer: Tokenizer, pieces: Any) -> None:
    """Worked out by hand from the pieces."""
    found = cloze(tokenizer, "Answer: ", ["the heart", "the head"], special=False)
    assert shown(pieces, found.texts[0]) == ["<s>", "▁", *"Answ", "er", ":", "▁the", "▁he", "ar", "t"]
    assert found.start == 8, "the prompt's own last token, the blank, melts with the first word"
    assert found.sizes == (10, 9), "so it is scored and counted"
    found = cloze(tokenizer, "Answer:", [" the heart", " the head"], special=False)
    assert (found.start, found.sizes) == (8, (10, 9))
    found = cloze(tokenizer, "Answer: ", ["5", "55"], special=False)
    assert shown(pieces, found.texts[0])[-3:] == [":", "▁", "5"]
    assert (found.start, found.sizes) == (9, (1, 2)), "here the blank stays a token of the prompt"
    found = cloze(tokenizer, "Answer: ", ["5", "the heart"], special=False)
    assert (found.start, found.sizes) == (8, (2, 10)), "one that melts with the blank decides for all"
    found = cloze(tokenizer, "Once upon a ti", ["me", "世"], special=False)
    assert shown(pieces, found.texts[0])[found.start :] == ["▁time"]
    assert shown(pieces, found.texts[1])[found.start :] == ["▁t", "i", "<0xE4>", "<0xB8>", "<0x96>"]
    assert found.sizes == (5, 6)


def test_a_gap_stands_between_prompt_and_option(checkpoint: Path, tmp_path: Path) -> None:
    rows = [
        {"prompt": "Answer:", "gap": " ", "options": ["the heart", "no"], "scoring": "cloze", "id": "gap"},
        {"prompt": "Answer: ", "options": ["the heart", "no"], "scoring": "cloze", "id": "in the prompt"},
        {"prompt": "Answer:", "options": ["the heart", "no"], "scoring": "cloze", "id": "none"},
    ]
    run_reference(checkpoint, write_lines(tmp_path / "p.jsonl", rows), tmp_path / "o.jsonl", device="cpu")
    found = {row["id"]: row for row in lines(tmp_path / "o.jsonl")}
    assert found["gap"]["logprobs"] == pytest.approx(found["in the prompt"]["logprobs"], abs=1e-6)
    assert found["gap"]["logprobs"] != pytest.approx(found["none"]["logprobs"], abs=1e-2)
    assert found["gap"]["prompt_sha256"] == prompt_sha256("Answer:"), "as the run's samples have it"


def test_results_are_read_as_the_reference_of_a_cloze_cell(
    finished: list[dict[str, Any]], tmp_path: Path
) -> None:
    for row in read_rows(write_lines(tmp_path / "r.jsonl", finished)):
        assert row.logprobs is not None
        assert row.prediction == row.logprobs.index(max(row.logprobs))
    assert {row.scoring for row in read_rows(tmp_path / "r.jsonl")} == {"cloze", "constrained"}


def test_options_beyond_the_context_and_resumed_runs(checkpoint: Path, tmp_path: Path) -> None:
    """The context holds 512 tokens; the last one of an option is only predicted."""
    row = {"scoring": "cloze", "options": ["5", "56"]}
    rows = [row | {"id": str(n), "prompt": "5" * n} for n in (508, 509, 510, 511)]
    prompts = write_lines(tmp_path / "p.jsonl", rows)
    done = run_reference(checkpoint, prompts, tmp_path / "o.jsonl", device="cpu", dtype="float32")
    found = {row["id"]: row for row in lines(tmp_path / "o.jsonl")}
    assert {id: found[id]["tokens"] for id in found} == {"508": 510, "509": 511, "510": 512, "511": 513}
    assert {id for id in found if found[id]["overlong"]} == {"510", "511"}, "509 + 2 + 2 - 1 fit"
    assert done.overlong == 2
    assert (found["511"]["logprobs"], found["511"]["prediction"], "bytes" in found["511"]) == (
        [],
        None,
        False,
    )
    again = run_reference(checkpoint, prompts, tmp_path / "o.jsonl", device="cpu", dtype="float32")
    assert (again.computed, again.kept) == (0, 4)
    other = write_lines(tmp_path / "q.jsonl", [rows[0] | {"options": ["5", "65"]}])
    again = run_reference(checkpoint, other, tmp_path / "o.jsonl", device="cpu", dtype="float32")
    assert (again.computed, again.kept) == (1, 0), "a cloze prompt does not show its options"


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"scoring": "greedy"}, "expected constrained, cloze or thinking, found 'greedy'"),
        ({"scoring": "label"}, "key 'scoring'"),
        ({"scoring": 1}, "key 'scoring'"),
        ({"scoring": "cloze", "options": ["a", ""]}, "an option is empty"),
        ({"images": ["p.png"]}, "shows pictures"),
        ({"images": [None]}, "shows pictures"),
        ({"scoring": "cloze", "gap": 1}, "key 'gap'"),
        ({"scoring": "cloze", "options": ["a", "<s>"]}, "holds '<s>'"),
    ],
)
def test_bad_rows(checkpoint: Path, tmp_path: Path, row: dict[str, Any], problem: str) -> None:
    path = write_lines(tmp_path / "p.jsonl", [{"prompt": "x", "options": ["A", "B"]} | row])
    with pytest.raises(InputError, match=problem) as caught:
        run_reference(checkpoint, path, tmp_path / "o.jsonl", device="cpu")
    assert caught.value.where.startswith("line 1")


def test_nothing_left_to_condition_on() -> None:
    """A tokenizer without BOS whose only prompt token melts with the option."""
    ids = {"a": (1,), "ab": (2,), "ac": (1, 3)}
    bare = Tokenizer(None, False, lambda text, special: list(ids[text]), lambda token: b"x", (), ())
    with pytest.raises(ValueError, match="nothing is left to condition on"):
        cloze(bare, "a", ["b", "c"], special=False)
    swallowing = Tokenizer(None, False, lambda text, special: [1], lambda token: b"x", (), ())
    with pytest.raises(ValueError, match="adds no token"):
        cloze(swallowing, "a", ["b"], special=False)


@settings(deadline=None, max_examples=200)
@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="▁\0"), min_size=1))
def test_tokens_spell_the_bytes_of_their_text(tokenizer: Tokenizer, text: str) -> None:
    tokens = tokenizer.bare(text, False)
    assert sum(map(tokenizer.size, tokens)) == len(text.encode()) + 1, "and the blank that SentencePiece adds"


def test_the_code_that_is_checked_is_not_used() -> None:
    """Neither the engine's nor the study's: an error that both sides shared would go unseen."""
    code = (
        "import sys, medbench_local.reference.run; print(*(m for m in sys.modules if 'medbench_local.' in m))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "medbench_local.reference.cloze" in ended.stdout
    for room in ("engine", "study", "prompts", "selection", "store"):
        assert f"medbench_local.{room}" not in ended.stdout
