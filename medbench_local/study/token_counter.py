"""What counts the tokens of a model's prompts before it is made ready: its own tokenizer, or an allowance."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from medbench_local.acquire.source_types import ModelSource
from medbench_local.acquire.vocabulary_file import vocabulary_file
from medbench_local.engine.base import Engine
from medbench_local.files.gguf_header import GgufHeader, read_gguf_header
from medbench_local.results.cost import Counted
from medbench_local.scoring.session import StartEngine
from medbench_local.study.allowance import FEWEST_LETTERS, USUAL_LETTERS, Allowance
from medbench_local.study.options import ResolvedOptions


@dataclass(frozen=True)
class TokenCounter:
    """Counts tokens.

    Attributes:
        usual: tokenises as the model does, about.
        at_least: into no fewer tokens; the same where the tokenizer is at hand.
        header: what the model's file says of itself, as far as it is here.
    """

    usual: Engine
    at_least: Engine
    header: GgufHeader | None

    @property
    def counted(self) -> Counted:
        """How."""
        return "tokenizer" if self.usual is self.at_least else "allowance"


def allowance(header: GgufHeader | None, place: int = 0) -> TokenCounter:
    """A counter for prompts that no tokenizer at hand reads, which show pictures of ``place`` tokens each."""
    return TokenCounter(
        Allowance(letters=USUAL_LETTERS, runs=True, place=place),
        Allowance(letters=FEWEST_LETTERS, runs=False, place=place),
        header,
    )


@contextmanager
def token_counter(
    source: ModelSource, file: Path | None, options: ResolvedOptions, start: StartEngine
) -> Iterator[TokenCounter]:
    """The counter of a model: with its vocabulary, which is loaded without its weights, where that is here.

    Args:
        source: the model.
        file: a GGUF file of it that is here, or None.
        options: of the comparison.
        start: loads it.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="vocabulary-")))
        found = vocabulary_file(source, file, options.home, folder)
        if found is None:
            yield allowance(None)
            return
        engine = start(found, replace(options.engine, vocabulary_only=True))
        stack.callback(engine.close)
        yield TokenCounter(engine, engine, read_gguf_header(found))
