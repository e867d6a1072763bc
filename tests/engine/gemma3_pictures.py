"""A tiny Gemma 3 with a SigLIP tower, as transformers' own classes have it, and its projector file.

The projector file is written here after the names that llama.cpp reads; `tests/acquire` holds the package's own against
llama.cpp's converter.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from contextlib import redirect_stderr
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file
from sentencepiece import SentencePieceProcessor

from medbench_local.acquire.conversion.convert import convert_checkpoint
from medbench_local.engine.base import EngineOptions, Tokens
from medbench_local.tasks.picture import Picture
from tests.acquire.checkpoints import SPM_CONFIG, small_sentencepiece, write_json, write_weights
from tests.acquire.conversion.checkpoints_of import fill
from tests.acquire.conversion.checkpoints_of.gemma3 import TEXT

SIDE, PATCH, INNER, ROWS = 112, 14, 64, 4
"""8 x 8 patches that become 2 x 2 rows."""

MARKS = ("<start_of_turn>", "<end_of_turn>", "<start_of_image>", "<end_of_image>", "<image_soft_token>")
VISION = {
    "model_type": "siglip_vision_model",
    "hidden_size": INNER,
    "intermediate_size": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "image_size": SIDE,
    "patch_size": PATCH,
}
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n"
    "{% if m.content is string %}{{ m.content | trim }}{% else %}{% for part in m.content %}"
    "{% if part.type == 'image' %}<start_of_image>{% else %}{{ part.text | trim }}{% endif %}{% endfor %}{% endif %}"
    "<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
"""As Gemma's, shortened."""


def pieces() -> bytes:
    """The vocabulary: control tokens of a conversation and of pictures among few others."""
    return small_sentencepiece(add_dummy_prefix=False, control_symbols=",".join(MARKS))


@dataclass(frozen=True)
class Seeing:
    """A model that sees pictures, on the disk: ``model.gguf`` and ``mmproj.gguf`` of a checkpoint in a folder."""

    folder: Path

    @property
    def gguf(self) -> Path:
        return self.folder / "pair" / "model.gguf"

    @property
    def projector(self) -> Path:
        return self.folder / "pair" / "mmproj.gguf"

    def options(self, **changes: Any) -> EngineOptions:
        return EngineOptions(**{"n_ctx": 512, "threads": 1, "vision": str(self.projector), **changes})

    @cached_property
    def torch_model(self) -> Any:
        kind = transformers.Gemma3ForConditionalGeneration
        return kind.from_pretrained(self.folder, dtype=torch.float32, attn_implementation="eager").eval()

    def rows(self, pixels: torch.Tensor) -> NDArray[np.float32]:
        """What the tower and the projector make of a picture that fits, normalised."""
        with torch.no_grad():
            found = self.torch_model.model.get_image_features(pixels).pooler_output
        return np.asarray(found[0])

    def logprobs(self, tokens: Tokens, pictures: Mapping[int, NDArray[np.uint8]]) -> NDArray[np.float64]:
        """Of every token behind a prompt.

        Args:
            tokens: with ids beyond the vocabulary.
            pictures: that fit, by the first of their ids.
        """
        vocabulary = self.torch_model.config.text_config.vocab_size
        soft = MARKS.index("<image_soft_token>") + 3
        ids = torch.tensor([[soft if token >= vocabulary else token for token in tokens]])
        shown = [normalised(pictures[token]) for token in tokens if token in pictures]
        with torch.no_grad():
            logits = self.torch_model(
                input_ids=ids, pixel_values=torch.cat(shown), token_type_ids=(ids == soft).long()
            ).logits
        return np.asarray(logits[0, -1].double().log_softmax(-1))


def normalised(pixels: NDArray[np.uint8]) -> torch.Tensor:
    return torch.tensor((pixels.astype(np.float32) / 255 - 0.5) / 0.5).permute(2, 0, 1)[None]


