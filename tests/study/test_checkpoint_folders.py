"""From two checkpoint folders of an architecture to a verdict, with nothing in between that is not the real thing."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch

from medbench_local import compare
from medbench_local.acquire.conversion.convert import convert_checkpoint
from tests.acquire.conversion import checkpoints_of


def _trained_on(model: Any) -> None:
    """Another model of the same shape, as near as a fine-tuned one."""
    generator = torch.Generator().manual_seed(1)
    for values in model.parameters():
        noise = torch.randn(values.shape, generator=generator)
        values.data += 0.5 * values.data.std(correction=0) * noise


@pytest.mark.parametrize(("name", "quant"), [("qwen2", "full"), ("qwen3", "q8_0"), ("phi3", "full")])
def test_compare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, quant: str) -> None:
    monkeypatch.setenv("MEDBENCH_HOME", str(tmp_path / "home"))
    made = checkpoints_of.made()[name]
    base = checkpoints_of.write(tmp_path / "base", made)
    medical = checkpoints_of.write(tmp_path / "medical", replace(made, prepare=_trained_on))
    options: dict[str, Any] = {"tasks": ["demo-biology"], "shots": [0], "limit": 6, "ablation": False}
    run = compare(str(medical), str(base), quant=quant, check="full", output=tmp_path / "run", **options)
    (comparison,) = run.results.comparisons
    assert comparison.verdict in ("win", "tie", "loss")
    assert comparison.n == 6
    assert comparison.check is not None
    assert comparison.check.checked == 6
    for folder, record in ((medical, run.results.models.medical), (base, run.results.models.base)):
        convert_checkpoint(folder, tmp_path / "full.gguf")
        assert record.full_sha256 == sha256((tmp_path / "full.gguf").read_bytes()).hexdigest()
