"""Tiny models with pictures in the layouts in which the real ones are published, written in a second or two.

    toys = write_toys(tmp_path)
    hub.add("huggyllama/llama-7b", toys.base) ...        # or serve(hub, toys)

Weights are random and spread so that pictures matter. What is made of a base is a copy of it, changed a little.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save_file

from tests.acquire.checkpoints import SPM_CONFIG, small_sentencepiece, write_json, write_weights
from tests.hub_server import HubServer

State = dict[str, torch.Tensor]

WIDTH, LAYERS, HEADS, FEED_FORWARD = 64, 8, 4, 96
"""Of the language models."""
TOWER_WIDTH, TOWER_LAYERS, TOWER_HEADS, SIZE, PATCH = 48, 4, 4, 56, 14
"""Of the tower: 16 patches and what stands for the picture as a whole."""
LATENTS, RESAMPLER_LAYERS, INNER = 8, 2, 128
"""Of a Flamingo's resampler; the heads of its attention have 64 numbers, as in the real ones."""

LLAVA_TOKENS = ("<im_patch>", "<im_start>", "<im_end>")
FLAMINGO_TOKENS = ("<|endofchunk|>", "<image>", "<PAD>")

REPOSITORIES = {
    "base": "huggyllama/llama-7b",
    "tower": "openai/clip-vit-large-patch14",
    "tower_336": "openai/clip-vit-large-patch14-336",
    "llava_med": "microsoft/llava-med-7b-delta",
    "llava_v0": "liuhaotian/LLaVA-7b-delta-v0",
    "med_flamingo": "med-flamingo/med-flamingo",
    "open_flamingo": "openflamingo/OpenFlamingo-9B-deprecated",
    "llava_15": "liuhaotian/llava-v1.5-7b",
    "llava_med_15": "microsoft/llava-med-v1.5-mistral-7b",
}
"""What the catalog calls the toys' originals, by the names of `Toys`."""


@dataclass(frozen=True)
class Toys:
    """Folders of toys, each in the layout of the repository in `REPOSITORIES`.

    Attributes:
        base: a LLaMA in float16.
        tower: a whole CLIP model.
        tower_336: the same tower under another name, with the newer form of its preparation of pictures.
        llava_med, llava_v0: differences to the base; the first with [PAD] behind its added tokens.
        med_flamingo, open_flamingo: model.pt and checkpoint.pt; the names of the one are those of its list of blocks,
            and there is the state of a training around them; of the other those within the layers.
        llava_15: a whole one with a projector of two matrices, as .bin.
        llava_med_15: likewise on a Mistral, as safetensors, with a tower of its own.
    """

    base: Path
    tower: Path
    tower_336: Path
    llava_med: Path
    llava_v0: Path
    med_flamingo: Path
    open_flamingo: Path
    llava_15: Path
    llava_med_15: Path


def write_toys(root: Path, *, tokenizer: bytes | None = None) -> Toys:
    """All of them.

    Args:
        root: a folder; each toy is a folder in it.
        tokenizer: a SentencePiece model; None for a small one made here, in which the letters A to D are tokens.
    """
    state = base_state(pieces(tokenizer))
    own = {name: root / name for name in REPOSITORIES}
    write_base(own["base"], state, tokenizer)
    write_tower(own["tower"])
    write_tower(own["tower_336"], newer=True)
    write_difference(
        own["llava_med"], state, target=llava_state(state, seed=1, tokens=4), tokenizer=tokenizer
    )
    write_difference(own["llava_v0"], state, target=llava_state(state, seed=2, tokens=3), tokenizer=tokenizer)
    write_flamingo(
        own["med_flamingo"] / "model.pt", flamingo_state(state, seed=3), names="list", wrapped=True
    )
    write_flamingo(own["open_flamingo"] / "checkpoint.pt", flamingo_state(state, seed=4), names="layers")
    write_llava_15(own["llava_15"], state, tokenizer=tokenizer)
    write_llava_15(
        own["llava_med_15"], state, seed=6, mistral=True, tower=tower_state(seed=11), tokenizer=tokenizer
    )
    return Toys(**own)


def serve(hub: HubServer, toys: Toys) -> None:
    """Host every toy under the name of its original."""
    for name, repository in REPOSITORIES.items():
        hub.add(repository, getattr(toys, name))


# --- language models


def pieces(tokenizer: bytes | None) -> int:
    """How many tokens a SentencePiece model has."""
    from sentencepiece import SentencePieceProcessor

    return int(SentencePieceProcessor(model_proto=tokenizer or small_sentencepiece()).vocab_size())


