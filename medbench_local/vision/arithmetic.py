"""What tower, resampler and gated blocks are made of, in float32."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf, expit
from threadpoolctl import ThreadpoolController

Floats = NDArray[np.float32]


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()


def one_thread() -> AbstractContextManager[Any]:
    """Within it numpy multiplies matrices in one thread: how the work is cut up does not depend on the machine's load.

    Apple's Accelerate cannot be told; the shapes of all products are constant, so that it repeats itself.
    """
    limit: AbstractContextManager[Any] = _controller().limit(limits=1, user_api="blas")
    return limit


def layer_norm(x: Floats, weight: Floats, bias: Floats, eps: float = 1e-5) -> Floats:
    """Each row (last axis) moved to mean 0 and scaled to variance 1, then scaled and moved as was learned."""
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = np.mean(centred * centred, axis=-1, keepdims=True)
    normed: Floats = centred / np.sqrt(variance + np.float32(eps)) * weight + bias
    return normed


def softmax(x: Floats) -> Floats:
    """Along the last axis."""
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    shares: Floats = powers / powers.sum(axis=-1, keepdims=True)
    return shares


def gelu(x: Floats) -> Floats:
    """The exact one, with the error function."""
    result: Floats = np.float32(0.5) * x * (np.float32(1) + erf(x * np.float32(0.5**0.5)))
    return result


def quick_gelu(x: Floats) -> Floats:
    """OpenAI's approximation."""
    result: Floats = x * expit(np.float32(1.702) * x)
    return result


def attention(queries: Floats, keys: Floats, values: Floats, heads: int) -> Floats:
    """What each query finds.

    Args:
        queries: [n, heads * size].
        keys, values: [m, heads * size].
        heads: how many attend side by side.

    Returns:
        [n, heads * size].
    """
    size = queries.shape[1] // heads
    scores = _by_head(queries * np.float32(size**-0.5), heads) @ _by_head(keys, heads).transpose(0, 2, 1)
    found = softmax(scores) @ _by_head(values, heads)
    joined: Floats = np.ascontiguousarray(found.transpose(1, 0, 2)).reshape(queries.shape)
    return joined


def _by_head(x: Floats, heads: int) -> Floats:
    parted: Floats = x.reshape(len(x), heads, -1).transpose(1, 0, 2)
    return parted
