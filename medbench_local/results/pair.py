"""A pair of models, as people name it; it loads nothing, for what is completed while somebody types."""

from __future__ import annotations


def pair_label(medical: str, base: str) -> str:
    """A pair for people: "meditron-7b against llama-2-7b"."""
    return f"{medical} against {base}"