def config(rows: int, **changes: Any) -> dict[str, Any]:
    """The config.json of a language model; ``None`` removes a key."""
    values: dict[str, Any] = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "bos_token_id": 1,
        "eos_token_id": 2,
        "hidden_act": "silu",
        "hidden_size": WIDTH,
        "intermediate_size": FEED_FORWARD,
        "max_position_embeddings": 2048,
        "num_attention_heads": HEADS,
        "num_hidden_layers": LAYERS,
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": False,
        "torch_dtype": "float16",
        "vocab_size": rows,
    }
    return {key: value for key, value in {**values, **changes}.items() if value is not None}


def base_state(rows: int, *, seed: int = 0, keys: int = HEADS) -> State:
    """Random float16 weights of a language model, spread as those of trained ones."""
    generator = torch.Generator().manual_seed(seed)

    def matrix(out: int, into: int) -> torch.Tensor:
        return (torch.randn(out, into, generator=generator) / into**0.5).half()

    def norm() -> torch.Tensor:
        return (1 + torch.randn(WIDTH, generator=generator) * 0.1).half()

    head = WIDTH // HEADS
    state: State = {"model.embed_tokens.weight": (torch.randn(rows, WIDTH, generator=generator) * 0.5).half()}
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}."
        state |= {
            f"{prefix}self_attn.q_proj.weight": matrix(WIDTH, WIDTH),
            f"{prefix}self_attn.k_proj.weight": matrix(keys * head, WIDTH),
            f"{prefix}self_attn.v_proj.weight": matrix(keys * head, WIDTH),
            f"{prefix}self_attn.o_proj.weight": matrix(WIDTH, WIDTH),
            f"{prefix}mlp.gate_proj.weight": matrix(FEED_FORWARD, WIDTH),
            f"{prefix}mlp.up_proj.weight": matrix(FEED_FORWARD, WIDTH),
            f"{prefix}mlp.down_proj.weight": matrix(WIDTH, FEED_FORWARD),
            f"{prefix}input_layernorm.weight": norm(),
            f"{prefix}post_attention_layernorm.weight": norm(),
        }
    return state | {"model.norm.weight": norm(), "lm_head.weight": matrix(rows, WIDTH) * 3}


def write_base(folder: Path, state: State, tokenizer: bytes | None = None, **changes: Any) -> Path:
    """A language model in Hugging Face layout: two shards of safetensors, with the buffers of old conversions."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "config.json", config(len(state["model.embed_tokens.weight"]), **changes))
    write_tokenizer(folder, tokenizer)
    write_weights(folder, {**state, **buffers()}, shards=2)
    return folder


def buffers() -> State:
    """What follows from config.json and is stored all the same."""
    head = WIDTH // HEADS
    values = 1.0 / 10000.0 ** (torch.arange(0, head, 2).float() / head)
    return {f"model.layers.{layer}.self_attn.rotary_emb.inv_freq": values for layer in range(LAYERS)}


def write_tokenizer(folder: Path, tokenizer: bytes | None = None, **changes: Any) -> None:
    """A SentencePiece model and its configuration."""
    (folder / "tokenizer.model").write_bytes(tokenizer or small_sentencepiece())
    write_json(folder / "tokenizer_config.json", SPM_CONFIG | changes)


def changed(state: State, *, seed: int, by: float = 0.02) -> State:
    """Weights after a little more training, in float16."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: (tensor.float() + torch.randn(tensor.shape, generator=generator) * by).half()
        for name, tensor in state.items()
    }


# --- LLaVA


def llava_state(base: State, *, seed: int, tokens: int = 3) -> State:
    """The weights of a LLaVA made of ``base``, with rows for added tokens and a projector of one matrix."""
    generator = torch.Generator().manual_seed(100 + seed)
    state = changed(base, seed=seed)
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        more = torch.randn(tokens, WIDTH, generator=generator) * base[name].float().std()
        state[name] = torch.cat([state[name], more.half()])
    return state | {f"model.mm_projector.{half}": value for half, value in projector(generator).items()}


def projector(generator: torch.Generator, into: int = TOWER_WIDTH) -> State:
    """A matrix and a bias."""
    weight = torch.randn(WIDTH, into, generator=generator) / into**0.5
    return {"weight": (weight * 0.5).half(), "bias": (torch.randn(WIDTH, generator=generator) * 0.1).half()}


def difference(target: State, base: State) -> State:
    """What is published of ``target``: float16 throughout; rows and tensors that the base lacks as they are."""
    found = {}
    for name, tensor in target.items():
        if name not in base:
            found[name] = tensor
            continue
        rows = len(base[name])
        found[name] = torch.cat([tensor[:rows] - base[name], tensor[rows:]])
    return found


