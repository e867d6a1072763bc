"""One run of the embedded pair for all pages that need one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.running import in_folder


@pytest.fixture(scope="session")
def demo_run(demo_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the run that `medbench-local compare demo-med demo-base` makes; its output lies beside it."""
    folder = tmp_path_factory.mktemp("documented")
    with pytest.MonkeyPatch.context() as patch:
        _surroundings(patch, demo_home)
        code, out, err = in_folder(["compare", "demo-med", "demo-base"], folder)
    assert code == 0, err
    (folder / "output.txt").write_text(out, encoding="utf-8")
    (found,) = (folder / "runs").iterdir()
    return found


@pytest.fixture
def documented(demo_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The surroundings in which documented commands are run: the home of the tests, and no network."""
    _surroundings(monkeypatch, demo_home)


def _surroundings(patch: pytest.MonkeyPatch, home: Path) -> None:
    patch.setenv("MEDBENCH_HOME", str(home))
    patch.setenv("HF_HUB_OFFLINE", "1")
    patch.setenv("NO_COLOR", "1")
    for name in ("MEDBENCH_DATA", "MEDBENCH_DEBUG"):
        patch.delenv(name, raising=False)
