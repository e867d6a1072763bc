"""What the converter has to know of an architecture; `architectures` has one file for each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Generic, Literal, TypeVar

from gguf import MODEL_ARCH, GGUFWriter

from medbench_local.acquire.conversion.model_config import ModelConfig

C = TypeVar("C", bound=ModelConfig)
Given = TypeVar("Given", bound=ModelConfig, contravariant=True)
"""What serves any configuration serves those with more keys too."""

Shape = tuple[int, ...]


def never(_config: ModelConfig) -> bool:
    """A tensor that must be there."""
    return False


def always(_config: ModelConfig) -> bool:
    """A tensor that may be missing, whatever the configuration says."""
    return True


def trained_context(config: ModelConfig) -> int:
    """The whole context that the model was trained with."""
    return config.max_position_embeddings


def no_warnings(_config: ModelConfig) -> Iterable[str]:
    """llama.cpp computes the architecture as it was trained."""
    return ()


@dataclass(frozen=True)
class Part(Generic[Given]):
    """One of the layers whose matrices or biases a checkpoint keeps in one tensor, one after the other.

    Attributes:
        name: as the layer's own tensor would be called, with {layer} in it.
        outputs: how many outputs of the fused tensor are its own.
        heads: how many heads its rows are regrouped within; None for rows that stay as they are.
    """

    name: str
    outputs: Callable[[Given], int]
    heads: Callable[[Given], int] | None = None


@dataclass(frozen=True)
class ExpectedTensor(Generic[Given]):
    """A tensor that a checkpoint of the architecture holds, and what happens to it.

    Attributes:
        name: in the checkpoint; {layer} and {expert} stand for numbers from 0.
        shape: as PyTorch prints it, of one expert's if ``name`` has {expert}; the configuration's
            vocab_size is the number of rows that the embedding has.
        optional: whether it may be missing.
        experts: how many tensors are stacked into one, along a new first axis; needed if ``name`` has {expert}.
        heads: how many heads the rows are regrouped within, as `tensor_views.permuted` says; None for rows
            that stay as they are.
        shift: added to every value; the tensor is then F32.
        parts: what it is split into, in order; empty for a tensor that stays whole.
        key: of the metadata under which llama.cpp reads it, one number a layer; such a tensor has one value and is
            not written as a tensor.
        unless: a tensor in whose presence this one is missing, because that holds the same numbers; "" for none.
    """

    name: str
    shape: Callable[[Given], Shape]
    optional: Callable[[Given], bool] = never
    experts: Callable[[Given], int] | None = None
    heads: Callable[[Given], int] | None = None
    shift: float = 0.0
    parts: tuple[Part[Given], ...] = ()
    key: str = ""
    unless: str = ""


@dataclass(frozen=True)
class Refusal(Generic[Given]):
    """A value of config.json with which llama.cpp, or the converter, would give another model.

    Attributes:
        key: of config.json; an attribute of the configuration.
        applies: whether the value is one that is refused.
        reason: why, to end a sentence: "llama.cpp has no window here".
        advice: what to do about it.
    """

    key: str
    applies: Callable[[Given], bool]
    reason: str
    advice: str = "Convert it with llama.cpp's own converter, if that can, and give the GGUF file instead."


@dataclass(frozen=True)
class Architecture(Generic[C]):
    """Everything that is particular to an architecture.

    Attributes:
        classes: what config.json calls it, "LlamaForCausalLM".
        gguf: what llama.cpp calls it; also decides how tensors are named in the GGUF file.
        config: the type that config.json is read as.
        assumed: what transformers assumes where config.json has no such key.
        embedding: the tensor whose rows are the vocabulary.
        tensors: all that may be in a checkpoint, in the order in which they are written. Those with {layer} in
            their names that stand next to each other are repeated together for every layer.
        skipped: regular expressions for whole names of tensors that follow from config.json or that llama.cpp
            has no use for.
        refusals: what of a configuration cannot be served.
        write_keys: writes the metadata that are the architecture's own, after those that all have.
        warnings: what a person should know of a model with such a configuration.
        norm: what its norms divide by: the root of the mean square ("rms"), or that after subtracting the mean.
        zeros: regular expressions for whole names of tensors that llama.cpp has no place for, and that change
            nothing because they hold zeros only.
        prefixes: for a language model that is also found inside larger ones, as `views.wrapper.language_model` takes
            them; empty for one that stands alone.
        cut: tensors whose rows beyond config.json's vocab_size are left out; otherwise every row is a token.
        rope: the ways to stretch positions that llama.cpp follows, by their names in `RopeScaling`.
        states_head_size: whether the size of a head is written even where it follows from width and heads.
        context: tokens of the longest prompt that llama.cpp computes as the model was trained.
    """

    classes: tuple[str, ...]
    gguf: MODEL_ARCH
    config: type[C]
    assumed: Mapping[str, Any]
    embedding: str
    tensors: tuple[ExpectedTensor[C], ...]
    skipped: tuple[str, ...]
    refusals: tuple[Refusal[C], ...]
    write_keys: Callable[[GGUFWriter, C], None]
    warnings: Callable[[C], Iterable[str]] = no_warnings
    norm: Literal["rms", "layer"] = "rms"
    zeros: tuple[str, ...] = ()
    prefixes: Mapping[str, str] = field(default_factory=dict)
    cut: tuple[str, ...] = ()
    rope: tuple[str, ...] = ("linear", "llama3", "yarn")
    states_head_size: bool = True
    context: Callable[[C], int] = trained_context

    def expected(self, config: C) -> Iterator[tuple[ExpectedTensor[C], int]]:
        """Every tensor of a model with this configuration in order, with the number of its layer, or 0."""
        for layered, group in groupby(self.tensors, key=lambda tensor: "{layer}" in tensor.name):
            together = tuple(group)
            for layer in range(config.num_hidden_layers if layered else 1):
                for tensor in together:
                    yield tensor, layer


def linear(
    name: str,
    shape: Callable[[C], tuple[int, int]],
    *,
    heads: Callable[[C], int] | None = None,
    bias: Literal["none", "optional", "required"] = "none",
) -> tuple[ExpectedTensor[C], ...]:
    """The matrix of a layer, outputs by inputs, and its bias."""
    matrix: ExpectedTensor[C] = ExpectedTensor(f"{name}.weight", shape, heads=heads)
    if bias == "none":
        return (matrix,)
    vector: ExpectedTensor[C] = ExpectedTensor(
        f"{name}.bias",
        lambda config: shape(config)[:1],
        optional=always if bias == "optional" else never,
        heads=heads,
    )
    return (matrix, vector)
