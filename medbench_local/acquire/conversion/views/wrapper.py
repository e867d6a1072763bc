"""A language model inside a larger one, whose tensors carry a prefix and whose configuration is a part."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from medbench_local.acquire.conversion.checkpoint import Checkpoint, CheckpointView
from medbench_local.acquire.conversion.tensor_views import outputs
from medbench_local.errors import InputError


def language_model(checkpoint: Checkpoint, prefixes: Mapping[str, str]) -> CheckpointView:
    """The language model of a multimodal checkpoint.

    Args:
        checkpoint: the whole.
        prefixes: how the names of the language model's tensors begin, and what stands there instead:
            {"language_model.": ""}. Of two that fit the longer one holds; the empty one fits all. Tensors that
            none fits are left out.

    Returns:
        The tensors under their own names; of config.json the keys of "text_config", and the others where that
        says nothing. The class is that of the whole where the part has none.

    Raises:
        InputError: no tensor has one of the prefixes, or two would have the same name; "text_config" is not
            an object.
    """
    tensors = {}
    for name, tensor in checkpoint.tensors.items():
        prefix = max((prefix for prefix in prefixes if name.startswith(prefix)), key=len, default=None)
        if prefix is None:
            continue
        inner = prefixes[prefix] + name.removeprefix(prefix)
        if inner in tensors:
            raise InputError(tensor.path, f"tensor {name!r:.120}", f"a second {inner!r:.120}")
        tensors[inner] = tensor
    if not tensors:
        wanted = " or ".join(repr(prefix) for prefix in prefixes)
        raise InputError(checkpoint.origin, "", f"no tensor whose name begins with {wanted}")
    text = checkpoint.config.get("text_config", {})
    if not isinstance(text, dict):
        raise InputError(checkpoint.config_file, "key 'text_config'", f"expected an object, not {text!r:.80}")
    return CheckpointView(
        origin=checkpoint.origin,
        config={**checkpoint.config, **{k: v for k, v in text.items() if k != "architectures" or v}},
        config_file=checkpoint.config_file,
        tokenizer=checkpoint.tokenizer,
        tensors=tensors,
    )


def with_rows(checkpoint: Checkpoint, names: Collection[str], rows: int) -> CheckpointView:
    """``checkpoint`` without the rows from ``rows`` on of the tensors ``names``, where they have more."""
    cut = {
        name: outputs(tensor, 0, rows)
        for name, tensor in checkpoint.tensors.items()
        if name in names and len(tensor.shape) == 2 and tensor.shape[0] > rows
    }
    return CheckpointView(
        origin=checkpoint.origin,
        config=checkpoint.config,
        config_file=checkpoint.config_file,
        tokenizer=checkpoint.tokenizer,
        tensors={**checkpoint.tensors, **cut},
    )
