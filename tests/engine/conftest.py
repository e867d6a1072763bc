"""The small models of this room's tests, made once a session."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine.tiny import quantise, write_random_llama, write_stories

Q4_K_M = 15


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random Llama as ``f16.gguf`` and ``q4_k_m.gguf``."""
    folder = tmp_path_factory.mktemp("models")
    write_random_llama(folder / "f16.gguf")
    quantise(folder / "f16.gguf", folder / "q4_k_m.gguf", Q4_K_M)
    return folder


@pytest.fixture(scope="session")
def stories(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real tiny checkpoint as F32 GGUF."""
    target = tmp_path_factory.mktemp("stories") / "stories260K.gguf"
    return write_stories(shared_data / "weights" / "stories260K", target)