def write_seeing(folder: Path, precision: str = "f32", seed: int = 0) -> Seeing:
    """A random model, its GGUF in float32, and its projector file."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = SentencePieceProcessor(model_proto=pieces()).GetPieceSize()
    first = MARKS.index("<start_of_image>") + 3
    config = {
        "architectures": ["Gemma3ForConditionalGeneration"],
        "model_type": "gemma3",
        "text_config": {**TEXT, "vocab_size": vocabulary},
        "vision_config": VISION,
        "mm_tokens_per_image": ROWS,
        "boi_token_index": first,
        "eoi_token_index": first + 1,
        "image_token_index": first + 2,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "torch_dtype": "float32",
    }
    write_json(folder / "config.json", config)
    model = transformers.Gemma3ForConditionalGeneration(transformers.AutoConfig.from_pretrained(folder))
    _fill(model, seed)
    with redirect_stderr(io.StringIO()):
        model.save_pretrained(folder, save_original_format=True)
    tensors = load_file(folder / "model.safetensors")
    # as the models on the hub have it, and transformers before 5
    write_weights(folder, {_on_the_hub(name): tensor for name, tensor in tensors.items()})
    write_json(folder / "config.json", config)
    (folder / "generation_config.json").unlink(missing_ok=True)
    (folder / "tokenizer.model").write_bytes(pieces())
    write_json(folder / "tokenizer_config.json", {**SPM_CONFIG, "chat_template": TEMPLATE})
    preparation = {
        "image_processor_type": "Gemma3ImageProcessor",
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "image_seq_length": ROWS,
        "resample": 2,
        "size": {"height": SIDE, "width": SIDE},
    }
    write_json(folder / "preprocessor_config.json", preparation)
    seeing = Seeing(folder)
    seeing.gguf.parent.mkdir(exist_ok=True)
    convert_checkpoint(folder, seeing.gguf, file_type="f32")
    write_projector(seeing.projector, tensors, precision)
    return seeing


def _fill(model: Any, seed: int) -> None:
    """Random weights that keep the size of what goes through them, and let every picture look different."""
    fill(model, 0.0)
    generator = torch.Generator().manual_seed(seed)
    for name, values in model.named_parameters():
        noise = torch.randn(values.shape, generator=generator)
        if "post_attention_layernorm" in name or "post_feedforward_layernorm" in name:
            values.data = values.data - 0.85
        if "vision_tower" in name and "norm" in name:
            values.data = 0.3 * noise + name.endswith("weight")
        elif "position_embedding" in name:
            values.data = 0.5 * noise
        elif "patch_embedding.weight" in name:
            values.data = 1.6 * noise / (3 * PATCH**2) ** 0.5
        elif "mm_input_projection" in name:
            values.data = noise / INNER**0.5


def _on_the_hub(name: str) -> str:
    return name.replace("vision_tower.", "vision_tower.vision_model.", "vision_model" not in name)


def projector_keys(writer: gguf.GGUFWriter, **changes: Any) -> None:
    """The header of a projector file.

    Args:
        writer: gets it.
        changes: "kind", "rows" (patches of a side that become one), "side", "width".
    """
    writer.add_type("mmproj")
    writer.add_clip_has_vision_encoder(True)
    writer.add_clip_projector_type(changes.get("kind", "gemma3"))
    writer.add_vision_projection_dim(changes.get("width", TEXT["hidden_size"]))
    writer.add_vision_image_size(changes.get("side", SIDE))
    writer.add_vision_patch_size(PATCH)
    writer.add_vision_embedding_length(INNER)
    writer.add_vision_feed_forward_length(VISION["intermediate_size"])
    writer.add_vision_block_count(VISION["num_hidden_layers"])
    writer.add_vision_head_count(VISION["num_attention_heads"])
    writer.add_vision_image_mean([0.5, 0.5, 0.5])
    writer.add_vision_image_std([0.5, 0.5, 0.5])
    writer.add_vision_attention_layernorm_eps(1e-6)
    writer.add_vision_use_gelu(True)
    if "rows" in changes:
        writer.add_vision_projector_scale_factor(changes["rows"])


_NAMES = {
    "embeddings.patch_embedding": "v.patch_embd",
    "embeddings.position_embedding": "v.position_embd",
    "post_layernorm": "v.post_ln",
    "layer_norm1": "ln1",
    "layer_norm2": "ln2",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.out_proj": "attn_out",
    "mlp.fc1": "ffn_up",
    "mlp.fc2": "ffn_down",
}


def projector_tensors(tensors: Mapping[str, torch.Tensor]) -> dict[str, NDArray[np.float32]]:
    """The tensors of a projector file of transformers' ones in float32."""
    found = {}
    for name, tensor in tensors.items():
        short = name.split("vision_tower.")[-1].removeprefix("vision_model.")
        layer, _, half = short.rpartition(".")
        if "mm_input_projection" in name:
            found["mm.input_projection.weight"] = tensor
        elif "mm_soft_emb_norm" in name:
            found["mm.soft_emb_norm.weight"] = tensor + 1
        elif short.startswith("encoder.layers."):
            number, _, part = layer.removeprefix("encoder.layers.").partition(".")
            found[f"v.blk.{number}.{_NAMES[part]}.{half}"] = tensor
        elif layer in _NAMES:
            found[f"{_NAMES[layer]}.{half}"] = tensor
    return {name: np.asarray(tensor.float()) for name, tensor in found.items()}


def write_projector(
    path: Path, tensors: Mapping[str, torch.Tensor], precision: str = "f32", **changes: Any
) -> Path:
    """A projector file in a precision.

    Args:
        path: of it.
        tensors: by transformers' names.
        precision: of the matrices of the tower's layers.
        changes: as of `projector_keys`; "more" are further tensors.
    """
    writer = gguf.GGUFWriter(path, "clip")
    projector_keys(writer, **changes)
    types = {
        "f32": gguf.GGMLQuantizationType.F32,
        "f16": gguf.GGMLQuantizationType.F16,
        "bf16": gguf.GGMLQuantizationType.BF16,
        "q8_0": gguf.GGMLQuantizationType.Q8_0,
    }
    for name, values in {**projector_tensors(tensors), **changes.get("more", {})}.items():
        matrix = name.startswith("v.blk.") and values.ndim == 2
        kind = types[precision if matrix else "f32"]
        writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def picture(folder: Path, number: int) -> Picture:
    """A picture of its own shape and colours: smooth, with edges."""
    rng = np.random.default_rng(number)
    small = Image.fromarray(rng.integers(0, 256, (3 + number % 5, 4 + number % 3, 3), dtype=np.uint8))
    size = (90 + 61 * number % 400, 70 + 37 * number % 300)
    path = folder / f"picture {number}.png"
    small.resize(size, Image.Resampling.BICUBIC if number % 2 else Image.Resampling.NEAREST).save(path)
    return Picture(hashlib.sha256(path.read_bytes()).hexdigest(), path.name, path)


def fitted(shown: Picture) -> NDArray[np.uint8]:
    """The picture as transformers' processor of Gemma 3 resizes it: stretched."""
    opened = Image.open(shown.path).convert("RGB")
    return np.asarray(opened.resize((SIDE, SIDE), Image.Resampling.BILINEAR))
