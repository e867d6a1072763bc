"""Gemma 2: norms around every part, soft-capped logits, a window in every second layer."""

from __future__ import annotations

from gguf import MODEL_ARCH, GGUFWriter

from medbench_local.acquire.conversion.architecture import Architecture, ExpectedTensor, Refusal
from medbench_local.acquire.conversion.layer_windows import NO_WINDOW_SIZE, WindowedConfig, usual, windowed
from medbench_local.acquire.conversion.layers import EMBEDDING, FEED_FORWARD, LAYER, OUTPUT, PROJECTIONS
from medbench_local.acquire.conversion.model_config import OTHER_ENGINE, Positive
from medbench_local.acquire.conversion.refusals import TIED, WHOLE_HEADS
from medbench_local.acquire.conversion.tensor_shapes import vocabulary, width


class GemmaConfig(WindowedConfig):
    """What Gemma 2 and 3 have in common.

    Attributes:
        hidden_activation: of the feed-forward part; "hidden_act" counts for nothing here.
        query_pre_attn_scalar: queries are divided by its square root.
        attn_logit_softcapping: bound of the scores of attention; None for none.
        final_logit_softcapping: bound of the logits; None for none.
        use_bidirectional_attention: whether tokens see those behind them.
    """

    hidden_activation: str = "gelu_pytorch_tanh"
    query_pre_attn_scalar: Positive
    attn_logit_softcapping: Positive | None = None
    final_logit_softcapping: Positive | None = None
    use_bidirectional_attention: bool | str = False
    attention_bias: bool = False


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


def layer_tensors(*norms: ExpectedTensor[GemmaConfig]) -> tuple[ExpectedTensor[GemmaConfig], ...]:
    """The tensors of a layer, with ``norms`` of queries and keys."""
    return (
        norm(f"{LAYER}.input_layernorm.weight"),
        *PROJECTIONS,
        *norms,
        *OUTPUT,
        norm(f"{LAYER}.post_attention_layernorm.weight"),
        norm(f"{LAYER}.pre_feedforward_layernorm.weight"),
        *FEED_FORWARD,
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
        TIED,
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
        NO_WINDOW_SIZE,
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
