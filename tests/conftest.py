"""Fixtures that more than one room's tests use."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts background jobs deaf to Ctrl-C, and every process they start; tests of interrupts need ears.
    signal.signal(signal.SIGINT, signal.default_int_handler)

SHARED = Path(os.environ.get("MEDBENCH_SHARED", Path(__file__).resolve().parents[2] / "shared"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real questions, vocabularies and the tiny real checkpoint; skips where it is absent."""
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip(f"needs the real data under {folder} (not part of the project)")
    return folder


@pytest.fixture(scope="session")
def demo_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A MEDBENCH_HOME for all tests that take the demo pair through the whole way: it is converted once."""
    return tmp_path_factory.mktemp("demo-home")


@pytest.fixture(scope="session", autouse=True)
def _no_process_left() -> Iterator[None]:
    """What renders chat templates ends with the tests, not after them, when its pipes would be found open."""
    yield
    rendering = sys.modules.get("medbench_local.prompts.template_process")
    if rendering is not None:
        rendering.templates.close()
