"""Files on a node are taken for what they hold, not for their names."""

from __future__ import annotations

import errno
import hashlib
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from medbench_local.cluster.node_files import NodeFiles
from medbench_local.errors import DiskFullError, InputError, StoreError

CONTENT = bytes(range(256)) * 40
SHA256 = hashlib.sha256(CONTENT).hexdigest()
SIZE = len(CONTENT)


@pytest.fixture
def node(tmp_path: Path) -> NodeFiles:
    """The files of a node whose home is ``home``."""
    return NodeFiles(tmp_path / "home")


def _sent(node: NodeFiles, content: bytes, piece: int = 1000) -> str:
    found = ""
    for offset in range(0, len(content), piece):
        assert found == ""
        found = node.receive(SHA256, len(content), offset, content[offset : offset + piece])
    return found


def _there(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "home" / "received").iterdir())


def test_a_file_where_the_driver_has_it_is_taken(node: NodeFiles, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(CONTENT)
    assert node.find(SHA256, SIZE, path) == path


@pytest.mark.parametrize(
    "other", [CONTENT[:-1], CONTENT[:-1] + b"\0", b""], ids=["short", "same size", "empty"]
)
def test_another_file_of_that_name_is_not(node: NodeFiles, tmp_path: Path, other: bytes) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(other)
    assert node.find(SHA256, SIZE, path) is None
    received = _sent(node, CONTENT)
    assert node.find(SHA256, SIZE, path) == Path(received)
    assert path.read_bytes() == other, "it is left alone"


def test_a_file_that_changed_since_it_was_looked_at_is_not(node: NodeFiles, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(CONTENT)
    assert node.find(SHA256, SIZE, path) == path
    path.write_bytes(CONTENT[::-1])
    os.utime(path, ns=(1, 1))
    assert node.find(SHA256, SIZE, path) is None


@pytest.mark.parametrize("name", ["absent.gguf", "folder", "no folder/model.gguf"])
def test_what_is_not_there_is_not_found(node: NodeFiles, tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    size = (tmp_path / "folder").stat().st_size if name == "folder" else SIZE
    assert node.find(SHA256, size, tmp_path / name) is None


@pytest.mark.parametrize("piece", [1000, SIZE - 1, SIZE, SIZE + 1])
def test_a_file_is_received_in_pieces(node: NodeFiles, tmp_path: Path, piece: int) -> None:
    received = Path(_sent(node, CONTENT, piece))
    assert received.read_bytes() == CONTENT
    assert received.parent == tmp_path / "home" / "received"
    assert _there(tmp_path) == [f"{SHA256}.gguf"]
    assert node.find(SHA256, SIZE, tmp_path / "elsewhere.gguf") == received
    assert NodeFiles(tmp_path / "home").find(SHA256, SIZE, tmp_path / "elsewhere.gguf") == received


def test_it_has_its_name_only_when_it_is_whole(node: NodeFiles, tmp_path: Path) -> None:
    assert node.receive(SHA256, SIZE, 0, CONTENT[:1000]) == ""
    assert node.find(SHA256, SIZE, tmp_path / "elsewhere.gguf") is None
    assert f"{SHA256}.gguf" not in _there(tmp_path)
    assert Path(_sent(node, CONTENT)).read_bytes() == CONTENT, (
        "begun again, nothing of the first try is in it"
    )


def test_a_try_that_ended_in_the_middle_leaves_nothing_in_the_next(node: NodeFiles) -> None:
    node.receive(SHA256, SIZE + 5000, 0, CONTENT + bytes(5000 - 1))  # of a longer one that was never finished
    assert Path(_sent(node, CONTENT)).read_bytes() == CONTENT


def test_nodes_that_share_a_home_are_not_in_each_others_way(
    node: NodeFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.receive(SHA256, SIZE, 0, CONTENT[:1000])
    with monkeypatch.context() as elsewhere:  # in a container, with the same number
        elsewhere.setattr(socket, "gethostname", lambda: "another-pod")
        assert Path(_sent(NodeFiles(tmp_path / "home"), CONTENT)).read_bytes() == CONTENT
    assert Path(node.receive(SHA256, SIZE, 1000, CONTENT[1000:])).read_bytes() == CONTENT


def test_pieces_that_do_not_make_the_file_are_refused_and_removed(node: NodeFiles, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"expected {SHA256[:16]}") as raised:
        _sent(node, CONTENT[:-1] + b"\0")
    assert "received a file with the hash" in raised.value.problem
    assert _there(tmp_path) == []
    assert node.find(SHA256, SIZE, tmp_path / "elsewhere.gguf") is None


def test_a_full_disk_is_said_and_cleared(
    node: NodeFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.receive(SHA256, SIZE, 0, CONTENT[:1000])
    whole = Path.open

    class Full:
        """A file that takes nothing."""

        def __init__(self, file: Any) -> None:
            self._file = file

        def __enter__(self) -> Full:
            return self

        def __exit__(self, *_: object) -> None:
            self._file.close()

        def seek(self, offset: int) -> None:
            """As of a file."""

        def write(self, data: bytes) -> int:
            """No room."""
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def opened(path: Path, *arguments: Any) -> Any:
        return Full(whole(path, *arguments))

    monkeypatch.setattr(Path, "open", opened)
    with pytest.raises(DiskFullError) as raised:
        node.receive(SHA256, SIZE, 1000, CONTENT[1000:])
    assert str(tmp_path / "home") in str(raised.value)
    monkeypatch.undo()
    assert _there(tmp_path) == [], "there is room again"


def test_a_home_that_is_none_is_said(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file", encoding="utf-8")
    with pytest.raises(StoreError, match="home"):
        NodeFiles(tmp_path / "home").receive(SHA256, SIZE, 0, CONTENT)
