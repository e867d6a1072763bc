"""A hub cache that others have written to: nothing leads out of it, nothing in it is taken for what it is not."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from medbench_local.errors import AcquireError
from medbench_local.hub.repository import fetch_files, hub_from_environment, open_repository
from medbench_local.progress import Silent
from tests.hub.test_environment import hub as hub
from tests.hub_server import Fault, HubServer

NAMES = ("config.json", "model.safetensors")
WEIGHTS = bytes(range(256)) * 8

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the cache has links")


@pytest.fixture
def cache(hub: HubServer, tmp_path: Path) -> Path:
    """The folder of a repository in the cache, fetched."""
    (tmp_path / "repository" / "model.safetensors").write_bytes(WEIGHTS)
    _fetch(tmp_path)
    return tmp_path / "home" / "hub" / "models--owner--name"


def _fetch(tmp_path: Path, *, offline: bool = False) -> None:
    repository = open_repository(
        "owner/name", "main", offline=offline, hub=hub_from_environment(), progress=Silent()
    )
    fetch_files(repository, NAMES, home=tmp_path / "own", progress=Silent())
    assert (repository.folder / "model.safetensors").read_bytes() == WEIGHTS


@pytest.mark.parametrize("name", NAMES)
def test_changed_content_is_noticed_without_a_network_and_fetched_with_one(
    tmp_path: Path, cache: Path, name: str
) -> None:
    _fetch(tmp_path, offline=True)
    (snapshot,) = (cache / "snapshots").iterdir()
    blob = (snapshot / name).resolve()
    content = blob.read_bytes()
    blob.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    with pytest.raises(AcquireError, match=f"{name} is damaged"):
        _fetch(tmp_path, offline=True)
    _fetch(tmp_path)
    assert (snapshot / name).read_bytes() == content


def _reference(cache: Path, target: Path) -> None:
    (cache / "refs" / "main").unlink()
    (cache / "refs" / "main").symlink_to(target)


def _file(cache: Path, target: Path) -> None:
    (snapshot,) = (cache / "snapshots").iterdir()
    (snapshot / "config.json").unlink()
    (snapshot / "config.json").symlink_to(target)


def _unfinished(cache: Path, target: Path) -> None:
    (snapshot,) = (cache / "snapshots").iterdir()
    blob = (snapshot / "model.safetensors").resolve()
    (snapshot / "model.safetensors").unlink()
    blob.unlink()
    blob.with_name(f"{blob.name}.partial").symlink_to(target)


@pytest.mark.parametrize("plant", [_reference, _file, _unfinished])
def test_no_link_in_the_cache_is_written_through(
    tmp_path: Path, cache: Path, plant: Callable[[Path, Path], None]
) -> None:
    precious = tmp_path / "precious"
    precious.write_text("precious")
    plant(cache, precious)
    _fetch(tmp_path)
    assert precious.read_text() == "precious"


def test_what_comes_in_pieces_is_appended_to_no_link(tmp_path: Path, cache: Path, hub: HubServer) -> None:
    _unfinished(cache, tmp_path / "nowhere")
    hub.fail(Fault("model.safetensors", drop_after=1000))
    _fetch(tmp_path)
    assert not (tmp_path / "nowhere").exists()
