"""Candidates for tests."""

from __future__ import annotations

from medbench_local.prompts.prompt import Candidate


def candidates_of(n: int, demonstrations: int = 3) -> tuple[Candidate, ...]:
    """The first ``n`` candidates of a grid with ``demonstrations`` columns."""
    return tuple(
        Candidate(None if i < demonstrations else i // demonstrations - 1, i % demonstrations)
        for i in range(n)
    )
