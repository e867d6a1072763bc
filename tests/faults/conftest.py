"""A small comparison whose uninterrupted outcome is known."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.faults import Comparison, Outcome

PROTOCOL = """\
name: faults
summary: Enough prompts to be hit among them.
shots: [3]
selection: {method: none}
"""


def small(folder: Path) -> Comparison:
    return Comparison(folder, limit=60, protocol=PROTOCOL, quant="none")


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """What an uninterrupted run gives."""
    return small(tmp_path_factory.mktemp("whole")).finish()
