"""The check has teeth: weights that were really damaged, run by the real engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from medbench_local import check
from medbench_local.acquire import prepare
from medbench_local.acquire.quantise import quantise

SOME: dict[str, Any] = {"tasks": ["demo-pharmacology"], "shots": [0], "limit": 150}


def _with_noise(source: Path, config: Any, output: Path, **options: Any) -> Any:
    """Quantise, then overwrite part of every attention matrix with noise."""
    made = quantise(source, config, output, **options)
    draw = np.random.default_rng(0)
    for tensor in gguf.GGUFReader(output, "r+").tensors:
        if "attn_" in tensor.name and "norm" not in tensor.name:
            blocks = tensor.data.reshape(-1, 34)  # of q8_0: a scale of two bytes, then 32 numbers
            hit = draw.random(len(blocks)) < 0.5
            blocks[hit, 2:] = draw.integers(0, 256, (int(hit.sum()), 32), dtype=np.uint8)
            tensor.data.base.flush() if hasattr(tensor.data.base, "flush") else None
    return made


def test_damaged_weights_are_different(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MEDBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(prepare, "quantise", _with_noise)
    found = check("demo-med", quant="q8_0", output=tmp_path / "check", **SOME)
    assert found.outcome == "different"
    assert found.overall.outcome == "different"
    assert found.overall.accuracy_quantised < found.overall.accuracy_full - 0.1
    assert found.overall.kl_mean is not None
    assert found.overall.kl_mean > 0.05


def test_8_bits_are_equivalent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MEDBENCH_HOME", str(tmp_path / "home"))
    found = check("demo-med", quant="q8_0", output=tmp_path / "check", **(SOME | {"limit": 300}))
    assert found.overall.outcome == "equivalent"
    assert found.outcome == "equivalent"
