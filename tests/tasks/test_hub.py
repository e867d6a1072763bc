"""Tasks fetched by the real client from a hub on loopback."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from medbench_local.errors import AcquireError, InputError
from medbench_local.tasks.load import load_task
from tests.hub_server import Fault, HubServer
from tests.tasks.data import PUBMEDQA, write

SECOND = "pqa_labeled/train-00000-of-00001.parquet"


def archive(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        for name, data in members.items():
            file.writestr(name, data)
    return stream.getvalue()


def records(*ids: str) -> bytes:
    return json.dumps(dict.fromkeys(ids, PUBMEDQA)).encode()


def labelled() -> bytes:
    return archive(
        **{
            "pqal_fold0/train_set.json": records("3", "1"),
            "pqal_fold0/dev_set.json": records("2"),
            "pqal_test_set.json": records("9", "8"),
        }
    )


def table() -> bytes:
    stream = io.BytesIO()
    columns: dict[str, Any] = {
        "pubid": pa.array(range(20), pa.int32()),
        "question": ["Does it?"] * 20,
        "context": [{"contexts": ["First."], "labels": ["A"], "meshes": ["b"]}] * 20,
        "long_answer": ["It does."] * 20,
        "final_decision": ["yes", "no"] * 10,
    }
    parquet.write_table(pa.table(columns), stream)
    return stream.getvalue()


@pytest.fixture
def first(hub: HubServer, tmp_path: Path) -> str:
    """The commit of the first choice for PubMedQA."""
    folder = tmp_path / "first"
    write(folder / "pqal.zip", labelled())
    write(
        folder / "pqaa.zip",
        archive(**{"pqaa_train_set.json": records("7"), "pqaa_dev_set.json": records("6")}),
    )
    write(folder / "pqau.zip", b"never needed")
    return hub.add("bigbio/pubmed_qa", folder, kind="dataset")


def test_a_task_comes_at_a_resolved_commit(hub: HubServer, first: str) -> None:
    task = load_task("pubmedqa", data_dir=None)
    assert [question.id for question in task.questions("demonstrations")] == ["7", "6"]
    assert [question.id for question in task.questions("validation")] == ["3", "1", "2"]
    assert task.splits["test"].files[0].source == f"hub:bigbio/pubmed_qa@{first}"
    assert not any("pqau" in path for path in hub.contents())


def test_only_the_files_of_the_wanted_splits_are_fetched(hub: HubServer, first: str) -> None:
    load_task("pubmedqa", data_dir=None, splits=("validation", "test"))
    assert any("pqal.zip" in request.path for request in hub.requests)
    assert not any("pqaa.zip" in request.path for request in hub.requests if "/resolve/" in request.path)


def test_what_was_fetched_once_serves_offline(hub: HubServer, first: str) -> None:
    online = load_task("pubmedqa", data_dir=None)
    asked = len(hub.requests)
    assert load_task("pubmedqa", data_dir=None, offline=True) == online
    assert len(hub.requests) == asked


def test_the_second_repository_serves_where_the_first_is_missing(hub: HubServer, tmp_path: Path) -> None:
    write(tmp_path / "second" / SECOND, table())
    hub.add("qiaojin/PubMedQA", tmp_path / "second", kind="dataset")
    task = load_task("pubmedqa", data_dir=None, splits=("test",))
    assert len(task.questions("test")) == 10
    assert "The first choice of files cannot be had" in task.warnings[0]
    assert "bigbio/pubmed_qa" in task.warnings[0]


def test_a_hub_in_trouble_is_no_reason_to_take_other_files(
    hub: HubServer, first: str, tmp_path: Path
) -> None:
    write(tmp_path / "second" / SECOND, table())
    hub.add("qiaojin/PubMedQA", tmp_path / "second", kind="dataset")
    hub.fail(Fault("bigbio", status=503, times=100))
    with pytest.raises(AcquireError):
        load_task("pubmedqa", data_dir=None, splits=("test",))
    assert not any("qiaojin" in request.path for request in hub.requests)


def test_where_nothing_is_the_first_choice_is_named(hub: HubServer) -> None:
    with pytest.raises(AcquireError, match="bigbio/med_qa"):
        load_task("medqa", data_dir=None)


def test_a_malformed_file_of_the_hub_is_named(hub: HubServer, tmp_path: Path) -> None:
    write(tmp_path / "repo/pqal.zip", archive(**{"pqal_test_set.json": b'{"1": []}'}))
    hub.add("bigbio/pubmed_qa", tmp_path / "repo", kind="dataset")
    with pytest.raises(InputError, match=r"pqal\.zip!pqal_test_set\.json, key '1': expected a mapping"):
        load_task("pubmedqa", data_dir=None, splits=("test",))