def write_difference(
    folder: Path,
    base: State,
    *,
    target: State,
    added: Mapping[str, int] | None = None,
    tokenizer: bytes | None = None,
    **changes: Any,
) -> Path:
    """A difference to ``base`` as LLaVA's first releases are published.

    Args:
        folder: to write.
        base: what it is a difference to.
        target: the model itself.
        added: added_tokens.json; None for the usual one with [PAD] behind where there is a fourth row; an empty one is
            not written.
        tokenizer: a SentencePiece model.
        changes: of config.json.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows, before = len(target["model.embed_tokens.weight"]), len(base["model.embed_tokens.weight"])
    described = {
        "architectures": ["LlavaLlamaForCausalLM"],
        "model_type": "llava",
        "bos_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": -1,
        "mm_hidden_size": TOWER_WIDTH,
        "mm_use_im_start_end": True,
        "mm_vision_select_layer": -2,
        "mm_vision_tower": "openai/clip-vit-large-patch14",
        "use_mm_proj": True,
    }
    write_json(folder / "config.json", config(rows, **{**described, **changes}))
    write_tokenizer(folder, tokenizer, bos_token="", eos_token="", unk_token="")
    if added is None:
        added = {text: before + i for i, text in enumerate((*LLAVA_TOKENS, "[PAD]")[: rows - before])}
    if added:
        write_json(folder / "added_tokens.json", dict(added))
    write_weights(folder, {**difference(target, base), **buffers()}, kind="bin", shards=2)
    (folder / "mm_projector.bin").write_bytes(b"stray, as beside the real one")
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n", encoding="utf-8")
    return folder


def write_llava_15(
    folder: Path,
    base: State,
    *,
    seed: int = 5,
    mistral: bool = False,
    tower: State | None = None,
    tokenizer: bytes | None = None,
    **changes: Any,
) -> Path:
    """A whole LLaVA 1.5 in its own layout.

    Args:
        folder: to write.
        base: decides the number of tokens.
        seed: of the weights.
        mistral: whether the language model is a Mistral.
        tower: stored within; None for a checkpoint without.
        tokenizer: a SentencePiece model.
        changes: of config.json.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = len(base["model.embed_tokens.weight"])
    state = llava_15_state(rows, seed=seed, keys=2 if mistral else HEADS)
    described: dict[str, Any] = {
        "architectures": ["LlavaMistralForCausalLM" if mistral else "LlavaLlamaForCausalLM"],
        "model_type": "llava_mistral" if mistral else "llava",
        "max_position_embeddings": 4096,
        "num_key_value_heads": 2 if mistral else HEADS,
        "image_aspect_ratio": "pad",
        "mm_hidden_size": TOWER_WIDTH,
        "mm_projector_type": "mlp2x_gelu",
        "mm_use_im_patch_token": False,
        "mm_use_im_start_end": False,
        "mm_vision_select_feature": "patch",
        "mm_vision_select_layer": -2,
        "mm_vision_tower": "openai/clip-vit-large-patch14-336",
        "use_mm_proj": True,
    }
    if mistral:
        described |= {"rope_theta": 1000000.0, "sliding_window": None}
    write_json(folder / "config.json", config(rows, **{**described, **changes}))
    write_tokenizer(folder, tokenizer)
    inside = {f"model.vision_tower.vision_tower.{name}": t for name, t in (tower or {}).items()}
    write_weights(folder, {**state, **inside}, kind="safetensors" if mistral else "bin", shards=2)
    return folder


def llava_15_state(rows: int, *, seed: int = 5, keys: int = HEADS) -> State:
    """Its weights: a projector of two matrices."""
    generator = torch.Generator().manual_seed(200 + seed)
    state = base_state(rows, seed=seed, keys=keys)
    for layer, into in ((0, TOWER_WIDTH), (2, WIDTH)):
        state |= {
            f"model.mm_projector.{layer}.{half}": value for half, value in projector(generator, into).items()
        }
    return state


