"""The tokens of a SentencePiece model of which only the tokenizer.json is left: pieces and pairs, no scores."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gguf import TokenType

from medbench_local.acquire.conversion.bpe_tokens import read_merges, read_vocab
from medbench_local.acquire.conversion.piece_rules import BYTES, refuse_without_bytes, with_rules
from medbench_local.acquire.conversion.token import Token, TokenTable, read_added_tokens
from medbench_local.errors import AcquireError


def read_merged_tokens(path: Path, tokenizer: dict[str, Any]) -> TokenTable:
    """The tokens of a tokenizer.json that was made from a SentencePiece model which is not beside it.

    llama.cpp merges what makes the token of the highest score, a tokenizer.json the pair that comes first: the
    same if the pairs that make one token stand together and are all that there are.

    Raises:
        InputError: a part is damaged; an id given twice.
        AcquireError: its pairs do not come from a SentencePiece model, or it does to texts what neither llama.cpp nor
            the engine follows.
    """
    model = tokenizer["model"]
    if model.get("ignore_merges") or model.get("dropout"):
        raise AcquireError(
            f"{path}: merging with ignore_merges or dropout cannot be converted for such a vocabulary."
        )
    texts = read_vocab(path, model.get("vocab"))
    merges = [tuple(merge.split(" ")) for merge in read_merges(path, model.get("merges"))]
    scores = _scores(path, {text: i for i, text in texts.items()}, merges)
    unknown = model.get("unk_token")
    tokens = {
        i: Token(text, _type_of(text, unknown), scores.get(text, _UNMERGED)) for i, text in texts.items()
    }
    refuse_without_bytes(path, tokens)
    for i, token in read_added_tokens(path, tokenizer.get("added_tokens") or []).items():
        # runs of blanks are listed as they are written after blanks were replaced, where they are not looked for
        if i not in tokens or tokens[i].text.strip("▁"):
            tokens[i] = token
    return with_rules(path, tokenizer, tokens)


_UNMERGED = -1e9


def _scores(path: Path, ids: Mapping[str, int], merges: list[tuple[str, ...]]) -> dict[str, float]:
    """The rank of each token that merging makes, as a score."""
    ranks: dict[str, float] = {}
    made: dict[str, set[tuple[str, ...]]] = {}
    last = ""
    for pair in merges:
        text = "".join(pair)
        if text != last and text in made:
            raise _foreign_merges(path, text)
        made.setdefault(last := text, set()).add(pair)
        ranks.setdefault(text, -float(len(ranks)))
    for text in ids:
        pairs = {(text[:i], text[i:]) for i in range(1, len(text)) if text[:i] in ids and text[i:] in ids}
        if text in made and pairs != made[text]:
            raise _foreign_merges(path, text)
    return ranks


def _foreign_merges(path: Path, text: str) -> AcquireError:
    return AcquireError(
        f"{path}: the pairs that make the token {text!r:.80} are not those of a SentencePiece model, and llama.cpp "
        "merges by scores.",
        advice="Put the tokenizer.model of the base model beside it.",
    )


def _type_of(text: str, unknown: Any) -> TokenType:
    if text == unknown:
        return TokenType.UNKNOWN
    return TokenType.BYTE if text in BYTES else TokenType.NORMAL
