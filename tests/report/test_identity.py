"""What identifies a run is read from its results alone; what an old file does not say is not made up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from medbench_local._version import __version__
from medbench_local.report.files import FORMATS
from medbench_local.report.identity import facts, signature
from medbench_local.results.identification import ChatTemplateRecord, DataFileRecord, LlamaCpp, SplitRecord
from medbench_local.results.reading import read_results
from medbench_local.results.schema import Results
from tests.report.examples import CASES
from tests.report.test_terminal import shown

OLD = CASES["one comparison"]


def _parts(results: Results) -> dict[str, str]:
    return dict(part.split(":", 1) for part in signature(results).split("|"))


def _data(digest: str, name: str = "test.jsonl") -> dict[str, dict[str, SplitRecord]]:
    file = DataFileRecord(name=name, sha256=digest * 64, source="local")
    return {"medqa": {"test": SplitRecord(questions=12, expected=1273, files=(file,))}}


def said(**changes: object) -> Results:
    """Results that say everything of themselves."""
    return OLD.model_copy(
        update={
            "identity": "0123abcd",
            "version": "0.0.7",
            "llama_cpp": LlamaCpp(build="b1234", bindings="0.3.36", device="CPU"),
            "scoring": "constrained",
            "shots": (3,),
            "limit": None,
            "protocol_content": {"name": "laptop", "shots": [3]},
            "data": _data("a"),
            "chat_templates": {
                "medical": ChatTemplateRecord(source="model", sha256="c" * 64, day="2024-07-26"),
                "base": ChatTemplateRecord(source="study", sha256=None, day=None),
            },
        }
        | changes
    )


def test_the_signature_names_everything_that_decides_the_result() -> None:
    parts = _parts(said())
    assert (parts["medbench-local"], parts["run"]) == ("0.0.7", "0123abcd")
    assert (parts["scoring"], parts["shots"], parts["limit"]) == ("constrained", "3", "none")
    assert (parts["llama.cpp"], parts["llama-cpp-python"], parts["device"]) == ("b1234", "0.3.36", "CPU")
    assert parts["medical"] == "meditron-7b@0123456789ab"
    assert "unknown" not in signature(said())


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("limit", {"limit": 60}),
        ("protocol", {"protocol_content": {"name": "laptop", "shots": [0]}}),
        ("data", {"data": _data("b")}),
        ("system-prompt", {"system_prompt": "Be brief."}),
        ("system-prompt", {"system_prompt": {"base": "Be brief."}}),
        (
            "chat-templates",
            {"chat_templates": {"base": ChatTemplateRecord(source="none", sha256=None, day=None)}},
        ),
        ("shots", {"shots": (0, 3)}),
        ("medbench-local", {"version": "0.0.8"}),
    ],
)
def test_another_run_has_another_signature(part: str, change: dict[str, object]) -> None:
    before, after = _parts(said()), _parts(said(**change))
    assert [name for name in before if before[name] != after[name]] == [part]


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (None, "the default ones"),
        ("Be brief.", "Be brief."),
        ("", "none: an empty one was asked for"),
        (" \n", "none: an empty one was asked for"),
        ({"base": ""}, "medical: the default ones; base: none: an empty one was asked for"),
    ],
)
def test_no_row_of_the_facts_is_blank(given: object, shown: str) -> None:
    found = {fact.name: fact.text for fact in facts(said(system_prompt=given))}
    assert found["system prompts"] == shown
    assert all(text.strip() for text in found.values())
    assert found["prompts of medical"] == (
        "written by the chat template that came with the model, sha256 cccccccccccc, told that it is 2024-07-26"
    )
    assert found["prompts of base"] == "written as in the study"


def test_where_the_data_lay_is_not_in_the_signature() -> None:
    assert signature(said()) == signature(said(data=_data("a", "another.jsonl")))


def test_a_name_cannot_make_up_a_part() -> None:
    models = OLD.models.model_copy(
        update={"base": OLD.models.base.model_copy(update={"name": "x|protocol:emnlp2024"})}
    )
    parts = _parts(said(models=models))
    assert parts["protocol"].startswith("laptop@")
    assert parts["base"] == "x/protocol:emnlp2024@0123456789ab"


@pytest.mark.parametrize("results", [said(), OLD], ids=["said", "old"])
def test_no_report_says_which_release_prints_it(results: Results) -> None:
    reports = [make(results) for make in FORMATS.values()] + [shown(results, 1000)]
    assert not any(f"local:{__version__}" in text or f"local {__version__}" in text for text in reports)
    if results.version:
        assert all("0.0.7" in text and "0123abcd" in text and "b1234" in text for text in reports)


def test_an_old_file_is_printed_again_and_says_what_is_not_known(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    data = {key: value for key, value in OLD.to_dict().items() if value is not None}
    path.write_text(json.dumps(data))
    found = read_results(path)
    assert found.identity is None
    parts = _parts(found)
    assert {name for name, value in parts.items() if value.endswith("unknown")} == {
        "medbench-local",
        "run",
        "protocol",
        "limit",
        "system-prompt",
        "chat-templates",
        "data",
        "llama.cpp",
        "llama-cpp-python",
        "device",
    }
    assert (parts["scoring"], parts["shots"]) == ("constrained", "3"), "its comparisons say so"
    assert sum("not known" in fact.text for fact in facts(found)) == 5
    for make in FORMATS.values():
        assert make(found)
