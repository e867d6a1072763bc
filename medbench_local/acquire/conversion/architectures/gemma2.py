"""Gemma 2: norms around every part, soft-capped logits, a window in every second layer."""

from __future__ import annotations

from gguf import MODEL_ARCH, GGUFWriter

from medbench_local.acquire.conversion.architecture import (
    Architecture,
    ExpectedTensor,
    Refusal,
    linear,
)
from medbench_local.acquire.conversion.model_config import OTHER_ENGINE, ModelConfig, Positive, Size
from medbench_local.acquire.conversion.tensor_shapes import (
    attended,
    down,
    keys,
    queries,
    up,
    vocabulary,
    width,
)

EMBEDDING = "model.embed_tokens.weight"
LAYER = "model.layers.{layer}"
ATTENTION = f"{LAYER}.self_attn"


class GemmaConfig(ModelConfig):
    """What Gemma 2 and 3 have in common.

    Attributes:
        hidden_activation: of the feed-forward part; "hidden_act" counts for nothing here.
        query_pre_attn_scalar: queries are divided by its square root.
        sliding_window: tokens a position of a windowed layer attends to, itself included.
        layer_types: "sliding_attention" or "full_attention" of each layer; None for the usual order.
        attn_logit_softcapping: bound of the scores of attention; None for none.
        final_logit_softcapping: bound of the logits; None for none.
        use_bidirectional_attention: whether tokens see those behind them.
    """

    hidden_activation: str = "gelu_pytorch_tanh"
    query_pre_attn_scalar: Positive
    sliding_window: Size | None = None
    layer_types: list[str] | None = None
    attn_logit_softcapping: Positive | None = None
    final_logit_softcapping: Positive | None = None
    use_bidirectional_attention: bool | str = False
    attention_bias: bool = False


def windowed(config: GemmaConfig, every: int) -> list[bool]:
    """Which layers have a window; in the usual order all but the last of ``every``."""
    if config.layer_types is not None:
        return [kind != "full_attention" for kind in config.layer_types]
    return usual(config, every)


def usual(config: GemmaConfig, every: int) -> list[bool]:
    """Which layers have a window in llama.cpp's eyes."""
    return [(layer + 1) % every != 0 for layer in range(config.num_hidden_layers)]


def scale(config: GemmaConfig, layers_of_largest: int) -> int:
    """By whose root llama.cpp divides queries: it knows the largest model by its number of layers."""
    if config.num_hidden_layers == layers_of_largest:
        return config.hidden_size // config.num_attention_heads
    return config.head_dim


def common_refusals(layers_of_largest: int) -> tuple[Refusal[GemmaConfig], ...]:
    """What neither Gemma 2 nor Gemma 3 may have.

    Args:
        layers_of_largest: how llama.cpp recognises the model that scales queries differently.
    """
    return (
        Refusal(
            "hidden_activation",
            lambda config: config.hidden_activation != "gelu_pytorch_tanh",
            "llama.cpp computes it with gelu_pytorch_tanh",
            OTHER_ENGINE,
        ),
        Refusal(
            "query_pre_attn_scalar",
            lambda config: config.query_pre_attn_scalar != scale(config, layers_of_largest),
            "a GGUF file does not hold it, and llama.cpp takes head_dim, or hidden_size / num_attention_heads "
            f"where there are {layers_of_largest} layers",
            OTHER_ENGINE,
        ),
        Refusal(
            "use_bidirectional_attention",
            lambda config: bool(config.use_bidirectional_attention),
            "llama.cpp lets tokens see only those before them",
            OTHER_ENGINE,
        ),
        NO_BIAS,
        WHOLE_HEADS,
    )


NO_BIAS: Refusal[GemmaConfig] = Refusal(
    "attention_bias", lambda config: config.attention_bias, "llama.cpp has no bias here", OTHER_ENGINE
)
WHOLE_HEADS: Refusal[ModelConfig] = Refusal(
    "partial_rotary_factor",
    lambda config: config.partial_rotary_factor != 1,
    "llama.cpp rotates whole heads in this architecture",
    OTHER_ENGINE,
)


def layer_tensors(*norms: ExpectedTensor[GemmaConfig]) -> tuple[ExpectedTensor[GemmaConfig], ...]:
    """The tensors of a layer, with ``norms`` of queries and keys."""
    return (
        norm(f"{LAYER}.input_layernorm.weight"),
        *linear(f"{ATTENTION}.q_proj", queries),
        *linear(f"{ATTENTION}.k_proj", keys),
        *linear(f"{ATTENTION}.v_proj", keys),
        *norms,
        *linear(f"{ATTENTION}.o_proj", attended),
        norm(f"{LAYER}.post_attention_layernorm.weight"),
        norm(f"{LAYER}.pre_feedforward_layernorm.weight"),
        *linear(f"{LAYER}.mlp.gate_proj", up),
        *linear(f"{LAYER}.mlp.up_proj", up),
        *linear(f"{LAYER}.mlp.down_proj", down),
        norm(f"{LAYER}.post_feedforward_layernorm.weight"),
    )


def norm(name: str) -> ExpectedTensor[GemmaConfig]:
    """A norm, whose weights are stored as their distance from one."""
    return ExpectedTensor(name, width, shift=1.0)


def _write_keys(writer: GGUFWriter, config: GemmaConfig) -> None:
    if config.sliding_window and config.attn_logit_softcapping and config.final_logit_softcapping:
        writer.add_sliding_window(config.sliding_window)
        writer.add_attn_logit_softcapping(config.attn_logit_softcapping)
        writer.add_final_logit_softcapping(config.final_logit_softcapping)


ARCHITECTURE: Architecture[GemmaConfig] = Architecture(
    classes=("Gemma2ForCausalLM",),
    gguf=MODEL_ARCH.GEMMA2,
    config=GemmaConfig,
    assumed={
        "vocab_size": 256000,
        "hidden_size": 2304,
        "intermediate_size": 9216,
        "num_hidden_layers": 26,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "max_position_embeddings": 8192,
        "tie_word_embeddings": True,
        "query_pre_attn_scalar": 256,
        "sliding_window": 4096,
        "attn_logit_softcapping": 50.0,
        "final_logit_softcapping": 30.0,
    },
    embedding=EMBEDDING,
    tensors=(ExpectedTensor(EMBEDDING, vocabulary), *layer_tensors(), norm("model.norm.weight")),
    # the output matrix is the embedding; some checkpoints store it twice
    skipped=(r".*\.rotary_emb\.inv_freq", r"lm_head\.weight"),
    refusals=(
        *common_refusals(46),
        Refusal(
            "tie_word_embeddings",
            lambda config: not config.tie_word_embeddings,
            "llama.cpp takes the embedding for the output matrix",
            OTHER_ENGINE,
        ),
        Refusal(
            "attn_logit_softcapping",
            lambda config: config.attn_logit_softcapping is None,
            "llama.cpp always bounds the scores of attention here",
            OTHER_ENGINE,
        ),
        Refusal(
            "final_logit_softcapping",
            lambda config: config.final_logit_softcapping is None,
            "llama.cpp always bounds the logits here",
            OTHER_ENGINE,
        ),
        Refusal(
            "sliding_window",
            lambda config: config.sliding_window is None,
            "llama.cpp always has a window here",
            OTHER_ENGINE,
        ),
        Refusal(
            "layer_types",
            lambda config: windowed(config, 2) != usual(config, 2),
            "llama.cpp gives a window to every second layer, the first among them",
            OTHER_ENGINE,
        ),
    ),
    write_keys=_write_keys,
    rope=("linear",),
)
