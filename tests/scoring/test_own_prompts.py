"""Prompts of a user's own: the file's form, the scores, and going on after an interruption."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medbench_local.engine.base import Engine, EngineOptions, Pack, ScoreRequest
from medbench_local.engine.fake import FakeEngine
from medbench_local.engine.llama import LlamaEngine
from medbench_local.engine.several import Helped
from medbench_local.errors import EngineError, InputError, MedbenchError
from medbench_local.progress import Silent
from medbench_local.scoring.own_prompts import PartialResults, UserRequest, digest, read_requests, score_on
from medbench_local.scoring.rules.label import label_requests
from tests.engine.tiny import write_random_llama
from tests.scoring.tokenizing import tokenizer

ASKED = [
    UserRequest(
        f"r{i}", "A long beginning that all share. " + "word " * (i % 50) + "Answer:", (" yes", " no sir")
    )
    for i in range(300)
]


def _write(path: Path, *lines: object) -> Path:
    path.write_text("".join((x if isinstance(x, str) else json.dumps(x)) + "\n" for x in lines))
    return path


def test_requests_are_read_in_order_and_blank_lines_skipped(tmp_path: Path) -> None:
    path = _write(
        tmp_path / "r.jsonl",
        {"id": "a", "prompt": "P ", "options": ["x", "y"]},
        "",
        {"id": 7, "prompt": "é\u2028", "options": ["z"]},
    )
    assert read_requests(path) == [UserRequest("a", "P ", ("x", "y")), UserRequest(7, "é\u2028", ("z",))]


GOOD = {"id": "a", "prompt": "P", "options": ["x"]}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "line 2, column 2: not valid JSON"),
        ("[]", "line 2: expected a JSON mapping"),
        ({"id": "b", "prompt": "P"}, "line 2, key 'options': this key is required"),
        (GOOD | {"id": "b", "extra": 1}, "line 2, key 'extra': unknown key"),
        (GOOD | {"id": 1.5}, "line 2, key 'id'"),
        (GOOD | {"id": True}, "line 2, key 'id'"),
        (GOOD | {"id": "b", "prompt": ""}, "line 2, key 'prompt'"),
        (GOOD | {"id": "b", "options": []}, "line 2, key 'options'"),
        (GOOD | {"id": "b", "options": ["x", ""]}, "line 2, key 'options'"),
        (GOOD | {"id": "b", "options": ["x"] * 1001}, "at most 1000 options"),
        ('{"id": "b", "prompt": "\\ud800", "options": ["x"]}', "half a surrogate"),
        ('{"id": "\\ud800", "prompt": "P", "options": ["x"]}', "line 2, key 'id': holds half a surrogate"),
        ('{"id": "b", "prompt": NaN, "options": ["x"]}', "NaN is no JSON number"),
        (GOOD, "line 2, key 'id': already used on line 1"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: object, said: str) -> None:
    with pytest.raises(InputError) as caught:
        read_requests(_write(tmp_path / "r.jsonl", GOOD, line))
    assert said in str(caught.value)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no requests"):
        read_requests(_write(tmp_path / "r.jsonl", ""))


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("any") / "r.jsonl"
    path.write_bytes(content)
    try:
        read_requests(path)
    except MedbenchError as error:
        assert str(path) in str(error)  # noqa: PT017


def _score(engine: Engine, requests: list[UserRequest], **more: object) -> list[dict[str, object]]:
    packs = score_on(engine, requests, special=False, label="", progress=Silent(), **more)  # type: ignore[arg-type]
    return [row for pack in packs for row in pack]


def test_scores_are_the_joint_logprobs_of_what_options_add() -> None:
    rows = _score(FakeEngine(), ASKED[:3])
    engine = FakeEngine()
    for asked, row in zip(ASKED, rows, strict=False):
        yes, no = engine.tokenize([asked.prompt + option for option in asked.options], special=False)
        shared = len(engine.tokenize([asked.prompt + " "], special=False)[0])
        (expected,) = engine.score(Pack((), (ScoreRequest(yes[:shared], (yes[shared:], no[shared:])),)))
        assert row["logprobs"] == list(expected.logprobs)
        assert row["mass"] == expected.mass
        assert row["tokens"] == len(engine.tokenize([asked.prompt], special=False)[0])


def test_one_option_alone_is_scored_as_a_whole(tmp_path: Path) -> None:
    """Not its last token only: with another option beside it, it must get the same score."""
    with LlamaEngine(write_random_llama(tmp_path / "m.gguf"), EngineOptions(n_ctx=256, threads=1)) as engine:
        alone = UserRequest(1, "Answer:", (" ba de fo",))
        both = UserRequest(2, "Answer:", (" ba de fo", "X"))
        rows = [
            r for p in score_on(engine, [alone, both], special=False, label="", progress=Silent()) for r in p
        ]
    assert rows[0]["logprobs"][0] == pytest.approx(rows[1]["logprobs"][0], abs=1e-4)


def _attempt(path: Path, engine: FakeEngine, key: str = "k") -> int:
    """Score into ``path`` like the command; returns the prompts that were computed."""
    results = PartialResults(path, key, ASKED)
    for rows in score_on(engine, ASKED, special=False, label="", progress=Silent(), known=results.known):
        results.append(rows)
    results.finish()
    return engine.prompts


def test_an_interrupted_file_goes_on_and_ends_with_the_same_bytes(tmp_path: Path) -> None:
    whole = tmp_path / "whole.jsonl"
    assert _attempt(whole, FakeEngine()) == 300
    path = tmp_path / "out.jsonl"
    with pytest.raises(MedbenchError):
        _attempt(path, FakeEngine(die_after=2))
    part = tmp_path / "out.jsonl.part"
    assert not path.exists()
    kept = len(part.read_text().splitlines()) - 1
    assert 0 < kept < 300
    with part.open("a") as file:
        file.write('{"id": "r9')  # killed while writing
    with pytest.raises(MedbenchError):
        _attempt(path, FakeEngine(die_after=1))
    assert len(part.read_text().splitlines()) - 1 > kept, "the second attempt's work is kept, too"
    assert all(json.loads(line) for line in part.read_text().splitlines())
    assert 0 < _attempt(path, FakeEngine()) < 300 - kept
    assert path.read_bytes() == whole.read_bytes()
    assert not part.exists()


def test_a_part_of_other_requests_or_another_model_is_not_continued(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    with pytest.raises(MedbenchError):
        _attempt(path, FakeEngine(die_after=2))
    assert _attempt(path, FakeEngine(model="other"), key="other") == 300
    expected = tmp_path / "expected.jsonl"
    _attempt(expected, FakeEngine(model="other"))
    assert path.read_bytes() == expected.read_bytes()


def test_a_part_that_is_no_part_is_computed_again(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    (tmp_path / "out.jsonl.part").write_text('{"key": "k"}\nnot json\n')
    assert _attempt(path, FakeEngine()) == 300


def test_an_overlong_request_is_named_before_anything_is_scored(tmp_path: Path) -> None:
    rows = [{"id": f"r{i}", "prompt": "word " * 40, "options": ["yes", "no"]} for i in range(300)]
    rows[298]["prompt"] = "word " * 80
    path = _write(tmp_path / "r.jsonl", "", *rows)
    engine = FakeEngine(n_ctx_train=100)
    with pytest.raises(
        InputError, match=r"line 300, key 'prompt': request 'r298' needs 161 tokens .* holds 100"
    ):
        _score(engine, read_requests(path), source=path)
    assert engine.prompts == 0


@pytest.mark.parametrize(
    "options", [[" ba de fo", " ba", " de"], [" ba de fo"], [f" ba {x} de" for x in "xyz"]]
)
def test_what_just_fits_is_scored_and_one_token_more_is_refused(tmp_path: Path, options: list[str]) -> None:
    """The bound is the engine's own: it is neither asked for what it refuses, nor kept from what it can do."""
    with LlamaEngine(write_random_llama(tmp_path / "m.gguf"), EngineOptions(threads=1)) as found:
        room = found.info.n_ctx_train
    with LlamaEngine(tmp_path / "m.gguf", EngineOptions(n_ctx=room, threads=1)) as engine:
        outcomes = []
        for length in range(room - 40, room):  # a byte is a token in this vocabulary, or part of one
            asked = UserRequest(length, "?" * length, tuple(options))
            (request,) = label_requests(tokenizer(engine), [(asked.prompt,)], [asked.options])
            try:
                _score(engine, [asked])
            except InputError:
                with pytest.raises(EngineError, match="the context holds"):
                    engine.score(Pack((), (request,)))
                outcomes.append("refused")
            else:
                outcomes.append("scored")
    assert outcomes == sorted(outcomes, reverse=True)
    assert set(outcomes) == {"scored", "refused"}


