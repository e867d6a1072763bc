"""Tiny models that are shown pictures, and what torch says of them.

The language models are random Llamas in transformers' layout, which the package's own converter converts; features of
pictures are random. What torch computes is written after the papers and the specification, not after the package.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from sentencepiece import SentencePieceProcessor
from torch.nn import functional

from medbench_local.acquire.conversion.convert import convert_checkpoint
from medbench_local.engine.base import EngineOptions, PictureTokens, Tokens
from medbench_local.engine.llama import LlamaEngine
from medbench_local.vision.parts import VisionParts, write_vision
from tests.acquire.checkpoints import (
    SPM_CONFIG,
    config,
    shapes,
    small_sentencepiece,
    write_json,
    write_weights,
)

WIDTH = 256  # rows that take K-quants
TOWER = 48
ROWS = 16
LATENTS = 8
BLOCKS = (1, 3)
SHOWN = "<im_start>", "<im_patch>", "<im_end>"
TAGGED = "<|endofchunk|>", "<image>"
QUESTION = "Question: A man has chest pain that radiates to the left arm. What is the next best step?\n"


def random(seed: int, *shape: int, scale: float | None = None) -> torch.Tensor:
    """Random weights that keep the size of what goes through them."""
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return values * (shape[-1] ** -0.5 if scale is None else scale)


@dataclass(frozen=True)
class Seeing:
    """A model that is shown pictures, on the disk.

    Attributes:
        folder: with the checkpoint, "model.gguf" and "vision.safetensors".
        parts: how it is shown pictures.
        weights: of ``vision.safetensors``.
    """

    folder: Path
    parts: VisionParts
    weights: dict[str, torch.Tensor]

    @property
    def gguf(self) -> Path:
        return self.folder / "model.gguf"

    @property
    def vision(self) -> Path:
        return self.folder / "vision.safetensors"

    def options(self, **changes: Any) -> EngineOptions:
        return EngineOptions(**{"n_ctx": 1024, "threads": 1, "vision": str(self.vision), **changes})

    def engine(self, **changes: Any) -> LlamaEngine:
        return LlamaEngine(self.gguf, self.options(**changes))

    @cached_property
    def torch_model(self) -> Any:
        return transformers.LlamaForCausalLM.from_pretrained(self.folder, dtype=torch.float32).eval()

    def features(self, number: int) -> torch.Tensor:
        """What the tower would say of a picture."""
        return random(1000 + number, self.parts.rows, TOWER, scale=1.0)

    def feature_file(self, number: int) -> str:
        """The same, where the package keeps it."""
        path = self.folder / f"picture {number}.npy"
        if not path.exists():
            write_features(path, self.features(number).numpy())
        return str(path)

    def shown(self, *pictures: int, unit: int) -> PictureTokens:
        """The ``unit``-th range of ids for one picture, or for several that are looked at alike."""
        size = self.parts.rows if self.parts.kind == "llava" else 1
        return PictureTokens(self.vocabulary + unit * size, tuple(map(self.feature_file, pictures)))

    @cached_property
    def vocabulary(self) -> int:
        return int(self.torch_model.config.vocab_size)

    def ids(self, *texts: str) -> list[int]:
        """The ids of added tokens."""
        added = SHOWN if self.parts.kind == "llava" else TAGGED
        return [400 + added.index(text) for text in texts]


def write_features(path: Path, features: Any) -> None:
    """Features of a picture, and behind them a hash of their file."""
    buffer = io.BytesIO()
    np.save(buffer, features)
    path.write_bytes(buffer.getvalue() + hashlib.sha256(buffer.getvalue()).digest())


def write_llama(folder: Path, added: Sequence[str]) -> Path:
    """A random checkpoint whose tokenizer has added control tokens from id 400 on, and its GGUF in float32."""
    values = config(
        hidden_size=WIDTH,
        intermediate_size=WIDTH,
        num_hidden_layers=4,
        num_key_value_heads=2,
        vocab_size=400 + len(added),
    )
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "config.json", values)
    generator = torch.Generator().manual_seed(7)
    state = {}
    for name, shape in shapes(values).items():
        noise = torch.randn(shape, generator=generator)
        state[name] = (
            1 + 0.2 * noise if len(shape) == 1 else noise * (1 if "proj" in name else 3) / shape[-1] ** 0.5
        )
    write_weights(folder, state)
    (folder / "tokenizer.model").write_bytes(small_sentencepiece())
    entries = {str(400 + i): {"content": text, "special": True} for i, text in enumerate(added)}
    write_json(folder / "tokenizer_config.json", {**SPM_CONFIG, "added_tokens_decoder": entries})
    convert_checkpoint(folder, folder / "model.gguf", file_type="f32")
    return folder


def _finish(folder: Path, parts: VisionParts, weights: dict[str, torch.Tensor]) -> Seeing:
    write_vision(folder / "vision.safetensors", parts, {name: w.numpy() for name, w in weights.items()})
    return Seeing(folder, parts, weights)


def write_llava(folder: Path, *, tokens: bool = True, rows: int = ROWS) -> Seeing:
    """A model in which pictures take the place of tokens: with added tokens and one matrix, or without and two."""
    write_llama(folder, SHOWN if tokens else ())
    begin, patch, end = SHOWN if tokens else ("", "", "")
    parts = VisionParts(
        "llava", "0" * 64, -2, "floor", "crop" if tokens else "pad", rows, WIDTH,
        projector="linear" if tokens else "mlp2x_gelu", begin=begin, patch=patch, end=end,
    )  # fmt: skip
    weights = {"projector.0.weight": 8 * random(1, WIDTH, TOWER), "projector.0.bias": random(2, WIDTH)}
    if not tokens:
        weights |= {"projector.2.weight": random(3, WIDTH, WIDTH), "projector.2.bias": random(4, WIDTH)}
    return _finish(folder, parts, weights)


def write_flamingo(folder: Path, *, gates: float = 0.7) -> Seeing:
    """A model with gated blocks before two of its four layers, the last one among them."""
    write_llama(folder, TAGGED)
    parts = VisionParts(
        "flamingo",
        "0" * 64,
        -1,
        "bankers",
        "crop",
        ROWS,
        WIDTH,
        tag="<image>",
        blocks=BLOCKS,
        latents=LATENTS,
    )
    inner, hidden = 128, 96
    names: dict[str, tuple[int, ...]] = {"resampler.latents": (LATENTS, TOWER)}

    def norm(name: str, size: int) -> None:
        names.update({f"{name}.weight": (size,), f"{name}.bias": (size,)})

    def layer(attention: str, ff: str, asking: int) -> None:
        names.update(
            {
                f"{attention}.to_q.weight": (inner, asking),
                f"{attention}.to_kv.weight": (2 * inner, TOWER),
                f"{attention}.to_out.weight": (asking, inner),
                f"{ff}.1.weight": (hidden, asking),
                f"{ff}.3.weight": (asking, hidden),
            }
        )
        norm(f"{ff}.0", asking)

    norm("post_layernorm", TOWER)
    norm("resampler.norm", TOWER)
    for number in range(2):
        own = f"resampler.layers.{number}"
        layer(f"{own}.0", f"{own}.1", TOWER)
        norm(f"{own}.0.norm_media", TOWER)
        norm(f"{own}.0.norm_latents", TOWER)
    for number in BLOCKS:
        own = f"blocks.{number}"
        layer(f"{own}.attn", f"{own}.ff", WIDTH)
        norm(f"{own}.attn.norm", WIDTH)
    # The checkpoint's names of a resampler's second half have one more number.
    weights = {}
    for seed, (name, shape) in enumerate(names.items()):
        near_one = name.endswith("weight") and len(shape) == 1
        weights[name] = near_one + random(seed, *shape, scale=0.2 if len(shape) == 1 else None)
        if name.endswith(("to_q.weight", "to_out.weight")):
            weights[name] *= 3
    for number in BLOCKS:
        weights |= {f"blocks.{number}.{kind}_gate": torch.tensor([gates]) for kind in ("attn", "ff")}
    return _finish(folder, parts, weights)


def spelled(parts: Sequence[str | int | None], seeing: Seeing) -> Tokens:
    """Token ids by SentencePiece, text by text between pictures, with the ids of added tokens between."""
    parts = [
        part
        for texts, group in groupby(parts, lambda part: isinstance(part, str))
        for part in (["".join(map(str, group))] if texts else group)
    ]
    pieces = SentencePieceProcessor(model_proto=small_sentencepiece())
    tokens = [1]
    control = {"<|endofchunk|>": 400}
    for part in parts:
        if isinstance(part, str):
            for number, text in enumerate(part.split("<|endofchunk|>")):
                tokens += [control["<|endofchunk|>"]] * (number > 0) + pieces.encode(text)
        elif seeing.parts.kind == "flamingo":
            tokens += seeing.ids("<image>") if part is None else [part]
        elif not seeing.parts.patch:
            assert part is not None
            tokens += range(part, part + seeing.parts.rows)
        else:
            begin, patch, end = seeing.ids(*SHOWN)
            rows = [patch] * seeing.parts.rows if part is None else range(part, part + seeing.parts.rows)
            tokens += [begin, *rows, end]
    return tuple(tokens)


class TorchLlava:
    """LLaVA in torch: features go through the projector and take the place of embeddings."""

    def __init__(self, seeing: Seeing) -> None:
        self._seeing = seeing

    def rows(self, features: torch.Tensor) -> torch.Tensor:
        w = self._seeing.weights
        x = functional.linear(features, w["projector.0.weight"], w["projector.0.bias"])
        if "projector.2.weight" in w:
            x = functional.linear(functional.gelu(x), w["projector.2.weight"], w["projector.2.bias"])
        return x

    def logprobs(self, tokens: Tokens, pictures: dict[int, tuple[int, ...]]) -> torch.Tensor:
        """Log-probabilities at every position: [tokens, vocabulary].

        Args:
            tokens: with ids beyond the vocabulary.
            pictures: the picture by the first of its ids.
        """
        model = self._seeing.torch_model
        with torch.no_grad():
            inputs = model.get_input_embeddings()(
                torch.tensor([min(t, self._seeing.vocabulary - 1) for t in tokens])
            )
            for first, (number,) in pictures.items():
                rows = self.rows(self._seeing.features(number))
                for place, token in enumerate(tokens):
                    if first <= token < first + len(rows):
                        inputs[place] = rows[token - first]
            return model(inputs_embeds=inputs[None]).logits[0].double().log_softmax(-1)


class TorchFlamingo:
    """Flamingo in torch, as its authors' library computes it: one mask over the latents of all pictures handed over."""

    def __init__(self, seeing: Seeing, ln_post: str = "paper") -> None:
        self._seeing, self._ln_post = seeing, ln_post

    def _norm(self, name: str, x: torch.Tensor) -> torch.Tensor:
        w = self._seeing.weights
        return functional.layer_norm(x, x.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"])

    def _heads(self, x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(-1, (-1, 64)).transpose(0, 1)

    def _attend(
        self, name: str, asking: torch.Tensor, seen: torch.Tensor, mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        w = self._seeing.weights
        q = self._heads(asking @ w[f"{name}.to_q.weight"].T) / 8
        k, v = map(self._heads, (seen @ w[f"{name}.to_kv.weight"].T).chunk(2, -1))
        scores = q @ k.transpose(1, 2)
        if mask is not None:
            scores = scores.masked_fill(~mask, -torch.finfo(scores.dtype).max)
        found = (scores.softmax(-1) @ v).transpose(0, 1).flatten(1)
        return found @ w[f"{name}.to_out.weight"].T

    def _feed(self, name: str, x: torch.Tensor) -> torch.Tensor:
        w = self._seeing.weights
        return functional.gelu(self._norm(f"{name}.0", x) @ w[f"{name}.1.weight"].T) @ w[f"{name}.3.weight"].T

    def latents(self, features: torch.Tensor) -> torch.Tensor:
        x = self._norm("post_layernorm", features) if self._ln_post == "paper" else features
        z = self._seeing.weights["resampler.latents"]
        for number in range(2):
            own = f"resampler.layers.{number}"
            media, asking = self._norm(f"{own}.0.norm_media", x), self._norm(f"{own}.0.norm_latents", z)
            z = z + self._attend(f"{own}.0", asking, torch.cat((media, asking)))
            z = z + self._feed(f"{own}.1", z)
        return self._norm("resampler.norm", z)

    def logprobs(self, tokens: Tokens, pictures: Sequence[int]) -> torch.Tensor:
        """Log-probabilities at every position: [tokens, vocabulary].

        Args:
            tokens: ids beyond the vocabulary are tags.
            pictures: handed over: the first belongs to the first tag, and so on; there may be fewer than tags.
        """
        seeing, w = self._seeing, self._seeing.weights
        (tag,) = seeing.ids("<image>")
        plain = torch.tensor([tag if token >= seeing.vocabulary else token for token in tokens])
        with torch.no_grad():
            media = torch.cat([self.latents(seeing.features(number)) for number in pictures])
            of_text = (plain == tag).cumsum(0)
            of_media = torch.arange(1, len(pictures) + 1).repeat_interleave(LATENTS)
            mask = of_text[:, None] == of_media[None]

            def block(number: int) -> Any:
                def before(_module: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
                    x, own = arguments[0][0], f"blocks.{number}"
                    found = self._attend(f"{own}.attn", self._norm(f"{own}.attn.norm", x), media, mask)
                    found = found * (of_text > 0)[:, None]
                    x = x + found * w[f"{own}.attn_gate"].tanh()
                    x = x + self._feed(f"{own}.ff", x) * w[f"{own}.ff_gate"].tanh()
                    return (x[None], *arguments[1:])

                return before

            model = seeing.torch_model
            hooks = [model.model.layers[k].register_forward_pre_hook(block(k)) for k in BLOCKS]
            try:
                return model(plain[None]).logits[0].double().log_softmax(-1)
            finally:
                for hook in hooks:
                    hook.remove()
