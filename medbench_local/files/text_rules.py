"""What a model's own tokenizer does to a text that llama.cpp does not do, as a GGUF file says it.

A GGUF file says how text is cut into tokens, but has no word for these:

* Unicode normalisation (NFC) of Qwen, Cohere and GPT-NeoX: "e" and a combining accent become "é".
* A blank put before a text only ("first" of the tokenizers library), or before a piece behind a control token only if
  it begins with none ("always"): llama.cpp puts one behind every control token, whatever follows.
* Tokens that swallow the blanks beside them.

A file that was converted here says which hold, in the key `TEXT_RULES`. For other files Unicode normalisation is known
from the name of the splitting rule, which is a model family's.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Literal, get_args

TEXT_RULES = "medbench_local.text_rules"
"""The key of a GGUF file whose value is `TextRules.to_json`."""

NORMALISED = frozenset(("qwen2", "deepseek-r1-qwen", "qwen35", "command-r", "olmo", "mpt"))
"""Values of ``tokenizer.ggml.pre`` whose model families normalise to NFC."""

Blank = Literal["", "first", "always"]


@dataclass(frozen=True)
class TextRules:
    """How a text is prepared before llama.cpp tokenises it.

    Attributes:
        nfc: normalise to Unicode's NFC.
        blank: put a blank before a text ("first"), or also behind every token that is found in it ("always"), where no
            blank stands; "" leaves that to llama.cpp.
        swallow_before: texts of tokens that swallow the blanks before them.
        swallow_after: texts of tokens that swallow the blanks behind them.
    """

    nfc: bool = False
    blank: Blank = ""
    swallow_before: tuple[str, ...] = ()
    swallow_after: tuple[str, ...] = ()

    def to_json(self) -> str:
        """One line, for a file's header."""
        return json.dumps(asdict(self), sort_keys=True)


def usual_rules(splitting: str) -> TextRules:
    """The rules of a file that gives none, by its ``tokenizer.ggml.pre``."""
    return TextRules(nfc=splitting in NORMALISED)


def read_text_rules(stored: str, splitting: str) -> TextRules:
    """The rules that a file's header gives.

    Args:
        stored: the value of its key `TEXT_RULES`, "" if it has none.
        splitting: its ``tokenizer.ggml.pre``.

    Raises:
        ValueError: not what `TextRules.to_json` writes.
    """
    if not stored:
        return usual_rules(splitting)
    try:
        data = json.loads(stored)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    before, after = data["swallow_before"], data["swallow_after"]
    texts = (
        isinstance(before, list) and isinstance(after, list) and all(type(t) is str for t in before + after)
    )
    if data["blank"] not in get_args(Blank) or type(data["nfc"]) is not bool or not texts:
        raise ValueError("unknown rules for texts")
    return TextRules(data["nfc"], data["blank"], tuple(before), tuple(after))
