"""A checkpoint folder becomes one GGUF file: same numbers, llama.cpp's names and order."""

from __future__ import annotations

import logging
import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
from gguf import (
    GGML_QUANT_VERSION,
    MODEL_ARCH_NAMES,
    GGMLQuantizationType,
    GGUFType,
    GGUFValueType,
    GGUFWriter,
    Keys,
    LlamaFileType,
    RopeScalingType,
    size_label,
)

from medbench_local.acquire.conversion.architecture import Architecture, C
from medbench_local.acquire.conversion.architectures import architecture_of
from medbench_local.acquire.conversion.checkpoint import Checkpoint, CheckpointFolder
from medbench_local.acquire.conversion.model_config import ModelConfig, read_model_config
from medbench_local.acquire.conversion.tensor import ComputedTensor
from medbench_local.acquire.conversion.vocabulary import Vocabulary, read_vocabulary
from medbench_local.acquire.conversion.weight_plan import Weight, embedding_rows, plan_weights
from medbench_local.acquire.conversion.weight_values import converted_blocks, rope_factors
from medbench_local.errors import InputError
from medbench_local.files.atomic import whole_file
from medbench_local.files.text_rules import TEXT_RULES, usual_rules
from medbench_local.progress import Progress, Silent

FileType = Literal["auto", "f32", "f16", "bf16"]

_FILE_TYPES = {
    "F32": LlamaFileType.ALL_F32,
    "F16": LlamaFileType.MOSTLY_F16,
    "BF16": LlamaFileType.MOSTLY_BF16,
}
_BYTES = {"F32": 4, "F16": 2, "BF16": 2}
_ROPE_FREQS = "rope_freqs.weight"


@dataclass(frozen=True)
class ConvertedModel:
    """What a conversion made.

    Attributes:
        file_type: "F32", "F16" or "BF16": the type of most of the weights.
        warnings: what a person should know.
    """

    file_type: str
    warnings: tuple[str, ...]


def convert_checkpoint(
    source: Path | Checkpoint, output: Path, *, file_type: FileType = "auto", progress: Progress | None = None
) -> ConvertedModel:
    """Convert a checkpoint of one of the `architectures` to GGUF.

    Tensors are streamed: memory stays below twice the largest tensor plus 400 MB whatever the model's size.
    The bytes written depend on the checkpoint's contents only, not on its path, number of files or the
    time.

    Args:
        source: a folder with config.json, tokenizer files and weights (safetensors, or PyTorch's zip format), or
            a checkpoint that is put together from several (`views`).
        output: the file to write; it appears when it is complete.
        file_type: "auto" keeps the type of every matrix, which loses nothing; vectors become F32 as llama.cpp
            needs them, which loses nothing either.
        progress: told the bytes written.

    Raises:
        InputError: a file of the checkpoint is missing, damaged or contradicts another.
        UnsupportedArchitectureError: it, or a part of it, is none that can be converted.
        AcquireError: the tokenizer or a type cannot be converted.
        DiskFullError: the disk is full.
        StoreError: the output cannot be written for another reason.
    """
    checkpoint = CheckpointFolder(source) if isinstance(source, Path) else source
    architecture = architecture_of(checkpoint)
    said = read_model_config(checkpoint, architecture)
    rows = embedding_rows(checkpoint, architecture.embedding)
    config = said.model_copy(update={"vocab_size": rows})
    weights = [*_rope_frequencies(config, checkpoint), *plan_weights(checkpoint, architecture, config)]
    vocabulary = read_vocabulary(checkpoint.tokenizer, rows, checkpoint.config)
    types = [_target(weight, file_type) for weight in weights]
    main = _main_type(weights, types)
    total = sum(w.source.size * _BYTES[t] for w, t in zip(weights, types, strict=True))
    label = f"converting {checkpoint.origin.name}"
    with whole_file(output, nbytes=total) as temporary:
        _write_header(temporary, architecture, config, vocabulary, weights, types, main)
        with (
            temporary.open("ab") as file,
            (progress or Silent()).step(label, total=total, unit="B") as advance,
        ):
            _pad(file)
            for weight, target in zip(weights, types, strict=True):
                for block in converted_blocks(weight.source, target):
                    file.write(block.data)
                    advance(block.nbytes)
                _pad(file)
    warnings = (
        *vocabulary.warnings,
        *_warnings(said, rows, main, weights, types),
        *architecture.warnings(config),
    )
    return ConvertedModel(main, warnings)


