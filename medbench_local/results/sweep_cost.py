"""What several comparisons would cost together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from medbench_local.results.cost import ComparisonCost, known_sum
from medbench_local.results.pair import pair_label

GPU_RATE = 5000.0
"""Tokens a second for 7 billion weights that a GPU is assumed to read, where nobody gives another: not measured."""

_RATED = 7e9


@dataclass(frozen=True)
class PairCost:
    """One comparison of several.

    Attributes:
        cost: of the comparison alone.
        weights: that a token is multiplied with in the larger model; 0 if that is not known.
    """

    cost: ComparisonCost
    weights: int

    @property
    def label(self) -> str:
        """For people: "meditron-7b against llama-2-7b"."""
        return pair_label(self.cost.medical.name, self.cost.base.name)

    @property
    def download(self) -> int:
        """Bytes that it would fetch if it were alone."""
        return self.cost.medical.download + self.cost.base.download

    @property
    def disk(self) -> int:
        """Bytes of disk that it would take if it were alone."""
        return self.cost.medical.disk + self.cost.base.disk

    def gpu_hours(self, tokens: int, rate: float) -> float | None:
        """Hours of a GPU for so many tokens; None if the model's size is not known.

        Args:
            tokens: of both models.
            rate: tokens a second of a model with 7 billion weights; others take as much longer as they are larger.
        """
        return tokens * self.weights / _RATED / rate / 3600 if self.weights else None


@dataclass(frozen=True)
class SweepCost:
    """What several comparisons would cost.

    Attributes:
        pairs: one by one.
        models: how many models they have, each counted once.
        download: bytes to fetch for all of them, what they share counted once.
        disk: bytes of disk, likewise.
        assumed: what was assumed where files are not here and the hub was not asked, a sentence each.
    """

    pairs: tuple[PairCost, ...]
    models: int
    download: int
    disk: int
    assumed: tuple[str, ...] = ()

    @property
    def tokens(self) -> int:
        """Tokens decoded if everything ends where it is expected to, scores that pairs share counted for each."""
        return sum(pair.cost.tokens for pair in self.pairs)

    @property
    def tokens_most(self) -> int:
        """Tokens decoded at most."""
        return sum(pair.cost.tokens_most for pair in self.pairs)

    @property
    def seconds(self) -> float | None:
        """Time that decoding is expected to take on this machine; None if that is not known of every pair."""
        return known_sum(pair.cost.seconds for pair in self.pairs)

    @property
    def seconds_most(self) -> float | None:
        """The same at most."""
        return known_sum(pair.cost.seconds_most for pair in self.pairs)

    def gpu_hours(self, rate: float = GPU_RATE) -> float | None:
        """Hours of a GPU that are expected; see `PairCost.gpu_hours`."""
        return known_sum(pair.gpu_hours(pair.cost.tokens, rate) for pair in self.pairs)

    def gpu_hours_most(self, rate: float = GPU_RATE) -> float | None:
        """The same at most."""
        return known_sum(pair.gpu_hours(pair.cost.tokens_most, rate) for pair in self.pairs)

    @property
    def written(self) -> int:
        """Tokens at most that models write one after another, which takes several times as long as a rate says."""
        return sum(
            cell.all_phases.written_most for pair in self.pairs for m in pair.cost.models for cell in m.cells
        )

    @property
    def warnings(self) -> tuple[str, ...]:
        """Of the tasks and models, each once."""
        return tuple(dict.fromkeys(text for pair in self.pairs for text in pair.cost.warnings))

    def __str__(self) -> str:
        lines = [
            f"{pair.label}: {pair.download / 1e9:.2f} GB to fetch, about {pair.cost.tokens:,} tokens, at most "
            f"{pair.cost.tokens_most:,}"
            for pair in self.pairs
        ]
        lines.append(
            f"{self.models} models: {self.download / 1e9:.2f} GB to fetch, {self.disk / 1e9:.2f} GB of disk, about "
            f"{self.tokens:,} tokens, at most {self.tokens_most:,}"
        )
        assumed = (f"assumed: {text}" for text in self.assumed)
        return "\n".join([*lines, *assumed, *(f"warning: {text}" for text in self.warnings)])

    def to_dict(self, *, gpu_rate: float = GPU_RATE) -> dict[str, Any]:
        """As JSON has it; GPU-hours at ``gpu_rate``, which stands beside them."""
        data: dict[str, Any] = {"assumed": list(self.assumed)} if self.assumed else {}
        return data | {
            "pairs": [
                {
                    "pair": pair.label,
                    "gpu_hours": pair.gpu_hours(pair.cost.tokens, gpu_rate),
                    "gpu_hours_most": pair.gpu_hours(pair.cost.tokens_most, gpu_rate),
                    **pair.cost.to_dict(),
                }
                for pair in self.pairs
            ],
            "total": {
                "models": self.models,
                "download": self.download,
                "disk": self.disk,
                "tokens": self.tokens,
                "tokens_most": self.tokens_most,
                "tokens_written_most": self.written,
                "seconds": self.seconds,
                "seconds_most": self.seconds_most,
                "gpu_hours": self.gpu_hours(gpu_rate),
                "gpu_hours_most": self.gpu_hours_most(gpu_rate),
                "gpu_rate": gpu_rate,
            },
        }
