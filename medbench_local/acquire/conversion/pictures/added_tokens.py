"""Tokens that were added to a language model for pictures: which ids they have, and the tokenizer that results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sentencepiece import SentencePieceProcessor

from medbench_local.acquire.conversion.checkpoint import Checkpoint, GrownTokenizer
from medbench_local.acquire.conversion.sentencepiece_tokens import added_tokens_of
from medbench_local.errors import InputError

PATCH, START, END = "<im_patch>", "<im_start>", "<im_end>"
"""What LLaVA calls the place of a patch, and the tokens before and behind those of a picture."""

_KINDS = ("bos", "eos", "unk")


def added_ids(folder: Path, rows: int, base_rows: int, needed: Sequence[str]) -> dict[int, str]:
    """The tokens behind those of the base: what the folder's files say, else the order in which they are added.

    Args:
        folder: with added_tokens.json or tokenizer_config.json.
        rows: of the embedding, which decide: ids beyond it have no meaning.
        base_rows: of the base's.
        needed: texts that must be among them, in the order in which LLaVA's training adds them.

    Raises:
        InputError: the files do not say, and it cannot be told; or what they say contradicts the embedding.
    """
    found = {i: token.text for i, token in added_tokens_of(folder).items() if i >= base_rows}
    stated = {i: text for i, text in found.items() if i < rows}
    where = f"tokens {', '.join(needed)}"
    if not any(text in found.values() for text in needed):
        if rows - base_rows == len(needed):
            return {base_rows + place: text for place, text in enumerate(needed)}
        raise InputError(
            folder,
            where,
            f"the embedding has {rows - base_rows} rows more than the base's {base_rows}, and neither "
            f"added_tokens.json nor tokenizer_config.json says which of them are these {len(needed)}",
            advice='Put added_tokens.json beside the weights: {"<im_patch>": 32000, ...}.',
        )
    for text in needed:
        ids = [i for i, other in found.items() if other == text]
        if len(ids) != 1 or ids[0] not in stated:
            problem = f"{text!r} has the ids {ids}" if ids else f"{text!r} is not among the added tokens"
            raise InputError(folder, where, f"{problem}; the embedding has rows up to {rows - 1}")
    return stated


def with_special_ids(config: Mapping[str, Any], tokenizer: Path) -> dict[str, Any]:
    """A configuration with the special ids of the SentencePiece model in a folder.

    Early conversions of LLaMA, and what was trained from them, name others or none.
    """
    path = tokenizer / "tokenizer.model"
    if not path.is_file():
        return dict(config)
    processor = SentencePieceProcessor()
    try:
        processor.LoadFromFile(str(path))
    except (RuntimeError, OSError) as error:
        raise InputError(
            path, "", f"not a SentencePiece model ({error})", advice="Download it again."
        ) from error
    ids = {kind: getattr(processor, f"{kind}_id")() for kind in _KINDS}
    return {**config, **{f"{kind}_token_id": i for kind, i in ids.items() if i >= 0}}


def grown_tokenizer(base: Checkpoint, rows: int, added: Mapping[int, str]) -> GrownTokenizer:
    """The base's tokenizer with further tokens.

    Args:
        base: whose tokenizer it is.
        rows: of its embedding; what its tokenizer has beyond them does not count.
        added: by their ids.
    """
    folder = base.tokenizer.folder if isinstance(base.tokenizer, GrownTokenizer) else base.tokenizer
    return GrownTokenizer(folder, rows, dict(added))
