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

# Threads that wait sleep, as in the worker processes of the tool: where several test processes share the cores, those
# of llama.cpp and torch would spin while the one they wait for cannot run. Read when these libraries are loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# Many tests start Python, which takes a third less where the compiled package is kept, and so does each worker.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

TESTS = Path(__file__).resolve().parent
LONGEST_FIRST = (
    "study/test_picture_pairs.py",
    "docs/test_running.py",
    "cli/test_exit_codes.py",
    "engine/test_reproducibility.py",
    "faults/test_kill.py",
    "cli/test_compare.py",
    "engine/test_pictures_reproducible.py",
    "study/test_flat.py",
    "study/test_planned_tokens.py",
    "study/test_anywhere.py",
    "cli/test_interruption.py",
    "acquire/conversion/test_against_official_converter.py",
    "cli/test_every_width.py",
    "study/test_projectors.py",
    "scoring/test_own_pictures.py",
    "cli/test_picture_models.py",
    "study/test_demo_pair.py",
    "selection/test_racing.py",
)
"""Files of tests that take longest: begun last, one would go on where nothing is left for the other workers."""

SHARED = Path(os.environ.get("MEDBENCH_SHARED", TESTS.parents[1] / "shared"))


def pytest_configure(config: pytest.Config) -> None:
    """Workers take files in the order below, not those with most tests first, which are mostly short ones."""
    if hasattr(config.option, "loadscopereorder"):  # of pytest-xdist
        config.option.loadscopereorder = False


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`LONGEST_FIRST`, then all others as they were found."""
    ranks = {TESTS / name: rank for rank, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: ranks.get(item.path, len(ranks)))


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
