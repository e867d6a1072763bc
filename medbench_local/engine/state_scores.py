"""Joint log-probabilities from models with a running state: recurrent ones, and hybrids of those with attention.

A state can be copied and emptied, but nothing can be taken back from it, and llama.cpp computes sequences that part
within one decode a few rows at a time. So every continuation is decoded in a sequence of its own, together with the
last tokens of the prompt: no decode is smaller than the mode's least, and no bit depends on what was decoded before.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from medbench_local.engine.base import ROWS, OptionScores, ScoreRequest, Tokens
from medbench_local.engine.llama_context import Context, Span
from medbench_local.engine.option_scores import log_probabilities
from medbench_local.engine.packs import shared_beginning
from medbench_local.engine.prefix import PrefixCache

_PREFIX, _STEM, _BRANCH = range(3)
"""Sequences: the prefix, the prompt without its last tokens, and one continuation with these (see `states_needed`)."""


def reusable_prefix(requests: Sequence[ScoreRequest], prefix: int, least_rows: int) -> int:
    """How many of the ``prefix`` tokens that all requests begin with are to be held for all of them.

    Holding less for one of them would empty the state. What is held is one of two lengths, so that packs with the same
    prefix seldom differ in it.
    """
    shortest = min((len(request.context) for request in requests), default=0)
    return prefix if shortest - prefix >= least_rows else max(0, prefix - least_rows)


def score_by_state(request: ScoreRequest, prefix: int, context: Context, cache: PrefixCache) -> OptionScores:
    """Score one request by itself; the result does not depend on what was decoded before.

    Args:
        request: fits the context.
        prefix: tokens of its context that are held, as `reusable_prefix` says.
        context: of a model with a running state.
        cache: of that context.
    """
    shared = shared_beginning(request.continuations)
    trunk = request.continuations[0][:shared]
    prompt = request.context + trunk
    held = cache.hold(prompt[:prefix])
    # Where the last tokens begin, with which every continuation is decoded.
    stem = len(prompt) - max(cache.least_rows, shared + 1)
    if stem - held < cache.least_rows:
        stem = held
    context.branch(_PREFIX, [_STEM])
    cache.extend(prompt[held:stem], held, [_STEM])
    rest = [continuation[shared:] for continuation in request.continuations]
    ahead, firsts = 0.0, [math.nan] * len(rest)
    if shared or any(len(tokens) == 1 for tokens in rest):
        index = _decode(prompt, stem, shared + 1, context, cache)
        ahead = math.fsum(_read(context, index, trunk))
        firsts = log_probabilities(context.logits(index + shared), [tokens[0] for tokens in rest])
        context.cut(_BRANCH)
    joint = []
    for tokens, first in zip(rest, firsts, strict=True):
        later = [first] if len(tokens) == 1 else _follow(prompt, stem, tokens, context, cache)
        joint.append(math.fsum([ahead, *later]))
    context.cut(_STEM)
    return OptionScores(tuple(joint), math.fsum(map(math.exp, joint)))


def _follow(prompt: Tokens, stem: int, tokens: Tokens, context: Context, cache: PrefixCache) -> list[float]:
    """Log-probabilities of ``tokens`` one after the other behind ``prompt``."""
    found: list[float] = []
    for start in range(0, len(tokens), ROWS):
        piece = tokens[start : start + ROWS]
        text = prompt + tokens[:start] + piece[:-1]
        found += _read(context, _decode(text, stem, len(piece), context, cache), piece)
        context.cut(_BRANCH)
    return found


def _decode(text: Tokens, stem: int, wanted: int, context: Context, cache: PrefixCache) -> int:
    """Decode ``text`` behind the stem in a new branch.

    Returns:
        Index of the first of its last ``wanted`` rows, which can be read.
    """
    context.branch(_STEM, [_BRANCH])
    # As with other models: what is read comes from one decode with as much before it as there is room for.
    before = max(0, len(text) - stem - context.micro_batch)
    if before:
        before = max(before, cache.least_rows)
    start = stem + before
    cache.extend(text[stem:start], stem, [_BRANCH])
    unread = len(text) - wanted
    context.decode([Span(text[start:], start, [_BRANCH], wanted=wanted)])
    return unread - start


def _read(context: Context, index: int, tokens: Tokens) -> list[float]:
    """Log-probabilities of ``tokens``, the first one from row ``index`` of the last decode."""
    return [log_probabilities(context.logits(index + i), [token])[0] for i, token in enumerate(tokens)]
