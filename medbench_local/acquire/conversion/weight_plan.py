"""Which tensor of a checkpoint becomes which tensor of the GGUF file, checked before anything is written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gguf import MODEL_ARCH, get_tensor_name_map

from medbench_local.acquire.conversion.checkpoint import Checkpoint
from medbench_local.acquire.conversion.model_config import ModelConfig
from medbench_local.acquire.conversion.stored_tensor import MAPPED, StoredTensor
from medbench_local.errors import AcquireError, InputError

EMBEDDING = "model.embed_tokens.weight"


@dataclass(frozen=True)
class Weight:
    """One tensor on its way.

    Attributes:
        name: in the GGUF file, "blk.0.attn_q.weight".
        source: in the checkpoint.
        heads: rows are regrouped within this many heads (queries and keys), or 0.
    """

    name: str
    source: StoredTensor
    heads: int = 0


@dataclass(frozen=True)
class _Expected:
    name: str
    shape: tuple[int, ...]
    heads: int = 0
    optional: bool = False


def embedding_rows(checkpoint: Checkpoint) -> int:
    """Rows of the embedding matrix: the true size of the vocabulary, whatever the configuration says.

    Raises:
        InputError: there is no embedding matrix.
    """
    tensor = checkpoint.tensors.get(EMBEDDING)
    if tensor is None or len(tensor.shape) != 2 or not 0 < tensor.shape[0] < 1 << 24:
        raise InputError(
            checkpoint.folder, f"tensor '{EMBEDDING}'", "missing, or not a matrix of plausible size"
        )
    return tensor.shape[0]


def plan_weights(checkpoint: Checkpoint, config: ModelConfig) -> list[Weight]:
    """Match the checkpoint's tensors with the architecture's.

    Returns:
        The tensors to write, in the order of the architecture, whatever the order and number of files.

    Raises:
        InputError: a tensor is missing, unknown, or has a shape that contradicts config.json.
        AcquireError: a tensor of a type that cannot be converted.
    """
    names = get_tensor_name_map(MODEL_ARCH.LLAMA, config.num_hidden_layers)
    left = {name: tensor for name, tensor in checkpoint.tensors.items() if not _is_computed(name)}
    weights = []
    for expected in _architecture(config, embedding_rows(checkpoint)):
        source = left.pop(expected.name, None)
        if source is None:
            if expected.optional:
                continue
            raise InputError(checkpoint.folder, f"tensor '{expected.name}'", "missing from the weight files")
        _check(source, expected)
        name = names.get_name(expected.name, try_suffixes=(".weight", ".bias"))
        weights.append(Weight(str(name), source, expected.heads))
    if left:
        tensor = next(iter(left.values()))
        raise InputError(tensor.path, f"tensor {tensor.name!r:.120}", f"not part of a {config.architecture}")
    return weights


def _is_computed(name: str) -> bool:
    """Old checkpoints hold the rotary frequencies, which follow from config.json."""
    return name.endswith(".rotary_emb.inv_freq")


def _architecture(config: ModelConfig, rows: int) -> Iterator[_Expected]:
    width, inner = config.hidden_size, config.intermediate_size
    heads, shared = config.num_attention_heads, config.num_key_value_heads
    queries, keys = heads * config.head_dim, shared * config.head_dim
    yield _Expected(EMBEDDING, (rows, width))
    for i in range(config.num_hidden_layers):
        layer = f"model.layers.{i}"
        yield _Expected(f"{layer}.input_layernorm.weight", (width,))
        for part, outputs, inputs, permuted in (
            ("self_attn.q_proj", queries, width, heads),
            ("self_attn.k_proj", keys, width, shared),
            ("self_attn.v_proj", keys, width, 0),
            ("self_attn.o_proj", width, queries, 0),
        ):
            yield _Expected(f"{layer}.{part}.weight", (outputs, inputs), permuted)
            yield _Expected(f"{layer}.{part}.bias", (outputs,), permuted, optional=True)
        yield _Expected(f"{layer}.post_attention_layernorm.weight", (width,))
        for part, outputs, inputs in (
            ("mlp.gate_proj", inner, width),
            ("mlp.up_proj", inner, width),
            ("mlp.down_proj", width, inner),
        ):
            yield _Expected(f"{layer}.{part}.weight", (outputs, inputs))
            yield _Expected(f"{layer}.{part}.bias", (outputs,), optional=True)
    yield _Expected("model.norm.weight", (width,))
    # without an output matrix llama.cpp takes the embedding; some tied checkpoints store it twice
    yield _Expected("lm_head.weight", (rows, width), optional=config.tie_word_embeddings)


def _check(tensor: StoredTensor, expected: _Expected) -> None:
    where = f"tensor '{tensor.name}'"
    if tensor.shape != expected.shape:
        problem = f"shape {list(tensor.shape)}, config.json asks for {list(expected.shape)}"
        raise InputError(tensor.path, where, problem)
    if tensor.dtype not in MAPPED:
        raise AcquireError(
            f"{tensor.path}, {where}: elements of type {tensor.dtype} cannot be converted; "
            f"supported are {', '.join(MAPPED)}.",
            advice="Use a checkpoint in 16 or 32 bits.",
        )
