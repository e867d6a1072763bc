"""One number of a ``results.json`` that contradicts another one."""

from __future__ import annotations

from typing import NamedTuple

ROUNDING = 1e-9
"""How far a fraction may be from what it follows from; a count divided by another is exact to 1e-16."""


class Contradiction(NamedTuple):
    """One number that cannot be.

    Attributes:
        key: where it stands, as in the file ("comparisons.0.ci").
        problem: what was expected and what was found.
    """

    key: str
    problem: str
