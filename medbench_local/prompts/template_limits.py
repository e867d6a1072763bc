"""What rendering chat templates may cost, and what is said of one that takes more."""

from __future__ import annotations

from dataclasses import dataclass

COSTLY = "TooCostly"
"""What stands in place of an exception's name where a template takes too much."""


@dataclass(frozen=True)
class TemplateLimits:
    """What the process in which templates are rendered may take.

    Attributes:
        memory: bytes of addresses it may have, where the system can hold it to that; it starts with about 100 MiB.
            Elsewhere bytes of memory, which its parent looks at.
        credit: seconds of processor that a template may take at first, and one rendering at most.
        each: seconds more for each rendering; an ordinary one takes about a thousandth.
    """

    memory: int = 768 << 20
    credit: float = 2.0
    each: float = 0.02