def write_exported(folder: Path, state: State, tower: State, *, newer: bool = False) -> Path:
    """The same LLaVA 1.5 as transformers saves it: other names, the tower within, and how pictures are prepared."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = len(state["model.embed_tokens.weight"])
    text = config(rows, torch_dtype=None, max_position_embeddings=4096)
    described = {
        "architectures": ["LlavaForConditionalGeneration"],
        "model_type": "llava",
        "image_token_index": rows - 2,
        "projector_hidden_act": "gelu",
        "text_config": text,
        "vision_config": vision_config(),
        "vision_feature_layer": -2,
        "vision_feature_select_strategy": "default",
    }
    write_json(folder / "config.json", described)
    write_json(folder / "preprocessor_config.json", preprocessor(newer=True))
    write_tokenizer(folder)
    named: State = {}
    whole, seen, between = ("model.language_model.", "model.vision_tower.", "model.multi_modal_projector.")
    if not newer:
        whole, seen, between = ("language_model.model.", "vision_tower.", "multi_modal_projector.")
    for name, tensor in state.items():
        if name.startswith("model.mm_projector."):
            layer, half = name.split(".")[2:]
            named[f"{between}linear_{1 + int(layer) // 2}.{half}"] = tensor
        elif name == "lm_head.weight":
            named["lm_head.weight" if newer else "language_model.lm_head.weight"] = tensor
        else:
            named[whole + name.removeprefix("model.")] = tensor
    named |= {seen + name: tensor for name, tensor in tower.items()}
    write_weights(folder, named)
    return folder


# --- towers


def vision_config() -> dict[str, Any]:
    """The configuration of the tower."""
    return {
        "model_type": "clip_vision_model",
        "hidden_act": "quick_gelu",
        "hidden_size": TOWER_WIDTH,
        "image_size": SIZE,
        "intermediate_size": 4 * TOWER_WIDTH,
        "layer_norm_eps": 1e-5,
        "num_attention_heads": TOWER_HEADS,
        "num_hidden_layers": TOWER_LAYERS,
        "patch_size": PATCH,
        "projection_dim": 32,
    }


def preprocessor(*, newer: bool = False, size: int = SIZE) -> dict[str, Any]:
    """How pictures are prepared, in the form of older or newer releases of transformers."""
    return {
        "crop_size": {"height": size, "width": size} if newer else size,
        "do_center_crop": True,
        "do_normalize": True,
        "do_resize": True,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
        "resample": 3,
        "size": {"shortest_edge": size} if newer else size,
    } | ({"do_rescale": True, "rescale_factor": 1 / 255, "do_convert_rgb": True} if newer else {})


def tower_state(*, seed: int = 10, dtype: torch.dtype = torch.float32) -> State:
    """Random weights of the tower under the names of transformers, "vision_model." before them.

    They are spread, because with small weights every picture looks alike.
    """
    generator = torch.Generator().manual_seed(seed)
    width = TOWER_WIDTH

    def spread(*shape: int) -> torch.Tensor:
        into = torch.Size(shape[1:]).numel()
        return torch.randn(shape, generator=generator) * 1.6 / into**0.5

    state: State = {
        "embeddings.class_embedding": torch.randn(width, generator=generator),
        "embeddings.patch_embedding.weight": spread(width, 3, PATCH, PATCH),
        "embeddings.position_embedding.weight": torch.randn(
            (SIZE // PATCH) ** 2 + 1, width, generator=generator
        ),
    }
    linears = {f"self_attn.{part}_proj": (width, width) for part in "qkv"}
    linears |= {
        "self_attn.out_proj": (width, width),
        "mlp.fc1": (4 * width, width),
        "mlp.fc2": (width, 4 * width),
    }
    norms = ["pre_layrnorm", "post_layernorm"]
    for layer in range(TOWER_LAYERS):
        prefix = f"encoder.layers.{layer}"
        norms += [f"{prefix}.layer_norm1", f"{prefix}.layer_norm2"]
        for name, shape in linears.items():
            state[f"{prefix}.{name}.weight"] = spread(*shape)
            state[f"{prefix}.{name}.bias"] = torch.randn(shape[0], generator=generator) * 0.1
    for name in norms:
        state[f"{name}.weight"] = 1 + torch.randn(width, generator=generator) * 0.2
        state[f"{name}.bias"] = torch.randn(width, generator=generator) * 0.2
    return {f"vision_model.{name}": tensor.to(dtype) for name, tensor in state.items()}


def write_tower(
    folder: Path,
    state: State | None = None,
    *,
    newer: bool = False,
    kind: Literal["safetensors", "bin"] = "safetensors",
    flat: bool = False,
) -> Path:
    """A whole CLIP model, or its tower alone.

    Args:
        folder: to write.
        state: of the tower; None for the usual one.
        newer: how the preparation of pictures is written.
        kind: of the file of weights.
        flat: the tower alone, its configuration at the top.
    """
    folder.mkdir(parents=True, exist_ok=True)
    described = {"architectures": ["CLIPModel"], "model_type": "clip", "vision_config": vision_config()}
    write_json(
        folder / "config.json",
        vision_config() | {"architectures": ["CLIPVisionModel"]} if flat else described,
    )
    write_json(folder / "preprocessor_config.json", preprocessor(newer=newer))
    weights = dict(state or tower_state())
    if not flat:
        weights |= {
            "vision_model.embeddings.position_ids": torch.arange((SIZE // PATCH) ** 2 + 1)[None],
            "text_model.embeddings.token_embedding.weight": torch.zeros(4, 4),
            "text_projection.weight": torch.zeros(32, 4),
            "visual_projection.weight": torch.zeros(32, TOWER_WIDTH),
            "logit_scale": torch.tensor(4.6),
        }
    if kind == "safetensors":
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    else:
        torch.save(weights, folder / "pytorch_model.bin")
    return folder


# --- Flamingo


def flamingo_state(
    base: State, *, seed: int, tokens: int = 3, every: int = 4, dtype: torch.dtype = torch.float32
) -> State:
    """What is trained of a Flamingo on ``base``, under the names of its list of blocks."""
    generator = torch.Generator().manual_seed(300 + seed)

    def spread(out: int, into: int) -> torch.Tensor:
        return torch.randn(out, into, generator=generator) / into**0.5

    def norm(name: str, width: int) -> State:
        return {
            f"{name}.weight": 1 + torch.randn(width, generator=generator) * 0.1,
            f"{name}.bias": torch.randn(width, generator=generator) * 0.1,
        }

    def attention(name: str, width: int) -> State:
        return {
            f"{name}.to_q.weight": spread(INNER, width),
            f"{name}.to_kv.weight": spread(2 * INNER, TOWER_WIDTH),
            f"{name}.to_out.weight": spread(width, INNER),
        }

    def feed_forward(name: str, width: int) -> State:
        return {
            **norm(f"{name}.0", width),
            f"{name}.1.weight": spread(4 * width, width),
            f"{name}.3.weight": spread(width, 4 * width),
        }

    state: State = {"perceiver.latents": torch.randn(LATENTS, TOWER_WIDTH, generator=generator)}
    for layer in range(RESAMPLER_LAYERS):
        name = f"perceiver.layers.{layer}"
        state |= norm(f"{name}.0.norm_media", TOWER_WIDTH) | norm(f"{name}.0.norm_latents", TOWER_WIDTH)
        state |= attention(f"{name}.0", TOWER_WIDTH) | feed_forward(f"{name}.1", TOWER_WIDTH)
    state |= norm("perceiver.norm", TOWER_WIDTH)
    for block in range(every - 1, LAYERS, every):
        name = f"lang_encoder.gated_cross_attn_layers.{block}"
        state |= {f"{name}.attn_gate": torch.tensor([0.8]), f"{name}.ff_gate": torch.tensor([0.5])}
        state |= norm(f"{name}.attn.norm", WIDTH) | attention(f"{name}.attn", WIDTH)
        state |= feed_forward(f"{name}.ff", WIDTH)
    embedding = base["model.embed_tokens.weight"].float()
    more = torch.randn(tokens, WIDTH, generator=generator) * embedding.std()
    state["lang_encoder.model.embed_tokens.weight"] = torch.cat([embedding, more])
    return {name: tensor.to(dtype) for name, tensor in state.items()}


def write_flamingo(
    path: Path,
    state: State,
    *,
    names: Literal["list", "layers", "both"] = "list",
    wrapped: bool = False,
    prefix: str = "",
) -> Path:
    """A checkpoint in torch's format.

    Args:
        path: of the file.
        state: under the names of the list of blocks.
        names: under which of their two names the blocks stand, or both.
        wrapped: whether the state of a training is around it.
        prefix: before every name, "module." for what was trained on several GPUs.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    found: State = {}
    for name, tensor in state.items():
        other = name
        if ".gated_cross_attn_layers." in name:
            block, rest = name.split(".gated_cross_attn_layers.")[1].split(".", 1)
            other = f"lang_encoder.model.layers.{block}.gated_cross_attn_layer.{rest}"
        if names != "layers" or other == name:
            found[prefix + name] = tensor
        if names != "list":
            found[prefix + other] = tensor
    training = {
        "epoch": 3,
        "optimizer_state_dict": {"state": {0: {"step": 7}}, "param_groups": [{"lr": 1e-4}]},
    }
    torch.save({"model_state_dict": found, **training} if wrapped else found, path)
    return path


def edit_config(folder: Path, **changes: Any) -> None:
    """Change keys of config.json; ``None`` removes one."""
    path = folder / "config.json"
    values = {**json.loads(path.read_text(encoding="utf-8")), **changes}
    write_json(path, {key: value for key, value in values.items() if value is not None})
