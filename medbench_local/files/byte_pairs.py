"""Byte-level byte-pair merging of one word, for the words that llama.cpp splits otherwise than a model's tokenizer.

Sennrich, Haddow and Birch, "Neural Machine Translation of Rare Words with Subword Units", ACL 2016, on the bytes of
UTF-8 as GPT-2 writes them: each byte is a letter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise


def _letters() -> str:
    """The letter of each byte: printable ones of Latin-1 stand for themselves, the others for U+0100 and above."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = iter(range(256, 512))
    return "".join(chr(byte if byte in printable else next(others)) for byte in range(256))


LETTERS = _letters()


def merge_ranks(merges: Iterable[str]) -> dict[tuple[str, str], int]:
    """Which pair is merged first: the rank of each, from "a b" in order of importance."""
    ranks: dict[tuple[str, str], int] = {}
    for rank, merge in enumerate(merges):
        first, _, second = merge.partition(" ")
        ranks.setdefault((first, second), rank)
    return ranks


def merged(word: str, ranks: Mapping[tuple[str, str], int]) -> list[str]:
    """The tokens of a word that is written in `LETTERS`.

    The most important pair is merged first, the leftmost of equals.
    """
    parts = list(word)
    while len(parts) > 1:
        found = [(ranks[pair], i) for i, pair in enumerate(pairwise(parts)) if pair in ranks]
        if not found:
            break
        _, at = min(found)
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return parts


def in_letters(text: str) -> str:
    """The bytes of a text, written in `LETTERS`."""
    return "".join(LETTERS[byte] for byte in text.encode())
