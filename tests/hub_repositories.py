"""Tiny checkpoints with the file layout and names of the catalog's real repositories.

The weights are random; shapes, number types, shards, tokenizers and the files that must not be fetched are
those of the hub, only smaller.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from medbench_local.acquire.source import DEMO

_PLACES = ("bib_ref", "fig_ref", "bib", "fig", "table", "formula")
MEDITRON_TOKENS = (
    *("<CLS>", "<SEP>", "<EOD>", "<MASK>", "<PAD>"),
    *(token for place in _PLACES for token in (f"[{place}]", f"[/{place}]")),
)

HIDDEN, LAYERS, HEADS, FEED_FORWARD = 64, 2, 2, 128


def meditron_7b(folder: Path) -> Path:
    """epfl-llm/meditron-7b: eight .bin shards, bfloat16, 32,000 tokens and 17 added ones."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = 32_000 + len(MEDITRON_TOKENS)
    write_config(folder, vocab_size=rows, max_position_embeddings=2048, torch_dtype="bfloat16")
    write_sentencepiece(folder)
    added = {token: 32_000 + i for i, token in enumerate(MEDITRON_TOKENS)}
    write_json(folder / "added_tokens.json", added)
    write_shards(folder, tensors(rows, torch.bfloat16, seed=1), count=8, safetensors=False)
    (folder / "README.md").write_text("---\nlicense: llama2\n---\n")
    return folder


def llama_2_7b(folder: Path) -> Path:
    """meta-llama/Llama-2-7b-hf: two safetensors shards, float16, and the same again as .bin."""
    folder.mkdir(parents=True, exist_ok=True)
    write_config(folder, vocab_size=32_000, max_position_embeddings=4096, torch_dtype="float16")
    write_sentencepiece(folder)
    weights = tensors(32_000, torch.float16, seed=2)
    write_shards(folder, weights, count=2, safetensors=True)
    write_shards(folder, weights, count=2, safetensors=False)
    (folder / "README.md").write_text("---\nlicense: llama2\n---\n")
    return folder


