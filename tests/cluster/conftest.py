"""A real Ray on this machine, and what runs without it give."""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from medbench_local import compare
from tests.cluster.runs import TASKS, protocol


@pytest.fixture(scope="module")
def own_home(demo_home: Path) -> Iterator[Path]:
    """The home that all tests share, for this process and all that it starts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDBENCH_HOME", str(demo_home))
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        yield demo_home


@pytest.fixture(scope="module")
def own_ray(own_home: Path) -> Iterator[None]:
    """A folder for what Ray notes, where it looks for one that runs: none but those of the test."""
    pytest.importorskip("ray")
    with (
        tempfile.TemporaryDirectory(prefix="ray") as folder,  # a short path: sockets lie there
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("RAY_TMPDIR", folder)
        patch.setenv("RAY_AUTH_MODE", "disabled")  # nobody else reaches it, and it is sooner there
        patch.delenv("RAY_ADDRESS", raising=False)
        yield
    gc.collect()  # what Ray leaves open is told here, not in the tests of others


@pytest.fixture(scope="module")
def nodes(own_ray: None, own_home: Path) -> Iterator[Any]:
    """A Ray of one node with two cores; its engines see the home that all tests share."""
    from ray.cluster_utils import Cluster

    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    yield found
    found.shutdown()


@dataclass(frozen=True)
class Plain:
    """A comparison without a cluster.

    Attributes:
        options: that it was made with.
        run: its folder.
    """

    options: dict[str, Any]
    run: Path


@pytest.fixture(scope="module")
def plain(own_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Plain:
    """The comparison that is repeated on clusters."""
    folder = tmp_path_factory.mktemp("plain")
    options: dict[str, Any] = {
        "tasks": list(TASKS),
        "limit": 24,
        "quant": "q8_0",
        "protocol": protocol(folder),
    }
    run = compare("demo-med", "demo-base", **options, output=folder / "run")
    return Plain(options, run.folder.path)