def test_a_digest_stands_for_ids_prompts_options_and_order() -> None:
    first, second = UserRequest("1", "P", ("x", "y")), UserRequest("2", "Q", ("x",))
    others = [
        [second, first],
        [first],
        [UserRequest(1, "P", ("x", "y")), second],
        [UserRequest("1", "R", ("x", "y")), second],
        [UserRequest("1", "P", ("x", "z")), second],
        [UserRequest("1", "P", ("x",)), second],
    ]
    assert len({digest(requests) for requests in [[first, second], *others]}) == 7
    assert digest([first, second]) == digest([UserRequest("1", "P", ("x", "y"), line=9), second])


def _row(i: int = 0, **other: object) -> dict[str, object]:
    return {"id": f"r{i}", "logprobs": [-1.0, -2.0], "tokens": 9, "mass": 0.5} | other


@pytest.mark.parametrize(
    "wrong",
    [
        _row(2),
        _row(1, id=1),
        _row(1, logprobs=[-1.0]),
        _row(1, logprobs=[-1.0, None]),
        _row(1, logprobs=[-1.0, True]),
        _row(1, logprobs="ab"),
        _row(1, mass=None),
        _row(1, tokens="9"),
        {"id": "r1"},
        [],
        3,
        json.dumps(_row(1)).replace("-2.0", "NaN"),
        json.dumps(_row(1)).replace("-2.0", "-1e999"),
        "",
        "\udcff",
        "[" * 100_000,
    ],
)
def test_of_a_part_the_rows_up_to_the_first_wrong_one_are_kept(tmp_path: Path, wrong: object) -> None:
    part = tmp_path / "out.jsonl.part"
    lines = [{"key": "k"}, _row(0), wrong, _row(2)]
    text = "".join((x if isinstance(x, str) else json.dumps(x)) + "\n" for x in lines)
    part.write_bytes(text.encode(errors="surrogateescape"))
    assert PartialResults(tmp_path / "out.jsonl", "k", ASKED).known == [_row(0)]


class Backwards(FakeEngine):
    """Ends its packs in an order of its own, as several engines do."""

    def each(self, work: Callable[[Engine, Any], Any], items: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
        """See `medbench_local.engine.several.Helped`."""
        for item in [*items[1::2], *items[::2]][::-1]:
            yield item, work(self, item)


def test_results_are_in_the_order_of_the_file_whoever_ends_first() -> None:
    expected = list(score_on(FakeEngine(), ASKED, special=False, label="", progress=Silent()))
    engine = Backwards()
    assert isinstance(engine, Helped)
    assert list(score_on(engine, ASKED, special=False, label="", progress=Silent())) == expected
    assert len(expected) > 2
    known = [row for rows in expected[:2] for row in rows]
    resumed = list(score_on(Backwards(), ASKED, special=False, label="", progress=Silent(), known=known))
    assert resumed == expected
