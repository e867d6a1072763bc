"""Thinking in the reference: where traces end, what follows them, and bad rows."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medbench_local.catalog.protocol import BootstrapSettings, ReferenceSettings
from medbench_local.errors import InputError
from medbench_local.reference.requests import ToThink
from medbench_local.reference.rows import ResultRow, read_rows
from medbench_local.reference.run import run_reference
from medbench_local.reference.thinking import behind, ending_tokens, think
from medbench_local.reference.tokens import Tokenizer, Tokens
from medbench_local.reference.validate import validate
from tests.reference.written import result, write_lines
from tests.study import thinking_pair

PIECES = {1: b"<eos>", 2: b"it", 3: b" is", 4: b"</th", 5: b"ink>", 6: b"A", 7: b"(", 8: b"x</think>y"}
ASKED = ToThink(("</think>",), "\n</think>", 5, "constrained", "\n\nThe answer is (", ("A", "B"))


def _codes(text: str) -> Tokens:
    return tuple(map(ord, text))


def _tokenizer(bare: Callable[[str, bool], list[int]] | None = None) -> Tokenizer:
    """One token a character, by its code."""
    letters = _codes("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    one_each = bare or (lambda text, special: [*_codes(text)])
    return Tokenizer(None, False, one_each, lambda token: PIECES[token], (), letters, (1,))


@pytest.mark.parametrize(
    ("written", "kept", "end"),
    [
        ([2, 3, 4, 5, 6], 4, "closed"),
        ([2, 8, 6], 2, "closed"),
        ([2, 3, 1, 4], 2, "ended"),
        ([2, 3, 2, 3, 2, 3], 5, "budget"),
        ([2, 3, 2, 4, 5], 5, "closed"),
        ([2, 3, 2, 3, 4, 5], 5, "budget"),
        ([1], 0, "ended"),
    ],
)
def test_where_a_trace_ends(written: list[int], kept: int, end: str) -> None:
    told: list[int] = []

    def write(prompt: Tokens, ended: Callable[[int], bool]) -> None:
        for token in written:
            told.append(token)
            if ended(token):
                return

    found = think(write, (9,), ASKED, _tokenizer(), {1})
    assert (found.tokens, found.end) == (tuple(written[:kept]), end)
    assert found.text == b"".join(PIECES[token] for token in found.tokens).decode()
    assert len(told) == kept + (end == "ended"), "nothing is computed that is not needed"


def test_an_end_that_is_also_the_closing_mark_closes() -> None:
    asked = ToThink(("<eos>",), "", 5, "constrained", "(", ("A",))

    def write(prompt: Tokens, ended: Callable[[int], bool]) -> None:
        assert not ended(2)
        assert ended(1)

    found = think(write, (9,), asked, _tokenizer(), {1})
    assert (found.tokens, found.end) == ((2, 1), "closed")


def test_what_follows_is_tokenised_by_itself() -> None:
    found = behind(_tokenizer(), ASKED)
    assert (found.forced, found.lead) == (_codes("\n</think>"), _codes("\n\nThe answer is ("))
    assert found.endings == ((65,), (66,))
    assert found.longest == len("\n</think>") + len("\n\nThe answer is (")


def test_labels_go_on_where_they_part() -> None:
    found = behind(_tokenizer(), ToThink((), "\n", 5, "label", "So ", ("(A) x", "(B) x", "(C) x")))
    assert (found.lead, found.endings[0]) == (_codes("So ("), _codes("A) x"))
    found = behind(_tokenizer(), ToThink((), "\n", 5, "label", "", ("A", "AB")))
    assert (found.lead, found.endings) == ((), ((65,), (65, 66))), "the shortest keeps its last token"


def test_texts_that_cannot_stand_by_themselves() -> None:
    with pytest.raises(ValueError, match="melts with a letter"):
        behind(_tokenizer(lambda text, special: [len(text)]), ASKED)
    with pytest.raises(ValueError, match="'1' is no letter"):
        behind(_tokenizer(), ToThink((), "\n", 5, "constrained", "(", ("A", "1")))


def test_every_configured_end_ends(tmp_path: Path) -> None:
    config = '{"eos_token_id": 7, "text_config": {"eos_token_id": [8, 9]}}'
    (tmp_path / "config.json").write_text(config)
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": [10]}')
    assert ending_tokens(tmp_path, [1]) == {1, 7, 8, 9, 10}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return thinking_pair.write(tmp_path_factory.mktemp("thinks") / "model")


ROW: dict[str, Any] = {
    "id": "1",
    "prompt": "It says south. <think>\n",
    "special": True,
    "options": ["(A)", "(B)", "(C)", "(D)"],
    "answer": 1,
    "scoring": "thinking",
    "think": {
        "close": ["</think>"],
        "forced": "\n</think>",
        "budget": 40,
        "reading": "constrained",
        "lead": "\n\nThe answer is (",
        "endings": ["A", "B", "C", "D"],
    },
}


def _changed(**changes: Any) -> dict[str, Any]:
    return ROW | {"think": {**ROW["think"], **changes}}


def test_a_model_thinks_and_answers(checkpoint: Path, tmp_path: Path) -> None:
    rows = [
        ROW,
        _changed(reading="label", lead="\n\nThe answer is ", endings=ROW["options"]) | {"id": "2"},
        ROW | {"id": "3", "prompt": "A riddle. <think>\n"},
        ROW | {"id": "4", "scoring": "constrained", "prompt": "It says south. ("},
        _changed(budget=4090) | {"id": "5"},
    ]
    prompts, output = write_lines(tmp_path / "p.jsonl", rows), tmp_path / "o.jsonl"
    done = run_reference(checkpoint, prompts, output, device="cpu", dtype="float32")
    assert (done.computed, done.overlong) == (5, 1)
    found = {row["id"]: row for row in map(json.loads, output.read_text().splitlines())}
    assert found["1"]["thinking"] == {"tokens": 3, "end": "closed", "text": "HmmBeta</think>"}
    assert [found[id]["prediction"] for id in "12345"] == [1, 1, 0, 0, None]
    assert found["3"]["thinking"] == {"tokens": 40, "end": "budget", "text": "Hmm" * 40}
    assert found["5"]["overlong"], "a budget that does not fit behind the prompt"
    assert "thinking" not in found["4"]
    again = run_reference(checkpoint, prompts, output, device="cpu", dtype="float32")
    assert (again.computed, again.kept) == (0, 5)
    other = write_lines(tmp_path / "q.jsonl", [_changed(budget=2)])
    again = run_reference(checkpoint, other, output, device="cpu", dtype="float32")
    assert (again.computed, again.kept) == (1, 0), "another budget is another question"
    assert ("HmmBeta</think>", "closed") in {row.thought for row in read_rows(output)}


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (ROW | {"think": None}, "how the model thinks"),
        (_changed(budget=0), "expected 1 to 65536, found 0"),
        (_changed(close=[""]), "an empty text ends nothing"),
        (_changed(close="</think>"), "expected a list of texts"),
        (_changed(reading="cloze"), "expected constrained or label, found 'cloze'"),
        (_changed(endings=["A"]), "expected 4 texts"),
        (_changed(endings=["A", "B", "C", "1"]), "'1' is no letter"),
    ],
)
def test_bad_rows(checkpoint: Path, tmp_path: Path, row: dict[str, Any], problem: str) -> None:
    path = write_lines(tmp_path / "p.jsonl", [row])
    with pytest.raises(InputError, match=problem) as caught:
        run_reference(checkpoint, path, tmp_path / "o.jsonl", device="cpu")
    assert caught.value.where.startswith("line 1")


def _rows(thoughts: list[str], **more: Any) -> list[ResultRow]:
    asked = {"task": "t", "shots": 0, "scoring": "thinking", "model": "m", "answer": 0, "prediction": 0}
    return [
        result(
            **(asked | more), id=f"{i}", prompt_sha256=f"{i}", logprobs=(-0.5, -9.0), thought=(text, "closed")
        )
        for i, text in enumerate(thoughts)
    ]


def test_log_probabilities_are_compared_where_the_same_was_thought() -> None:
    """Elsewhere they stand behind other texts; predictions are compared all the same."""
    samples = [
        row for who in ("both", "medical") for row in _rows(["a", "b", "c"], role="medical", thinkers=who)
    ]
    reference = _rows(["a", "b", "other"])
    reference[2] = result(**(vars(reference[2]) | {"logprobs": (-3.0, -9.0)}))
    found = validate(samples, reference, thresholds=ReferenceSettings(), bootstrap=BootstrapSettings())
    assert (found.outcome, len(found.matches.matches)) == ("agrees", 6), "one row is of both comparisons"
    assert found.logprobs is not None
    assert (found.logprobs.questions, found.logprobs.largest) == (4, 0.0)
    assert found.agreement is not None
    assert found.agreement.n == 6
    assert any("4 have the same thinking" in sentence for sentence in found.statements)
    assert {str(cell.cell) for cell in found.cells} == {
        "m t, 0-shot, thinking, where both think",
        "m t, 0-shot, thinking, where the medical model thinks",
    }


def test_the_code_that_is_checked_is_not_used() -> None:
    code = (
        "import sys, medbench_local.reference.thinking; "
        "print(*(m for m in sys.modules if 'medbench_local.' in m))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "medbench_local.reference.tokens" in ended.stdout
    for room in ("engine", "study", "scoring", "prompts", "selection", "store"):
        assert f"medbench_local.{room}" not in ended.stdout
