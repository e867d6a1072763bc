"""Commands, and a place of their own for what they make."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acquire.conftest import hub as hub  # the loopback hub, for whoever asks for it
from tests.cli.command import Command


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs commands; see `Command`."""
    for name in ("MEDBENCH_DATA", "MEDBENCH_DEBUG", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    return Command(capsys)


@pytest.fixture
def home(tmp_path: Path, demo_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home that all tests share, and a current folder of the test's own, which is returned."""
    monkeypatch.setenv("MEDBENCH_HOME", str(demo_home))
    monkeypatch.chdir(tmp_path)
    return tmp_path
