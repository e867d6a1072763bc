"""What a GGUF header says that no model means and llama.cpp does not bear: refused before it is loaded.

llama.cpp aborts on a token that stands twice in a vocabulary and on an epsilon that is no number or below 0. Scores and
types of tokens it reads without looking how many there are. A number of a model's settings that is none makes every
score none.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

from medbench_local.errors import InputError
from medbench_local.files.gguf_file import GgufList, read_float32_list, read_raw_texts_of_list
from medbench_local.files.gguf_header import GgufHeader

_TOKENS = "tokenizer.ggml.tokens"
_SCORES = "tokenizer.ggml.scores"
_OF_EACH_TOKEN = (_SCORES, "tokenizer.ggml.token_type")

_ADVICE = "The file is damaged, or was made wrongly; download it again, or convert the checkpoint."


_sound: deque[GgufHeader] = deque(maxlen=16)
"""Headers that were looked at: planning, loading and scoring a model all ask for the same one."""


def refuse_nonsense(header: GgufHeader) -> None:
    """Refuse a header that llama.cpp would not survive, or would compute nonsense from.

    Raises:
        InputError: with the key.
    """

    if any(one is header for one in _sound):
        return

    def refuse(key: str, problem: str) -> None:
        raise InputError(header.path, f"key '{key}'", problem, advice=_ADVICE)

    for key, value in header.metadata.items():
        if not isinstance(value, float) or not key.startswith((f"{header.architecture}.", "tokenizer.")):
            continue
        if not math.isfinite(value):
            refuse(key, f"found {value}, expected a finite number")
        if value < 0 and key.endswith("epsilon"):
            refuse(key, f"found {value:g}, expected 0 or more")
    for key, found in header.lists.items():
        if key.startswith(f"{header.architecture}."):
            odd = [item for item in found.items if isinstance(item, float) and not math.isfinite(item)]
            if odd:
                refuse(key, f"holds {odd[0]}, expected finite numbers")
    tokens = header.lists.get(_TOKENS)
    if tokens is not None:
        _check_tokens(header, tokens, refuse)
    _sound.append(header)


def _check_tokens(header: GgufHeader, tokens: GgufList, refuse: Callable[[str, str], None]) -> None:
    for key in _OF_EACH_TOKEN:
        if key in header.lists and header.lists[key].length != tokens.length:
            refuse(key, f"holds {header.lists[key].length:,} items for {tokens.length:,} tokens")
    if _SCORES in header.lists:
        for number, score in enumerate(read_float32_list(header.path, header.lists[_SCORES])):
            if not math.isfinite(score):
                refuse(_SCORES, f"the score of token {number} is {score}, expected a finite number")
    seen: dict[bytes, int] = {}
    for number, text in enumerate(read_raw_texts_of_list(header.path, tokens)):
        if text and (first := seen.setdefault(text, number)) != number:
            shown = text.decode("utf-8", "replace")
            refuse(
                _TOKENS, f"token {number} is {shown!r:.80}, as token {first} is: each has to be another one"
            )
