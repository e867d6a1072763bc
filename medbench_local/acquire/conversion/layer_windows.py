"""Which layers attend to a window, where a checkpoint has both kinds."""

from __future__ import annotations

from medbench_local.acquire.conversion.architecture import Refusal
from medbench_local.acquire.conversion.model_config import OTHER_ENGINE, ModelConfig, Size


class WindowedConfig(ModelConfig):
    """The configuration of a model whose layers may each have a window or none.

    Attributes:
        sliding_window: tokens a position of a windowed layer attends to, itself included.
        layer_types: "sliding_attention" or "full_attention" of each layer; None for the usual order.
    """

    sliding_window: Size | None = None
    layer_types: list[str] | None = None


def windowed(config: WindowedConfig, every: int) -> list[bool]:
    """Which layers have a window; in the usual order all but the last of ``every``."""
    if config.layer_types is not None:
        return [kind != "full_attention" for kind in config.layer_types]
    return usual(config, every)


def usual(config: ModelConfig, every: int) -> list[bool]:
    """Which layers have a window in llama.cpp's eyes: all but the last of ``every``."""
    return [(layer + 1) % every != 0 for layer in range(config.num_hidden_layers)]


NO_WINDOW_SIZE: Refusal[WindowedConfig] = Refusal(
    "sliding_window",
    lambda config: config.sliding_window is None,
    "llama.cpp always has a window here",
    OTHER_ENGINE,
)
