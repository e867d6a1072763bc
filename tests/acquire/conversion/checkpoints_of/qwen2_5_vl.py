"""The language model of Qwen2.5-VL, with its pictures' part beside it."""

from __future__ import annotations

from tests.acquire.conversion.checkpoints_of import SMALL, Made, qwen2

TEXT = {
    **{key: value for key, value in qwen2.CONFIG.items() if key not in ("architectures", "model_type")},
    "rope_scaling": {"type": "mrope", "mrope_section": [8, 12, 12]},
}
PICTURES = {
    "depth": 1,
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_heads": 2,
    "out_hidden_size": SMALL["hidden_size"],
    "fullatt_block_indexes": [0],
}
KIND = {"architectures": ["Qwen2_5_VLForConditionalGeneration"], "model_type": "qwen2_5_vl"}


MADE = {
    "": Made(
        {**KIND, **TEXT, "vision_config": PICTURES},
        official="qwen2vl",
        exceptions={
            "general.architecture": "llama.cpp leaves the epsilon of norms out in theirs",
            "qwen2.rope.dimension_sections": "the parts of a position are the same in a text",
        },
    ),
    "by names in memory": Made({**KIND, **TEXT, "vision_config": PICTURES}, fused=True, same_as="qwen2_5_vl"),
}
