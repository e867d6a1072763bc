"""Predictions that can be no option of their question, under one pair of readings: pure functions."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from medbench_local.reference.notation import FEW, Pair, Written
from medbench_local.tasks.labels import MOST_OPTIONS, letter, number
from medbench_local.tasks.notation import ENOUGH, Token

_FAMILIES = (frozenset(("yes", "no", "maybe")), frozenset(("true", "false")))
"""Answers to closed questions that belong together, whether or not each of them is the answer to one in the file."""


def with_options_only(rows: Sequence[Written], both: Sequence[int], pair: Pair) -> Pair:
    """``pair`` with predictions forgotten that can be no option of their question.

    One letter or number more than the answers show may be one, and so may E: it is a wrong answer.
    """
    chosen = list(pair.chosen)
    shown = pair.shown
    for i in both:
        token, options = chosen[i], rows[i].options
        most = max(len(options.labels) if options else shown, 4)
        if type(token) is not type(pair.gold[i]) or (isinstance(token, int) and token > most):
            chosen[i] = None
    texts = [i for i in both if isinstance(pair.gold[i], str)]
    for i in _not_among_texts(rows, texts, pair.gold, chosen):
        chosen[i] = None
    return replace(pair, chosen=tuple(chosen))


def _not_among_texts(
    rows: Sequence[Written],
    places: Sequence[int],
    gold: Sequence[Token | None],
    chosen: Sequence[Token | None],
) -> Iterable[int]:
    """Predicted texts that are no options, where rows do not list them.

    A few texts that are the answers again and again are a closed set. Where every question has texts of its own, a
    wrong prediction may be any text. But some must be among the answers; and labels, and texts that hold their answer
    among other words, are another notation if there are more than a few.
    """
    answers = {token for i in places if isinstance(token := gold[i], str)}
    family = next((family for family in _FAMILIES if answers <= family), frozenset())
    unknown = {i for i in places if chosen[i] not in answers | family}
    if len(answers) <= MOST_OPTIONS and len(places) >= ENOUGH * len(answers):
        return unknown
    if len(places) >= ENOUGH and len(places) - len(unknown) < FEW * len(places):
        return places
    return {
        i
        for i in unknown
        if letter(rows[i].prediction) is not None
        or (number(rows[i].prediction) is not None and number(rows[i].answer) is None)
        or _holds(chosen[i], gold[i])
        or _is_reworded(chosen[i], gold[i])
    }


_LEAST_BEGINNING = 10
"""Characters from which a beginning of an answer is taken for the answer cut short."""
_BRACKETS = re.compile(r"\([^)]*\)")
_ARTICLES = frozenset(("a", "an", "the"))


def _is_reworded(chosen: Token | None, gold: Token | None) -> bool:
    """Whether a predicted text is the answer but for articles, punctuation, brackets or markup, or its beginning."""
    if not (isinstance(chosen, str) and isinstance(gold, str)) or chosen == gold:
        return False
    said, sought = _words(chosen), _words(gold)
    cut = len(said) >= _LEAST_BEGINNING and sought.startswith(said)
    bracketless = [_words(_BRACKETS.sub(" ", text)) for text in (chosen, gold)]
    return said != "" and (said == sought or cut or bracketless[0] == bracketless[1])


def _words(text: str) -> str:
    """The words of a text but for articles, without punctuation and markup."""
    return " ".join(word for word in re.findall(r"\w+", html.unescape(text)) if word not in _ARTICLES)


def _holds(chosen: Token | None, gold: Token | None) -> bool:
    """Whether a predicted text has the answer's words in it, and more."""
    if not (isinstance(chosen, str) and isinstance(gold, str)):
        return False
    words, sought = (" ".join(re.findall(r"\w+", text)) for text in (chosen, gold))
    return chosen != gold and f" {sought} " in f" {words} "
