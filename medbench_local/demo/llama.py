"""A small Llama in plain torch: enough to train the embedded pair and to write it in Hugging Face layout.

RMSNorm, rotary positions in the half-split convention, grouped-query attention, SwiGLU and tied embeddings
(Touvron et al. 2023, arXiv 2307.09288); parameter names are those of a LlamaForCausalLM checkpoint.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Shape:
    """The sizes of a model.

    Attributes:
        vocabulary: tokens.
        context: longest sequence in tokens.
        hidden: width; a multiple of 256, the block size of the K-quants.
        intermediate: width inside the feed-forward block; a multiple of 256.
        layers: decoder layers.
        heads: query heads.
        kv_heads: key and value heads; divides ``heads``.
        rope_theta: base of the rotary frequencies.
        norm_eps: added to the mean square in RMSNorm.
    """

    vocabulary: int
    context: int = 1024
    hidden: int = 256
    intermediate: int = 256
    layers: int = 3
    heads: int = 8
    kv_heads: int = 4
    rope_theta: float = 10000.0
    norm_eps: float = 1e-5

    @property
    def head(self) -> int:
        """Width of one head."""
        return self.hidden // self.heads


class Norm(nn.Module):
    """Root mean square normalisation with a learned scale."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the last axis of ``x``."""
        return functional.rms_norm(x, x.shape[-1:], self.weight, self.eps)


class Attention(nn.Module):
    """Causal grouped-query attention with rotary positions."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.head = shape.heads, shape.kv_heads, shape.head
        self.seen: tuple[Tensor, Tensor] | None = None
        self.q_proj = nn.Linear(shape.hidden, shape.heads * shape.head, bias=False)
        self.k_proj = nn.Linear(shape.hidden, shape.kv_heads * shape.head, bias=False)
        self.v_proj = nn.Linear(shape.hidden, shape.kv_heads * shape.head, bias=False)
        self.o_proj = nn.Linear(shape.heads * shape.head, shape.hidden, bias=False)

    def forward(self, x: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
        """Attend within ``x`` (batch, length, hidden)."""
        batch, length, _ = x.shape
        q = self.q_proj(x).view(batch, length, self.heads, self.head).transpose(1, 2)
        k = self.k_proj(x).view(batch, length, self.kv_heads, self.head).transpose(1, 2)
        v = self.v_proj(x).view(batch, length, self.kv_heads, self.head).transpose(1, 2)
        groups = self.heads // self.kv_heads
        q = rotate(q, rotary)
        k = rotate(k, rotary).repeat_interleave(groups, dim=1)
        v = v.repeat_interleave(groups, dim=1)
        self.seen = (q, k) if self.training else None
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.o_proj(y.transpose(1, 2).reshape(batch, length, -1))


class FeedForward(nn.Module):
    """SwiGLU."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(shape.hidden, shape.intermediate, bias=False)
        self.up_proj = nn.Linear(shape.hidden, shape.intermediate, bias=False)
        self.down_proj = nn.Linear(shape.intermediate, shape.hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Transform each position of ``x`` by itself."""
        return self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    """Attention, then feed-forward, each after a norm and around a residual."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.input_layernorm = Norm(shape.hidden, shape.norm_eps)
        self.self_attn = Attention(shape)
        self.post_attention_layernorm = Norm(shape.hidden, shape.norm_eps)
        self.mlp = FeedForward(shape)

    def forward(self, x: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
        """One layer over ``x`` (batch, length, hidden)."""
        x = x + self.self_attn(self.input_layernorm(x), rotary)
        return x + self.mlp(self.post_attention_layernorm(x))


class Decoder(nn.Module):
    """Embedding, layers, final norm."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(shape.vocabulary, shape.hidden)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.norm = Norm(shape.hidden, shape.norm_eps)

    def forward(self, tokens: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
        """Hidden states (batch, length, hidden) of ``tokens`` (batch, length)."""
        x = self.embed_tokens(tokens)
        for layer in self.layers:
            x = layer(x, rotary)
        return self.norm(x)


class Llama(nn.Module):
    """The model; its output matrix is its embedding."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.model = Decoder(shape)
        self.rotary = rotary_table(shape)
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                adds = name.endswith(("o_proj.weight", "down_proj.weight"))
                width = shape.hidden**-0.5
                nn.init.normal_(weight, std=width / (2 * shape.layers) ** 0.5 if adds else width)

    def hidden(self, tokens: Tensor) -> Tensor:
        """Final hidden states (batch, length, hidden) of ``tokens`` (batch, length)."""
        length = tokens.shape[1]
        return self.model(tokens, (self.rotary[0][:length], self.rotary[1][:length]))

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores (..., vocabulary) of the next token after each of ``hidden`` (..., hidden)."""
        return hidden @ self.model.embed_tokens.weight.T


def rotary_table(shape: Shape) -> tuple[Tensor, Tensor]:
    """Cosines and sines (context, head), each half of a head turning by the same angles."""
    exponent = torch.arange(0, shape.head, 2, dtype=torch.float64) / shape.head
    angles = torch.outer(torch.arange(shape.context, dtype=torch.float64), shape.rope_theta**-exponent)
    angles = torch.cat([angles, angles], dim=1)
    return angles.cos().float(), angles.sin().float()


def rotate(x: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
    """Turn the two halves of each head of ``x`` (batch, heads, length, head) by its position."""
    first, second = x.chunk(2, dim=-1)
    return x * rotary[0] + torch.cat([-second, first], dim=-1) * rotary[1]
