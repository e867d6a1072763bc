"""How requests and results travel between the engine's two processes: one JSON object a line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from medbench_local import errors
from medbench_local.engine.base import (
    EngineInfo,
    EngineOptions,
    GenerateRequest,
    OptionScores,
    Pack,
    PictureTokens,
    ScoreRequest,
    ThinkRequest,
    Tokens,
    Trace,
)
from medbench_local.engine.packs import shared_length
from medbench_local.errors import EngineError, MedbenchError


def pack_to_json(pack: Pack) -> dict[str, Any]:
    """A pack of any kind; contexts without the prefix that they share."""
    start = len(pack.prefix)
    requests: list[list[Any]] = []
    for request in pack.requests:
        if request.context[:start] != pack.prefix:
            raise EngineError("A prompt does not begin with its pack's prefix.")
        if isinstance(request, ScoreRequest):
            requests.append([request.context[start:], request.continuations])
        elif isinstance(request, GenerateRequest):
            requests.append([request.context[start:], request.stop, request.max_tokens])
        else:
            requests.append([request.context[start:], request.close, request.max_tokens])
    kind = type(pack.requests[0]).__name__ if pack.requests else ""
    pictures = [[one.first, one.features] for one in pack.pictures]
    return {"prefix": pack.prefix, "kind": kind, "requests": requests, "pictures": pictures}


def pack_from_json(data: dict[str, Any]) -> Pack:
    """The inverse of `pack_to_json`."""
    prefix = tuple(data["prefix"])
    pictures = tuple(PictureTokens(first, tuple(features)) for first, features in data["pictures"])
    if data["kind"] == ThinkRequest.__name__:
        return Pack(
            prefix,
            tuple(
                ThinkRequest(prefix + tuple(tail), tuple(close), most)
                for tail, close, most in data["requests"]
            ),
            pictures,
        )
    if data["kind"] == ScoreRequest.__name__:
        return Pack(
            prefix,
            tuple(
                ScoreRequest(prefix + tuple(tail), tuple(map(tuple, continuations)))
                for tail, continuations in data["requests"]
            ),
            pictures,
        )
    return Pack(
        prefix,
        tuple(
            GenerateRequest(prefix + tuple(tail), tuple(stop), most) for tail, stop, most in data["requests"]
        ),
        pictures,
    )


_NUMBERS: dict[int, int] = {}
"""Token numbers that came in so far: each is an object, and of thousands of prompts most are the same."""


def token_lists_to_json(token_lists: Sequence[Tokens]) -> list[Any]:
    """Token lists, each as the number of tokens that it shares with the one before, and the others."""
    found: list[Any] = []
    before: Tokens = ()
    for tokens in token_lists:
        shared = shared_length(before, tokens)
        found.append([shared, tokens[shared:]])
        before = tokens
    return found


def token_lists_from_json(data: list[Any]) -> list[Tokens]:
    """The inverse of `token_lists_to_json`; every number of a token is held once, however many lists have it."""
    found: list[Tokens] = []
    before: Tokens = ()
    for shared, others in data:
        before = (*before[:shared], *map(_NUMBERS.setdefault, others, others))
        found.append(before)
    return found


def scores_to_json(scores: list[OptionScores]) -> list[Any]:
    """Scores; Python writes and reads every float64 without loss."""
    return [[score.logprobs, score.mass] for score in scores]


def scores_from_json(data: list[Any]) -> list[OptionScores]:
    """The inverse of `scores_to_json`."""
    return [OptionScores(tuple(logprobs), mass) for logprobs, mass in data]


def trace_to_json(trace: Trace) -> list[Any]:
    """A trace."""
    return [trace.tokens, trace.end]


def trace_from_json(data: list[Any]) -> Trace:
    """The inverse of `trace_to_json`."""
    tokens, end = data
    return Trace(tuple(tokens), end)


def options_to_json(options: EngineOptions) -> dict[str, Any]:
    """Options by name."""
    return asdict(options)


def info_from_json(data: dict[str, Any]) -> EngineInfo:
    """The inverse of `dataclasses.asdict`."""
    return EngineInfo(**data)


_KINDS = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, MedbenchError)
}
"""The tree of errors by name."""


def error_to_json(error: MedbenchError) -> dict[str, Any]:
    """An error in the form in which `error_from_json` can raise it again: its kind and its attributes."""
    kind = next(cls.__name__ for cls in type(error).__mro__ if cls.__name__ in _KINDS)
    return {"kind": kind, "attributes": vars(error)}


def error_from_json(data: dict[str, Any]) -> MedbenchError:
    """The inverse of `error_to_json`; a kind that is not known here becomes an `EngineError`."""
    kind, attributes = _KINDS.get(data["kind"]), data["attributes"]
    if kind is None:
        return EngineError(attributes["message"], advice=attributes["advice"])
    # Not every kind's parameters are its attributes: filled as copy and pickle do.
    error = kind.__new__(kind, attributes["message"])
    vars(error).update(attributes)
    return error
