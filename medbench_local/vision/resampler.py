"""Flamingo's resampler: from what the tower says of a picture to a fixed number of rows, whatever its size.

Alayrac et al., 2022, https://arxiv.org/abs/2204.14198.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from medbench_local.vision.arithmetic import Floats, attention, gelu, layer_norm, one_thread
from medbench_local.vision.parts import HEAD, VisionFile, VisionParts
from medbench_local.vision.projector import check_features

LnPost = Literal["paper", "original"]


class Resampler:
    """A resampler, ready.

    Attributes:
        parts: of the model that it belongs to.
    """

    def __init__(self, file: VisionFile) -> None:
        self.parts: VisionParts = file.parts
        self._file = file

    @classmethod
    def open(cls, path: Path) -> Resampler:
        """Open the ``vision.safetensors`` of a model of kind "flamingo".

        Raises:
            InputError: as `VisionFile.open`; or the model is of another kind.
        """
        return cls(VisionFile.of_kind(path, "flamingo", "resampler"))

    def latents(self, features: Floats, ln_post: LnPost) -> Floats:
        """The latents of a picture, the same bits whenever they are asked for.

        Args:
            features: [rows, tower width], as `read_features` gives them.
            ln_post: whether they go through the tower's last LayerNorm ("paper", as the study ran the models) or not
                ("original", as the library of the models' time gave them).

        Returns:
            [latents, tower width].

        Raises:
            InputError: features of another tower.
        """
        check_features(self._file, features)
        with one_thread():
            media = self._norm("post_layernorm", features) if ln_post == "paper" else features
            latents = self._tensor("resampler.latents")
            for number in range(self._file.resampler_layers):
                layer = f"resampler.layers.{number}"
                latents = latents + self._attend(f"{layer}.0", media, latents)
                hidden = self._linear(f"{layer}.1.1", self._norm(f"{layer}.1.0", latents))
                latents = latents + self._linear(f"{layer}.1.3", gelu(hidden))
            return self._norm("resampler.norm", latents)

    def _attend(self, name: str, media: Floats, latents: Floats) -> Floats:
        """What the latents find in the picture and in each other."""
        asking = self._norm(f"{name}.norm_latents", latents)
        seen = np.concatenate((self._norm(f"{name}.norm_media", media), asking))
        queries = self._linear(f"{name}.to_q", asking)
        keys, values = np.split(self._linear(f"{name}.to_kv", seen), 2, axis=1)
        return self._linear(f"{name}.to_out", attention(queries, keys, values, queries.shape[1] // HEAD))

    def _norm(self, name: str, x: Floats) -> Floats:
        return layer_norm(x, self._tensor(f"{name}.weight"), self._tensor(f"{name}.bias"))

    def _linear(self, name: str, x: Floats) -> Floats:
        product: Floats = x @ self._tensor(f"{name}.weight").T
        return product

    def _tensor(self, name: str) -> Floats:
        return self._file.tensor(name)