def llama_3_8b(folder: Path) -> Path:
    """meta-llama/Meta-Llama-3-8B-Instruct: four safetensors shards, tokenizer.json alone, original/ beside."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = write_llama_3_tokenizer(folder)
    write_config(
        folder,
        vocab_size=rows,
        max_position_embeddings=8192,
        torch_dtype="bfloat16",
        rope_theta=500000.0,
        num_key_value_heads=1,
        bos_token_id=rows - 256,
        eos_token_id=rows - 255,
    )
    write_shards(folder, tensors(rows, torch.bfloat16, seed=3, kv_heads=1), count=4, safetensors=True)
    (folder / "original").mkdir(exist_ok=True)
    (folder / "original" / "consolidated.00.pth").write_bytes(b"the weights once more")
    (folder / "original" / "tokenizer.model").write_bytes(b"another format")
    return folder


def biomistral_7b(folder: Path) -> Path:
    """BioMistral/BioMistral-7B: one pytorch_model.bin, MistralForCausalLM."""
    folder.mkdir(parents=True, exist_ok=True)
    write_config(
        folder,
        architectures=["MistralForCausalLM"],
        model_type="mistral",
        vocab_size=32_000,
        max_position_embeddings=32_768,
        sliding_window=4096,
        num_key_value_heads=1,
        torch_dtype="bfloat16",
    )
    write_sentencepiece(folder)
    torch.save(tensors(32_000, torch.bfloat16, seed=4, kv_heads=1), folder / "pytorch_model.bin")
    return folder


def write_config(folder: Path, **changes: Any) -> None:
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "bos_token_id": 1,
        "eos_token_id": 2,
        "hidden_act": "silu",
        "hidden_size": HIDDEN,
        "intermediate_size": FEED_FORWARD,
        "num_attention_heads": HEADS,
        "num_hidden_layers": LAYERS,
        "num_key_value_heads": HEADS,
        "rms_norm_eps": 1e-05,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
    }
    write_json(folder / "config.json", config | changes)
    write_json(folder / "generation_config.json", {"bos_token_id": 1, "eos_token_id": 2})


def tensors(rows: int, dtype: torch.dtype, *, seed: int, kv_heads: int = HEADS) -> dict[str, torch.Tensor]:
    """Random weights under the names of a Llama checkpoint."""
    generator = torch.Generator().manual_seed(seed)
    head = HIDDEN // HEADS

    def matrix(out: int, into: int) -> torch.Tensor:
        return (torch.randn(out, into, generator=generator) * 0.05).to(dtype)

    weights = {"model.embed_tokens.weight": matrix(rows, HIDDEN)}
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}."
        weights |= {
            f"{prefix}self_attn.q_proj.weight": matrix(HIDDEN, HIDDEN),
            f"{prefix}self_attn.k_proj.weight": matrix(kv_heads * head, HIDDEN),
            f"{prefix}self_attn.v_proj.weight": matrix(kv_heads * head, HIDDEN),
            f"{prefix}self_attn.o_proj.weight": matrix(HIDDEN, HIDDEN),
            f"{prefix}self_attn.rotary_emb.inv_freq": 1.0 / 10000.0 ** (torch.arange(0, head, 2) / head),
            f"{prefix}mlp.gate_proj.weight": matrix(FEED_FORWARD, HIDDEN),
            f"{prefix}mlp.up_proj.weight": matrix(FEED_FORWARD, HIDDEN),
            f"{prefix}mlp.down_proj.weight": matrix(HIDDEN, FEED_FORWARD),
            f"{prefix}input_layernorm.weight": torch.ones(HIDDEN, dtype=dtype),
            f"{prefix}post_attention_layernorm.weight": torch.ones(HIDDEN, dtype=dtype),
        }
    return weights | {
        "model.norm.weight": torch.ones(HIDDEN, dtype=dtype),
        "lm_head.weight": matrix(rows, HIDDEN),
    }


def write_shards(folder: Path, weights: dict[str, torch.Tensor], *, count: int, safetensors: bool) -> None:
    stem, suffix = ("model", "safetensors") if safetensors else ("pytorch_model", "bin")
    names = list(weights)
    weight_map: dict[str, str] = {}
    for number in range(count):
        shard = f"{stem}-{number + 1:05d}-of-{count:05d}.{suffix}"
        part = {
            name: weights[name]
            for name in names[number * len(names) // count : (number + 1) * len(names) // count]
        }
        if safetensors:
            save_file(part, folder / shard, metadata={"format": "pt"})
        else:
            torch.save(part, folder / shard)
        weight_map |= dict.fromkeys(part, shard)
    size = sum(tensor.nbytes for tensor in weights.values())
    index = {"metadata": {"total_size": size}, "weight_map": weight_map}
    write_json(folder / f"{stem}.{suffix}.index.json", index)


def write_sentencepiece(folder: Path) -> None:
    """The demo's tokenizer, filled up to Llama's 32,000 tokens with characters that no text has."""
    from sentencepiece import sentencepiece_model_pb2

    model = sentencepiece_model_pb2.ModelProto()
    model.ParseFromString((DEMO / "demo-base" / "tokenizer.model").read_bytes())
    for i in range(len(model.pieces), 32_000):
        model.pieces.add(piece=chr(0xF0000 + i), score=-float(i), type=1)
    model.trainer_spec.vocab_size = 32_000
    (folder / "tokenizer.model").write_bytes(model.SerializeToString())
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        (folder / name).write_bytes((DEMO / "demo-base" / name).read_bytes())


def write_llama_3_tokenizer(folder: Path) -> int:
    """A byte-level BPE tokenizer.json as Llama 3 has it, with 256 special tokens; returns the vocabulary's size."""
    from tokenizers import (
        AddedToken,
        Regex,
        Tokenizer,
        decoders,
        models,
        pre_tokenizers,
        processors,
        trainers,
    )

    split = (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(split), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    text = (Path(__file__).read_text(encoding="utf-8") + " Answer: A B C D E\n").splitlines(keepends=True)
    tokenizer.train_from_iterator(text, trainer)
    plain = tokenizer.get_vocab_size()
    special = [
        "<|begin_of_text|>",
        "<|end_of_text|>",
        *(f"<|reserved_special_token_{i}|>" for i in range(4)),
        "<|start_header_id|>",
        "<|end_header_id|>",
        "<|reserved_special_token_4|>",
        "<|eot_id|>",
        *(f"<|reserved_special_token_{i}|>" for i in range(5, 251)),
    ]
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in special])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<|begin_of_text|> $A",
        pair="<|begin_of_text|> $A <|begin_of_text|>:1 $B:1",
        special_tokens=[("<|begin_of_text|>", plain)],
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    template = (
        "{% for m in messages %}<|start_header_id|>{{ m['role'] }}<|end_header_id|>\n\n"
        "{{ m['content'] }}<|eot_id|>{% endfor %}"
    )
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<|begin_of_text|>",
        "eos_token": "<|eot_id|>",
        "chat_template": template,
    }
    write_json(folder / "tokenizer_config.json", config)
    write_json(folder / "special_tokens_map.json", {k: config[k] for k in ("bos_token", "eos_token")})
    return tokenizer.get_vocab_size()


def write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2), encoding="utf-8")
