"""Quantisation configs: how a model is made smaller, and how it is checked that this changed no verdict."""

from __future__ import annotations

import difflib
import re
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from medbench_local.catalog.load import StrictModel, read_built_in, read_yaml
from medbench_local.catalog.names import FULL as FULL
from medbench_local.catalog.names import full_by_any_name
from medbench_local.errors import InputError, UsageError

FileType = Literal[
    "auto", "f32", "f16", "bf16", "q8_0", "q6_k", "q5_k_m", "q5_k_s", "q5_1", "q5_0", "q4_k_m", "q4_k_s",
    "q4_1", "q4_0", "iq4_nl", "iq4_xs", "q3_k_l", "q3_k_m", "q3_k_s", "iq3_m", "iq3_s", "iq3_xs", "iq3_xxs", "q2_k",
    "q2_k_s", "iq2_m", "iq2_s", "iq2_xs", "iq2_xxs", "iq1_m", "iq1_s",
]  # fmt: skip
TensorType = Literal[
    "f32", "f16", "bf16", "q8_0", "q6_k", "q5_k", "q5_1", "q5_0", "q4_k", "q4_1", "q4_0", "iq4_nl", "iq4_xs",
    "q3_k", "iq3_s", "iq3_xxs", "q2_k", "iq2_s", "iq2_xs", "iq2_xxs", "iq1_m", "iq1_s",
]  # fmt: skip


class EquivalenceRule(StrictModel):
    """When a quantised model counts as the same as the full one.

    Attributes:
        questions: how many are asked at both precisions.
        margin: largest tolerated difference of the accuracies, as a fraction.
        confidence: of the interval of the difference that must lie within the margin; 0.9 makes two one-sided
            tests at 5 %.
    """

    questions: Annotated[int, Field(ge=20, le=100_000)]
    margin: Annotated[float, Field(gt=0, lt=0.5)]
    confidence: Annotated[float, Field(ge=0.5, lt=1)]


class QuantConfig(StrictModel):
    """One way to quantise.

    Attributes:
        name: what ``quant`` takes.
        summary: one line for people.
        file_type: llama.cpp's mixture of types; "auto" keeps the checkpoint's own.
        bits_per_weight: of a 7-billion-parameter model, for planning.
        tensor_types: regular expressions on GGUF tensor names, and the type that matching matrices get.
        kv_cache: type of the attention cache; f16 changes results in the engine's exact mode, speed and memory in the
            reproducible one; the fast one always has f16.
        flash_attention: "off" is without it: in the exact mode unless the fast one is asked for; "on" is never in the
            exact mode; "auto" leaves it to the weights. Files of before say false (off) or true (on).
        equivalence: how it is checked.
        next: the next precision up the ladder, or None.
        imatrix: importance matrix file (.gguf, or the older .dat), or None.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$", max_length=64)]
    summary: Annotated[str, Field(min_length=1)]
    file_type: FileType
    bits_per_weight: Annotated[float, Field(gt=1, le=32)]
    tensor_types: dict[str, TensorType] = Field(default_factory=dict)
    kv_cache: Literal["f32", "f16"] = "f32"
    flash_attention: Literal["auto", "on", "off"] = "auto"
    equivalence: EquivalenceRule
    next: str | None = None
    imatrix: Path | None = None

    @field_validator("flash_attention", mode="before")
    @classmethod
    def _is_a_word(cls, value: object) -> object:
        """YAML reads on and off as true and false, which stood here before there was a third way."""
        return {True: "on", False: "off"}[value] if isinstance(value, bool) else value

    @field_validator("tensor_types")
    @classmethod
    def _are_expressions(cls, value: dict[str, TensorType]) -> dict[str, TensorType]:
        for pattern in value:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is not a regular expression: {error}") from error
            if not pattern.isascii() or not pattern.isprintable():
                raise ValueError(f"{pattern!r} has characters that no tensor name has")
        return value

    @model_validator(mode="after")
    def _full_is_full(self) -> QuantConfig:
        if self.file_type == "auto" and (self.tensor_types or self.imatrix or self.name != FULL):
            raise ValueError(f"file_type 'auto' is for the config {FULL!r} only, which changes no tensor")
        if self.name == FULL and self.file_type != "auto":
            raise ValueError(f"the name {FULL!r} is kept for file_type 'auto'")
        return self


def quant_names() -> list[str]:
    """The built-in configs, most precise first."""
    return list(_built_in())


def load_quant(name: str | Path) -> QuantConfig:
    """Read a built-in config by its name, or a YAML file of the user's own.

    Args:
        name: a built-in name ("none" is another spelling of "full"), or else the path of a file.

    Raises:
        UsageError: neither a built-in name nor a file.
        InputError: the file is malformed.
    """
    name = full_by_any_name(name)
    path, known = Path(name), _built_in()
    if name not in known:
        if path.suffix.lower() in (".yaml", ".yml") or path.is_file():
            return _read_own(path)
        close = difflib.get_close_matches(name.lower(), known, n=1)
        hint = f"Did you mean {close[0]}? " if close else ""
        raise UsageError(
            f"There is no quantisation config {name!r}.",
            advice=f"{hint}Known are {', '.join(known)}; a YAML file of your own is given by its path.",
        )
    return known[name]


def ladder(first: str | Path = "q4_k_m") -> tuple[QuantConfig, ...]:
    """The configs from ``first`` up, each the ``next`` of the one before.

    Raises:
        UsageError, InputError: as `load_quant`.
    """
    steps = [load_quant(first)]
    while (above := steps[-1].next) is not None:
        steps.append(load_quant(above))
    return tuple(steps)


def _read_own(path: Path) -> QuantConfig:
    config = read_yaml(path, QuantConfig)
    if config.next is not None:
        above = _built_in().get(config.next)
        if above is None:
            raise InputError(path, "key 'next'", f"{config.next!r} is not a built-in config")
        if above.bits_per_weight <= config.bits_per_weight:
            raise InputError(path, "key 'next'", f"{config.next!r} has no more bits per weight than this one")
    if config.imatrix is None:
        return config
    imatrix = path.parent / config.imatrix
    if not imatrix.is_file():
        raise InputError(path, "key 'imatrix'", f"there is no file {imatrix}")
    return config.model_copy(update={"imatrix": imatrix.resolve()})


@cache
def _built_in() -> dict[str, QuantConfig]:
    configs = [read_built_in(path, QuantConfig) for path in _folder().glob("*.yaml")]
    return {config.name: config for config in sorted(configs, key=lambda c: (-c.bits_per_weight, c.name))}


def _folder() -> Path:
    """``quant_configs``: inside an installed package, beside it in the repository."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "quant_configs"
    return installed if installed.is_dir() else package.parent / "quant_configs"
