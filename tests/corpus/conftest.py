"""A home of its own for every test, and no colours."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acquire.conftest import hub

__all__ = ["home", "hub"]


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """MEDBENCH_HOME, empty; runs would lie beside it."""
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("MEDBENCH_HOME", str(folder / "home"))
    monkeypatch.delenv("MEDBENCH_DATA", raising=False)
    monkeypatch.delenv("MEDBENCH_DEBUG", raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(folder / "hub"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.chdir(folder)
    return folder / "home"