def _rope_frequencies(config: ModelConfig, checkpoint: Checkpoint) -> list[Weight]:
    """What the rotary frequencies are divided by, which llama.cpp reads as a tensor."""
    if config.rope_scaling.rope_type != "llama3":
        return []
    values = rope_factors(config)
    tensor = ComputedTensor(_ROPE_FREQS, values.shape, "F32", checkpoint.config_file, values)
    return [Weight(_ROPE_FREQS, tensor)]


def _target(weight: Weight, file_type: FileType) -> str:
    # llama.cpp computes with these in float32
    if len(weight.source.shape) < 2 or weight.name.endswith(("_norm.weight", ".ffn_gate_inp.weight")):
        return "F32"
    return weight.source.dtype if file_type == "auto" else file_type.upper()


def _main_type(weights: Sequence[Weight], types: Sequence[str]) -> str:
    sizes: Counter[str] = Counter()
    for weight, target in zip(weights, types, strict=True):
        if len(weight.source.shape) >= 2:
            sizes[target] += weight.source.size
    return sizes.most_common(1)[0][0]


def _warnings(
    config: ModelConfig, rows: int, main: str, weights: Sequence[Weight], types: Sequence[str]
) -> list[str]:
    warnings = []
    if config.vocab_size != rows:
        warnings.append(
            f"config.json says vocab_size {config.vocab_size}, the embedding has {rows} rows; {rows} is used."
        )
    narrowed = {
        w.source.dtype for w, t in zip(weights, types, strict=True) if t not in ("F32", w.source.dtype)
    }
    if narrowed:
        warnings.append(f"Converted from {' and '.join(sorted(narrowed))} to {main}: not lossless.")
    return warnings


def _write_header(
    path: Path,
    architecture: Architecture[C],
    config: C,
    vocabulary: Vocabulary,
    weights: Sequence[Weight],
    types: Sequence[str],
    main: str,
) -> None:
    logging.getLogger("gguf").setLevel(logging.WARNING)
    writer = GGUFWriter(path, MODEL_ARCH_NAMES[architecture.gguf])
    for weight, target in zip(weights, types, strict=True):
        nbytes = weight.source.size * _BYTES[target]
        writer.add_tensor_info(
            weight.name, weight.source.shape, np.dtype("f4"), nbytes, GGMLQuantizationType[target]
        )
    _describe_model(writer, config, main)
    architecture.write_keys(writer, config)
    writer.add_quantization_version(GGML_QUANT_VERSION)
    _describe_tokens(writer, vocabulary)
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
    except struct.error as error:
        raise InputError(
            path, "", f"a value of the checkpoint does not fit into a GGUF file: {error}"
        ) from error
    finally:
        writer.close()


def _describe_model(writer: GGUFWriter, config: ModelConfig, main: str) -> None:
    total, shared, expert, experts = writer.get_total_parameter_count()
    writer.add_type(GGUFType.MODEL)
    writer.add_size_label(size_label(total, shared, expert, experts))
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    if config.rope_scaling.rope_type == "linear":
        writer.add_rope_scaling_type(RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(config.rope_scaling.factor)
    writer.add_rope_freq_base(config.rope_theta)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_file_type(_FILE_TYPES[main])


def _describe_tokens(writer: GGUFWriter, vocabulary: Vocabulary) -> None:
    writer.add_tokenizer_model(vocabulary.model)
    writer.add_tokenizer_pre(vocabulary.pre)
    writer.add_token_list([token.text.encode("utf-8") for token in vocabulary.tokens])
    if vocabulary.model == "llama":
        writer.add_token_scores([token.score for token in vocabulary.tokens])
    writer.add_token_types([token.type for token in vocabulary.tokens])
    if vocabulary.merges:
        writer.add_token_merges(list(vocabulary.merges))
    if vocabulary.add_space_prefix is not None:
        writer.add_add_space_prefix(vocabulary.add_space_prefix)
    if vocabulary.rules != usual_rules(vocabulary.pre):
        writer.add_string(TEXT_RULES, vocabulary.rules.to_json())
    special = vocabulary.special
    for kind, token in special.ids.items():
        getattr(writer, f"add_{kind}_token_id")(token)
    for kind, added in special.add.items():
        getattr(writer, f"add_add_{kind}_token")(added)
    named = sorted(special.chat_templates.keys() - {"default"})
    for name in named:
        writer.add_key_value(
            Keys.Tokenizer.CHAT_TEMPLATE_N.format(name=name),
            special.chat_templates[name],
            GGUFValueType.STRING,
        )
    if named:
        writer.add_array(Keys.Tokenizer.CHAT_TEMPLATES, named)
    if default := special.chat_templates.get("default"):
        writer.add_chat_template(default)


def _pad(file: BinaryIO) -> None:
    position = file.tell()
    file.write(bytes(GGUFWriter.ggml_pad(position, 32) - position))
