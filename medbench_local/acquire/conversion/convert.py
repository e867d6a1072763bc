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
    GGMLQuantizationType,
    GGUFType,
    GGUFValueType,
    GGUFWriter,
    Keys,
    LlamaFileType,
    RopeScalingType,
    size_label,
)

from medbench_local.acquire.conversion.checkpoint import open_checkpoint
from medbench_local.acquire.conversion.model_config import ModelConfig, read_model_config
from medbench_local.acquire.conversion.vocabulary import Vocabulary, read_vocabulary
from medbench_local.acquire.conversion.weight_plan import Weight, embedding_rows, plan_weights
from medbench_local.acquire.conversion.weight_values import converted_blocks, rope_factors
from medbench_local.errors import InputError
from medbench_local.files.atomic import whole_file
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
        path: the GGUF file.
        file_type: "F32", "F16" or "BF16": the type of most of the weights.
        parameters: number of weights.
        source_bytes, output_bytes: of the checkpoint's tensors and of the GGUF file.
        lossless: every number is exactly the checkpoint's.
        warnings: what a person should know.
    """

    path: Path
    file_type: str
    parameters: int
    source_bytes: int
    output_bytes: int
    lossless: bool
    warnings: tuple[str, ...]


def convert_checkpoint(
    folder: Path, output: Path, *, file_type: FileType = "auto", progress: Progress | None = None
) -> ConvertedModel:
    """Convert a Llama or Mistral checkpoint to GGUF.

    Tensors are streamed: memory stays below twice the largest tensor plus 400 MB whatever the model's size.
    The bytes written depend on the checkpoint's contents only, not on its path, number of files or the
    time.

    Args:
        folder: config.json, tokenizer files and weights (safetensors, or PyTorch's zip format).
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
    config = read_model_config(folder)
    checkpoint = open_checkpoint(folder)
    rows = embedding_rows(checkpoint)
    weights = plan_weights(checkpoint, config)
    vocabulary = read_vocabulary(folder, rows)
    types = [_target(weight, file_type) for weight in weights]
    main = _main_type(weights, types)
    total = sum(w.source.size * _BYTES[t] for w, t in zip(weights, types, strict=True))
    with whole_file(output, nbytes=total) as temporary:
        _write_header(temporary, config, vocabulary, weights, types, main)
        with (
            temporary.open("ab") as file,
            (progress or Silent()).step(f"converting {folder.name}", total=total, unit="B") as advance,
        ):
            _pad(file)
            if config.rope_scaling.rope_type == "llama3":
                file.write(rope_factors(config).tobytes())
                _pad(file)
            for weight, target in zip(weights, types, strict=True):
                for block in converted_blocks(weight, target):
                    file.write(block.data)
                    advance(block.nbytes)
                _pad(file)
        output_bytes = temporary.stat().st_size
    return ConvertedModel(
        path=output,
        file_type=main,
        parameters=sum(weight.source.size for weight in weights),
        source_bytes=checkpoint.nbytes,
        output_bytes=output_bytes,
        lossless=all(t in ("F32", w.source.dtype) for w, t in zip(weights, types, strict=True)),
        warnings=(*vocabulary.warnings, *_warnings(config, rows, main, weights, types)),
    )


def _target(weight: Weight, file_type: FileType) -> str:
    if len(weight.source.shape) < 2:
        return "F32"
    return weight.source.dtype if file_type == "auto" else file_type.upper()


def _main_type(weights: Sequence[Weight], types: Sequence[str]) -> str:
    sizes: Counter[str] = Counter()
    for weight, target in zip(weights, types, strict=True):
        if len(weight.source.shape) == 2:
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
    window = config.sliding_window
    if window is not None and window < config.max_position_embeddings:
        warnings.append(
            f"The model attends to the last {window} tokens only; llama.cpp attends to all of them, "
            f"which is the same for prompts of up to {window} tokens."
        )
    return warnings


def _write_header(
    path: Path,
    config: ModelConfig,
    vocabulary: Vocabulary,
    weights: Sequence[Weight],
    types: Sequence[str],
    main: str,
) -> None:
    logging.getLogger("gguf").setLevel(logging.WARNING)
    writer = GGUFWriter(path, "llama")
    if config.rope_scaling.rope_type == "llama3":
        shape = (config.head_dim // 2,)
        writer.add_tensor_info(_ROPE_FREQS, shape, np.dtype("f4"), 4 * shape[0], GGMLQuantizationType.F32)
    for weight, target in zip(weights, types, strict=True):
        nbytes = weight.source.size * _BYTES[target]
        writer.add_tensor_info(
            weight.name, weight.source.shape, np.dtype("f4"), nbytes, GGMLQuantizationType[target]
        )
    _describe_model(writer, config, len(vocabulary.tokens), main)
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


def _describe_model(writer: GGUFWriter, config: ModelConfig, rows: int, main: str) -> None:
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
    writer.add_vocab_size(rows)
    writer.add_rope_dimension_count(config.head_dim)
    if config.sliding_window is not None:
        # llama.cpp does not read it for this architecture; whoever plans prompts can
        writer.add_sliding_window(config.sliding_window)
    writer.add_quantization_version(GGML_QUANT_VERSION)


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
