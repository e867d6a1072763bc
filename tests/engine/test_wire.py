"""Errors between the engine's two processes: every kind comes out as it went in."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medbench_local import errors
from medbench_local.engine.base import GenerateRequest, Pack, PictureTokens, ScoreRequest, ThinkRequest
from medbench_local.engine.wire import (
    error_from_json,
    error_to_json,
    pack_from_json,
    pack_to_json,
    token_lists_from_json,
    token_lists_to_json,
)
from medbench_local.errors import EngineError, InputError, MedbenchError

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, MedbenchError)]


def made(kind: type[MedbenchError]) -> MedbenchError:
    if issubclass(kind, InputError):
        return kind("a/model.gguf", "key 'ß'", "found 1, expected 2", advice="Convert it again.")
    return kind("What happened.", advice="What to do.")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_kind_survives(kind: type[MedbenchError]) -> None:
    error = made(kind)
    back = error_from_json(json.loads(json.dumps(error_to_json(error))))
    assert type(back) is kind
    assert (str(back), vars(back), back.args) == (str(error), vars(error), error.args)


def test_a_kind_that_is_not_in_the_tree_arrives_as_the_nearest_that_is() -> None:
    class Odd(errors.DoesNotFitError):
        pass

    assert type(error_from_json(error_to_json(Odd("What.")))) is errors.DoesNotFitError


def test_a_kind_that_this_end_does_not_know_is_an_engine_error() -> None:
    data = error_to_json(errors.GatedError("What happened.", advice="What to do.")) | {"kind": "OfLater"}
    back = error_from_json(data)
    assert type(back) is EngineError
    assert (back.message, back.advice) == ("What happened.", "What to do.")


@given(st.lists(st.lists(st.integers(0, 2)).map(tuple)))
def test_token_lists_survive(token_lists: list[tuple[int, ...]]) -> None:
    sent = json.loads(json.dumps(token_lists_to_json(token_lists)))
    assert token_lists_from_json(sent) == token_lists


def test_what_token_lists_share_is_sent_once() -> None:
    context = tuple(range(1000))
    assert token_lists_to_json([context, (*context, 7), (*context, 8, 9)]) == [
        [0, context],
        [1000, (7,)],
        [1000, (8, 9)],
    ]


@pytest.mark.parametrize(
    "requests",
    [
        (ScoreRequest((1, 2, 3), ((4,), (5, 6))), ScoreRequest((1, 2), ((4,),))),
        (GenerateRequest((1, 2, 3), ("x",), 7),),
        (ThinkRequest((1, 2, 600), ("</think>",), 7),),
        (),
    ],
    ids=["score", "generate", "think", "none"],
)
@pytest.mark.parametrize(
    "pictures", [(), (PictureTokens(600, ("a.npy",)), PictureTokens(601, ("a.npy", "b.npy")))]
)
def test_packs_survive(requests: tuple[ScoreRequest, ...], pictures: tuple[PictureTokens, ...]) -> None:
    pack = Pack((1, 2), requests, pictures)
    assert pack_from_json(json.loads(json.dumps(pack_to_json(pack)))) == pack
