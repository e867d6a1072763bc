"""OLMo 3: OLMo 2 with windows in most layers, whose positions are never stretched."""

from __future__ import annotations

from gguf import GGUFWriter

from medbench_local.acquire.conversion.architecture import Architecture, Refusal
from medbench_local.acquire.conversion.architectures import olmo2
from medbench_local.acquire.conversion.layer_windows import WindowedConfig, windowed
from medbench_local.acquire.conversion.model_config import OTHER_ENGINE, Positive


class Olmo3Config(WindowedConfig, olmo2.Olmo2Config):
    """The configuration of an OLMo 3 model.

    Attributes:
        rope_local_base_freq: what rope_theta is in the layers with a window; None for the same.
    """

    rope_local_base_freq: Positive | None = None


def _windows(config: Olmo3Config) -> list[bool]:
    return windowed(config, 4)


def _write_keys(writer: GGUFWriter, config: Olmo3Config) -> None:
    writer.add_rope_freq_base_swa(config.rope_theta)
    if config.sliding_window is not None:
        writer.add_sliding_window(config.sliding_window)
        writer.add_sliding_window_pattern(_windows(config))


ARCHITECTURE: Architecture[Olmo3Config] = Architecture(
    classes=("Olmo3ForCausalLM",),
    gguf=olmo2.ARCHITECTURE.gguf,
    config=Olmo3Config,
    assumed={**olmo2.ARCHITECTURE.assumed, "rope_theta": 500000.0, "sliding_window": 4096},
    embedding=olmo2.ARCHITECTURE.embedding,
    tensors=olmo2.ARCHITECTURE.tensors,
    skipped=olmo2.ARCHITECTURE.skipped,
    refusals=(
        *olmo2.ARCHITECTURE.refusals,
        Refusal(
            "sliding_window",
            lambda config: config.sliding_window is None and any(_windows(config)),
            "layers with a window need its size",
            OTHER_ENGINE,
        ),
        Refusal(
            "layer_types",
            lambda config: len(_windows(config)) != config.num_hidden_layers,
            "it does not name one kind for each of num_hidden_layers",
            "Mend config.json in a copy of the checkpoint.",
        ),
        Refusal(
            "rope_local_base_freq",
            lambda config: config.rope_local_base_freq not in (None, config.rope_theta),
            "llama.cpp takes the same rope_theta for all layers here",
            OTHER_ENGINE,
        ),
    ),
    write_keys=_write_keys,
    rope=("linear", "yarn"),
    states_head_size=False,
)
