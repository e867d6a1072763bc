"""A hub on loopback and caches of a test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import close_session, constants

from medbench_local.acquire.conversion.convert import FileType, convert_checkpoint
from medbench_local.hub import repository as hub_module
from medbench_local.hub.transfer import Patience
from tests.hub_server import HubServer


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """The hub that HF_ENDPOINT names; nothing else is reachable, and nothing is cached or remembered."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("MEDBENCH_HOME", str(tmp_path / "home"))
    for name in ("HF_TOKEN", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setattr(hub_module, "PATIENCE", Patience(retries=3, wait=0.0))
    with HubServer() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.endpoint)
        yield server
        close_session()


class Checkpoints:
    """The random checkpoints of `tests.acquire.conversion.checkpoints_of`, written and converted when asked for."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def folder(self, name: str) -> Path:
        """The checkpoint of this name."""
        from tests.acquire.conversion import checkpoints_of

        folder = self._root / name.replace(" ", "_")
        return folder if folder.is_dir() else checkpoints_of.write(folder, checkpoints_of.made()[name])

    def converted(self, name: str, file_type: FileType = "auto") -> Path:
        """Its GGUF file."""
        folder = self.folder(name)
        path = self._root / f"{folder.name}.{file_type}.gguf"
        if not path.is_file():
            convert_checkpoint(folder, path, file_type=file_type)
        return path


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Checkpoints:
    """Checkpoints of every architecture; each is made once."""
    return Checkpoints(tmp_path_factory.mktemp("checkpoints"))
