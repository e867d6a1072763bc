"""Which option a generated answer names: the rule of Jeong et al. (EMNLP 2024), in both of its versions."""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from functools import lru_cache

from medbench_local.catalog.protocol import MultipleLetters
from medbench_local.prompts.template import letter

_NO_PUNCTUATION = str.maketrans(dict.fromkeys(string.punctuation, " "))


def match_answer(
    output: str, options: Sequence[str], answer: int, *, multiple_letters: MultipleLetters
) -> int | None:
    """The index of the option that ``output`` names, or None if it names none.

    Letters are looked for first: an upper-case letter of an option after the start, white space or one of
    "([<", and before the end, white space, a full stop, "</s>" or one of ")]>". Without any such letter, the
    correct option's text counts if it occurs as whole words and no other option's does, case and punctuation
    aside. That second rule knows the solution: it can find the correct option only, never a wrong one.

    Args:
        output: the generated text.
        options: the options' texts.
        answer: index of the correct option.
        multiple_letters: what several letters mean.
    """
    letters = _letters(len(options)).findall(output.strip())
    if len(letters) == 1 or (letters and multiple_letters == "first"):
        return ord(letters[0]) - ord("A")
    if letters:
        return None
    said, wanted = _words(output), options[answer]
    if not _occurs(_words(wanted), said):
        return None
    others = (option for option in options if option != wanted)
    return None if any(_occurs(_words(other), said) for other in others) else answer


@lru_cache(maxsize=26)
def _letters(options: int) -> re.Pattern[str]:
    return re.compile(rf"(?:^|[\s(\[<])([A-{letter(options - 1)}])(?=\s|$|\.|</s>|[)\]>])")


def _words(text: str) -> str:
    """Lower case, without punctuation, one blank between words."""
    return " ".join(text.translate(_NO_PUNCTUATION).lower().split())


def _occurs(words: str, said: str) -> bool:
    """Whether ``words`` is a run of whole words of ``said``; a text without words never is."""
    return bool(words) and f" {words} " in f" {said} "
