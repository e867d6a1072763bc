"""An engine's tokenizer as scoring rules take it."""

from __future__ import annotations

from collections.abc import Sequence

from medbench_local.engine.base import Engine, Tokens
from medbench_local.prompts.prompt import Parts, text_of
from medbench_local.scoring.continuations import Tokenize


def tokenizer(engine: Engine) -> Tokenize:
    """Tokens of prompts without pictures."""

    def tokenize(prompts: Sequence[Parts]) -> list[Tokens]:
        return engine.tokenize([text_of(parts) for parts in prompts], special=False)

    return tokenize
