"""On the embedded pair, with the real engine, the short search finds what the exhaustive one finds."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from medbench_local import compare
from medbench_local.catalog.protocol import Protocol, load_protocol
from medbench_local.results.choices import PromptChoice

ROLES: tuple[Literal["medical", "base"], ...] = ("medical", "base")


def _searches(protocol: str | Protocol, folder: Path) -> dict[str, PromptChoice]:
    run = compare(
        "demo-med",
        "demo-base",
        protocol=protocol,
        tasks=["demo-biology"],
        shots=[0],
        limit=100,
        quant="q8_0",
        check="none",
        ablation=False,
        output=folder,
    )
    (comparison,) = run.results.comparisons
    return {role: getattr(comparison.prompt, role) for role in ROLES}


def test_laptop_finds_the_winner_of_emnlp2024_with_a_third_of_the_prompts(
    demo_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One task without demonstrations; `benchmarks/demo_selection.py` has the whole table."""
    monkeypatch.setenv("MEDBENCH_HOME", str(demo_home))
    raced = _searches(load_protocol("laptop"), tmp_path / "runs" / "laptop")
    full = _searches(load_protocol("emnlp2024"), tmp_path / "runs" / "emnlp2024")
    for role in ROLES:
        assert full[role].prompts_scored == full[role].prompts_exhaustive == 11 * 100
        assert raced[role].prompts_scored <= 11 * 100 / 3
        assert (raced[role].format, raced[role].demonstrations) == (
            full[role].format,
            full[role].demonstrations,
        )
        accuracies = [one.accuracy for one in full[role].candidates if one.accuracy is not None]
        assert max(accuracies) - sorted(accuracies)[-2] > 0.03, "the pair reads one format best"
    assert full["medical"].format == 3
    assert full["base"].format == "default"
