"""What the catalog says of a model without having seen it, held against the model's own files."""

from __future__ import annotations

from medbench_local.catalog.model import ModelEntry
from medbench_local.errors import NotFoundError
from medbench_local.files.gguf_header import GgufHeader

_NEAR = 0.05
"""Vision weights that are skipped, or rows that are padding, make no other model."""


def differences(entry: ModelEntry, header: GgufHeader) -> tuple[str, ...]:
    """Unconfirmed facts that the converted file contradicts, one sentence each; the file is what counts."""
    found = []
    if "context" in entry.unconfirmed and header.context not in (0, entry.context):
        found.append(
            f"The catalog says of {entry.name} a trained context of {entry.context:,} tokens, unconfirmed; its files "
            f"say {header.context:,}, which counts."
        )
    if "parameters" in entry.unconfirmed and abs(header.parameters / entry.parameters - 1) > _NEAR:
        found.append(
            f"The catalog says of {entry.name} {entry.parameters / 1e9:.2f} billion weights, unconfirmed; its files "
            f"hold {header.parameters / 1e9:.2f} billion."
        )
    return tuple(found)


def with_doubt(error: NotFoundError, entry: ModelEntry | None) -> NotFoundError:
    """The same error; where nobody confirmed the repository's name, the advice says that it may be wrong."""
    if entry is None or "repository" not in entry.unconfirmed:
        return error
    return NotFoundError(
        error.message,
        advice=f"The catalog's repository of {entry.name} is unconfirmed: look for the model on the hub and write "
        "hf:owner/name.",
    )
