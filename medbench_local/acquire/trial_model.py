"""A model made to be timed: one layer of a usual width with random weights, which says nothing but takes the time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from gguf import GGUFWriter

WIDTH, HIDDEN, HEADS, KV_HEADS = 2048, 5632, 16, 8
VOCABULARY = 512
CONTEXT = 1024
WEIGHTS = WIDTH * (2 * WIDTH + 2 * WIDTH * KV_HEADS // HEADS + 3 * HIDDEN)
"""Weights that every token is multiplied with, those of the few logits that are read left out."""

_NORMAL, _UNKNOWN, _CONTROL, _BYTE = 1, 2, 3, 6
_F16 = 1


def write_trial_model(path: Path) -> None:
    """Write it with 16-bit weights; 100 MB.

    The same random numbers stand in every matrix: what they are does not change how long they take.
    """
    writer = GGUFWriter(path, "llama")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_file_type(_F16)
    writer.add_vocab_size(VOCABULARY)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256)), *_words()])
    writer.add_token_scores([-float(i) for i in range(VOCABULARY)])
    writer.add_token_types([_UNKNOWN, _CONTROL, _CONTROL, *[_BYTE] * 256, *[_NORMAL] * (VOCABULARY - 259)])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    numbers = np.random.default_rng(0).normal(0, 1, 2**20).astype(np.float32)
    key_width = WIDTH * KV_HEADS // HEADS
    for name, rows, columns in (
        ("token_embd", VOCABULARY, WIDTH),
        ("output", VOCABULARY, WIDTH),
        ("blk.0.attn_q", WIDTH, WIDTH),
        ("blk.0.attn_k", key_width, WIDTH),
        ("blk.0.attn_v", key_width, WIDTH),
        ("blk.0.attn_output", WIDTH, WIDTH),
        ("blk.0.ffn_gate", HIDDEN, WIDTH),
        ("blk.0.ffn_up", HIDDEN, WIDTH),
        ("blk.0.ffn_down", WIDTH, HIDDEN),
    ):
        weights = np.resize(numbers, (rows, columns)) / np.sqrt(columns)
        writer.add_tensor(f"{name}.weight", weights.astype(np.float16))
    for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(WIDTH, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _words() -> list[str]:
    return [f"▁word{i}" for i in range(VOCABULARY - 259)]
