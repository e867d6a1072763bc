"""Which Ray, and how many engines of which size it has room for."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from medbench_local.cluster.connect import ClusterOptions, Layout, connected, layout
from medbench_local.cluster.open import open_cluster
from medbench_local.errors import EngineError, UsageError
from medbench_local.progress import Silent

HERE = [{"CPU": 8.0}]
SMALL = [{"CPU": 2.0}]
GPUS = [{"CPU": 32.0, "GPU": 4.0}, {"CPU": 64.0, "GPU": 8.0}]
MIXED = [{"CPU": 64.0}, {"CPU": 16.0, "GPU": 2.0}]


@pytest.mark.parametrize(
    ("nodes", "asked", "expected"),
    [
        (HERE, {}, Layout(2, 4, 0)),
        (HERE, {"engines": 1}, Layout(1, 4, 0)),
        (HERE, {"engines": 4}, Layout(4, 2, 0)),
        (HERE, {"engines": 8}, Layout(8, 1, 0)),
        (HERE, {"cpus": 3}, Layout(2, 3, 0)),
        (HERE, {"cpus": 3, "engines": 2}, Layout(2, 3, 0)),
        (SMALL, {}, Layout(1, 2, 0)),
        (SMALL, {"engines": 2}, Layout(2, 1, 0)),
        ([{"CPU": 8.0}, {"CPU": 2.0}], {}, Layout(5, 2, 0)),
        (GPUS, {}, Layout(12, 8, 1)),
        (GPUS, {"gpus": 2}, Layout(6, 16, 2)),
        (GPUS, {"gpus": 8}, Layout(1, 64, 8)),
        (GPUS, {"engines": 3}, Layout(3, 8, 1)),
        (GPUS, {"gpus": 0, "cpus": 16}, Layout(6, 16, 0)),
        (MIXED, {}, Layout(2, 8, 1)),
        (MIXED, {"gpus": 0}, Layout(20, 4, 0)),
        ([{"CPU": 2.0, "GPU": 4.0}], {"cpus": 1}, Layout(2, 1, 1)),
        ([{"CPU": 8.0, "GPU": 4.0, "memory": 1e9}], {}, Layout(4, 2, 1)),
    ],
)
def test_an_engine_a_gpu_or_a_few_cores(
    nodes: list[dict[str, float]], asked: dict[str, int], expected: Layout
) -> None:
    found = layout(ClusterOptions("auto", **asked), nodes)
    assert found == expected
    room = 0
    for node in nodes:
        by_gpus = int(node.get("GPU", 0) // found.gpus) if found.gpus else found.engines
        room += min(int(node["CPU"] // found.cpus), by_gpus)
    assert found.engines <= room, "of one node each"


@pytest.mark.parametrize(
    ("nodes", "asked", "said"),
    [
        ([], {}, "room for 0 engines.*have nothing"),
        (SMALL, {"engines": 3}, "room for 2 engines of 1 CPUs and 0 GPUs each, not for 3.*2 CPUs and 0 GPUs"),
        (HERE, {"cpus": 9}, "room for 0 engines of 9 CPUs"),
        (HERE, {"gpus": 1}, "room for 0 engines of . CPUs and 1 GPUs"),
        (GPUS, {"gpus": 9}, "room for 0 engines"),
        (GPUS, {"gpus": 5, "engines": 2}, "room for 1 engines"),
        (HERE * 3, {"cpus": 5, "engines": 4}, "room for 3 engines.*8 CPUs and 0 GPUs, 8 CPUs and 0 GPUs"),
    ],
)
def test_more_than_there_is_room_for_is_refused(
    nodes: list[dict[str, float]], asked: dict[str, int], said: str
) -> None:
    with pytest.raises(UsageError, match=said) as raised:
        layout(ClusterOptions("auto", **asked), nodes)
    for option in ("engines=", "cpus_per_engine=", "gpus_per_engine="):
        assert option in raised.value.advice


@pytest.mark.parametrize(
    "address",
    [
        *("", "Ray", "ray ", "local", "localhost", "127.0.0.1", "here:", ":6379", "http://here:6379"),
        *("ray://here", "ray://:10001", "here:port", "here:6379/", "here:123456", "a b:6379", "::1:6379"),
        *("[::1]", "ray://ray://here:1", "auto:6379:1", "here:6379\n"),
    ],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with (
        pytest.raises(UsageError, match="is not a cluster") as raised,
        connected(ClusterOptions(address), Silent()),
    ):
        pass
    for form in ("auto", "HOST:PORT", "ray://HOST:PORT"):
        assert form in raised.value.advice


@pytest.fixture
def nobody(own_ray: None) -> Iterator[int]:
    """A port at which nothing listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@pytest.mark.parametrize("form", ["127.0.0.1:{}", "ray://127.0.0.1:{}", "[::1]:{}", "ray://localhost:{}"])
def test_where_nobody_listens_it_is_said_at_once(nobody: int, form: str) -> None:
    """Ray itself tries for minutes."""
    address, began = form.format(nobody), time.monotonic()
    with pytest.raises(EngineError) as raised, connected(ClusterOptions(address), Silent()):
        pass
    assert time.monotonic() - began < 15
    assert raised.value.message.startswith(f"No Ray answers at '{address}': ")
    assert "refused" in raised.value.message or "assign" in raised.value.message  # without IPv6
    assert "ray status" in raised.value.advice


def test_a_host_that_nobody_knows_is_said(own_ray: None) -> None:
    with (
        pytest.raises(EngineError, match=r"No Ray answers at 'nowhere\.invalid:6379'"),
        connected(ClusterOptions("nowhere.invalid:6379"), Silent()),
    ):
        pass


def test_where_no_ray_runs_none_is_joined(own_ray: None, monkeypatch: pytest.MonkeyPatch) -> None:
    from ray._private import services

    monkeypatch.setattr(services, "find_gcs_addresses", cache(set[str]))  # others may have one here
    with (
        pytest.raises(EngineError, match=r"No Ray answers at 'auto': .*any running Ray"),
        connected(ClusterOptions("auto"), Silent()),
    ):
        pass


def test_a_head_that_asks_for_a_token_is_shown_it(
    own_ray: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ray._raylet import AuthenticationTokenLoader, Config  # type: ignore[attr-defined]
    from ray.cluster_utils import Cluster

    def read_again() -> None:
        """What the environment says by now."""
        Config.initialize("")
        AuthenticationTokenLoader.instance().reset_cache()

    (tmp_path / "token").write_text("0" * 64, encoding="utf-8")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    read_again()
    head = Cluster(initialize_head=True, head_node_args={"num_cpus": 3, "include_dashboard": False})
    try:
        monkeypatch.delenv("RAY_AUTH_MODE")  # nobody says that it asks for one
        read_again()
        with connected(ClusterOptions(head.address), Silent()) as found:
            assert found == Layout(1, 3, 0)
        assert "RAY_AUTH_MODE" not in os.environ
    finally:
        monkeypatch.setenv("RAY_AUTH_MODE", "token")
        read_again()
        head.shutdown()
        monkeypatch.undo()
        read_again()


@pytest.mark.parametrize("address", ["ray", "auto", "127.0.0.1:6379"])
def test_without_ray_the_line_that_installs_it_is_said(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        pytest.raises(UsageError) as raised,
        open_cluster(ClusterOptions(address), home=tmp_path, progress=Silent()),
    ):
        pass
    assert "which is not installed" in raised.value.message
    assert 'pip install "medbench-local[cluster]"' in raised.value.advice
