"""Resampler and gated blocks once more, in torch and 64 bits, with one mask over the latents of all pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch.nn import functional

Weights = Mapping[str, torch.Tensor]
HEAD = 64


def exact(tensors: Mapping[str, NDArray[Any]]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(value).double() for name, value in tensors.items()}


def norm(x: torch.Tensor, weights: Weights, name: str) -> torch.Tensor:
    return functional.layer_norm(x, x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"], 1e-5)


def linear(x: torch.Tensor, weights: Weights, name: str) -> torch.Tensor:
    return functional.linear(x, weights[f"{name}.weight"])


def heads(x: torch.Tensor) -> torch.Tensor:
    return x.unflatten(-1, (-1, HEAD)).transpose(-2, -3)


def feed_forward(x: torch.Tensor, weights: Weights, name: str) -> torch.Tensor:
    hidden = functional.gelu(linear(norm(x, weights, f"{name}.0"), weights, f"{name}.1"))
    return linear(hidden, weights, f"{name}.3")


def resampled(
    features: NDArray[Any], tensors: Mapping[str, NDArray[Any]], layers: int, *, ln_post: bool
) -> NDArray[Any]:
    weights, x = exact(tensors), torch.from_numpy(features).double()
    if ln_post:
        x = norm(x, weights, "post_layernorm")
    latents = weights["resampler.latents"]
    for number in range(layers):
        name = f"resampler.layers.{number}.0"
        asking = norm(latents, weights, f"{name}.norm_latents")
        both = torch.cat((norm(x, weights, f"{name}.norm_media"), asking))
        keys, values = linear(both, weights, f"{name}.to_kv").chunk(2, -1)
        queries = heads(linear(asking, weights, f"{name}.to_q")) * HEAD**-0.5
        shares = (queries @ heads(keys).transpose(-1, -2)).softmax(-1)
        found = (shares @ heads(values)).transpose(-2, -3).flatten(-2)
        latents = latents + linear(found, weights, f"{name}.to_out")
        latents = latents + feed_forward(latents, weights, f"resampler.layers.{number}.1")
    result: NDArray[Any] = norm(latents, weights, "resampler.norm").numpy()
    return result


def block(
    x: NDArray[Any],
    pictures: Sequence[NDArray[Any]],
    tags: Sequence[int],
    tensors: Mapping[str, NDArray[Any]],
    number: int,
) -> NDArray[Any]:
    """A gated block over a whole prompt.

    Args:
        x: [n, width].
        pictures: the latents of each picture handed over.
        tags: [n], how many tags stand before or at each token: the number of the picture that it sees, from 1. Beyond
            the last picture every score is masked.
        tensors: of the file.
        number: of the block.
    """
    weights, rows = exact(tensors), torch.from_numpy(x).double()
    name = f"blocks.{number}"
    media = torch.cat([torch.from_numpy(latents).double() for latents in pictures])
    owner = torch.repeat_interleave(torch.arange(1, len(pictures) + 1), len(pictures[0]))
    tag = torch.tensor(tags)
    queries = (
        heads(linear(norm(rows, weights, f"{name}.attn.norm"), weights, f"{name}.attn.to_q")) * HEAD**-0.5
    )
    keys, values = linear(media, weights, f"{name}.attn.to_kv").chunk(2, -1)
    scores = queries @ heads(keys).transpose(-1, -2)
    scores = scores.masked_fill(tag[:, None] != owner, -torch.finfo(torch.float32).max)
    shares = scores.softmax(-1).masked_fill((tag == 0)[:, None], 0)
    found = (shares @ heads(values)).transpose(-2, -3).flatten(-2)
    rows = rows + linear(found, weights, f"{name}.attn.to_out") * weights[f"{name}.attn_gate"].tanh()
    rows = rows + feed_forward(rows, weights, f"{name}.ff") * weights[f"{name}.ff_gate"].tanh()
    result: NDArray[Any] = rows.numpy()
    return result
