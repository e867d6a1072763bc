"""Whether a model can be converted and scored, as far as its files say without being loaded."""

from __future__ import annotations

from pathlib import Path

from medbench_local.acquire.checkpoint_files import find_checkpoint
from medbench_local.acquire.fetch import recall
from medbench_local.acquire.source import HubCheckpoint, HubGguf, LocalGguf, ModelSource, PictureModel
from medbench_local.catalog.quantisation import FULL, load_quant
from medbench_local.engine.support import exact_limit, refuse_unsupported
from medbench_local.errors import MedbenchError, OfflineError
from medbench_local.files.gguf_header import read_gguf_header
from medbench_local.progress import Silent

UNKNOWN = "known when it is fetched"


def convertible(source: ModelSource, home: Path) -> str:
    """Whether a checkpoint can be converted: "yes", "no" or `UNKNOWN`, and why, in one line; "" for a GGUF file.

    Everything but the weights' values is read: configuration, names and shapes of the tensors, tokenizer. The hub is
    not asked.
    """
    if isinstance(source, LocalGguf | HubGguf):
        return ""
    named = (source.own, source.base, source.tower) if isinstance(source, PictureModel) else (source,)
    if any(
        isinstance(part, HubCheckpoint)
        and recall(home, part.repository, revision=part.revision, part=part.part) is None
        for part in named
    ):
        return UNKNOWN
    from medbench_local.acquire.conversion.convert import check_convertible  # slow to import

    try:
        checkpoint = find_checkpoint(source, load_quant(FULL), home=home, offline=True, progress=Silent())
        return f"yes ({check_convertible(checkpoint.checkpoint())})"
    except OfflineError:
        return UNKNOWN
    except MedbenchError as error:
        return f"no: {error.message}"


def scorable(source: ModelSource) -> str:
    """Whether a GGUF file on this machine can be scored, and why not or how far, in one line; "" for all else.

    Raises:
        InputError: it is not a sound GGUF file.
    """
    if not isinstance(source, LocalGguf):
        return ""
    header = read_gguf_header(source.path)
    try:
        refuse_unsupported(header)
    except MedbenchError as error:
        return f"no: {error.message}"
    limit = exact_limit(header)
    if limit is None or limit.tokens >= header.context > 0:
        return f"yes, if llama.cpp knows {header.architecture}"
    return f"prompts of up to {limit.tokens:,} tokens: beyond, {limit.reason}"
