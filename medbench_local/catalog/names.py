"""Names that options are made of, apart from the classes that read files: help has to be shown without those."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

Scoring = Literal["constrained", "label", "cloze", "thinking", "greedy"]
"""The scoring rules: each is the module of its name in `medbench_local.scoring.rules`."""

Partner = Literal["origin", "alternative"]
"""What a medical model was trained from; what its user would otherwise take."""

ShotImages = Literal["paper", "all"]
"""Which pictures of demonstrations a model is shown: as the study's code did it, quirks included; or all of them."""

VisionLnPost = Literal["paper", "original"]
"""Whether the features of pictures go through the tower's last LayerNorm, for models with gated blocks: as in the
versions of open_clip that the study pins, or not, as in those that its models were made with."""

OWN: Literal["own"] = "own"
"""In place of a projector file: it is made of the checkpoint's own half for pictures."""

FULL = "full"
"""The quantisation config that changes nothing."""

_ALSO_FULL = "none"
"""Another spelling of it."""


def full_by_any_name(name: str | Path) -> str:
    """``name``, but "full" for another spelling of it."""
    return FULL if str(name) == _ALSO_FULL else str(name)
