"""Files of earlier releases: read, and what they called verified believed only where it was known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from medbench_local import InputError, read_results
from medbench_local.statistics.significance import wilson
from tests.report.examples import checked, results
from tests.report.examples import comparison as example
from tests.study.conftest import Fakes


def _old(fakes: Fakes, tmp_path: Path, **changes: Any) -> tuple[Path, dict[str, Any]]:
    """A results.json as release 0.1 wrote it, and what it holds."""
    run = fakes.compare("demo-med", "demo-base", tasks=["./made-up"], shots=[0], limit=20, **changes)
    data = json.loads(run.folder.results_file.read_text())
    data["schema"] = 1
    del data["version"]
    for comparison in data["comparisons"]:
        del comparison["check"], comparison["quantised"]
    for rates in (data["summary"], *data["summary"]["by_shots"]):
        for name in ("win", "tie", "loss"):
            del rates[f"{name}_rate_high"]
    return tmp_path / "results.json", data


def _checked_on_some(comparison: dict[str, Any]) -> None:
    """As if twelve of its questions had been asked at both precisions, all answered alike."""
    for role in ("medical", "base"):
        comparison["equivalence"][role] |= {
            **dict.fromkeys(("flips", "correct_to_wrong", "wrong_to_correct"), 0),
            "n": 12,
            "accuracy_full": 0.5,
            "accuracy_quantised": 0.5,
            "difference": 0.0,
            "flip_ci": wilson(0, 12, confidence=0.9),
        }


def test_a_check_of_every_question_is_believed(fakes: Fakes, tmp_path: Path) -> None:
    path, data = _old(fakes, tmp_path)
    path.write_text(json.dumps(data))
    (found,) = read_results(path).comparisons
    # the verdict is known, but the numbers are those of the quantised models
    assert (found.check.state, found.check.checked, found.reported) == ("certain", 20, found.verdict)
    assert found.precision == "q8_0"
    assert found.quantised is not None
    assert found.quantised.difference == found.difference


def test_agreement_on_some_questions_verifies_nothing(fakes: Fakes, tmp_path: Path) -> None:
    path, data = _old(fakes, tmp_path)
    (comparison,) = data["comparisons"]
    _checked_on_some(comparison)
    data["summary"]["win_rate"] = 1.0
    path.write_text(json.dumps(data))
    results = read_results(path)
    (found,) = results.comparisons
    assert (found.check.state, found.check.checked, found.check.of) == ("unsettled", 12, 20)
    assert found.reported == "not verified"
    assert (results.summary.win_rate, results.summary.win_rate_high) == (0.0, 1.0)
    assert results.schema_version == 2
    again = tmp_path / "again.json"
    again.write_text(results.to_json())
    assert read_results(again) == results


def test_a_changed_verdict_is_not_called_verified(fakes: Fakes, tmp_path: Path) -> None:
    path, data = _old(fakes, tmp_path)
    (comparison,) = data["comparisons"]
    comparison["equivalence"]["verdict_full_precision"] = "loss"
    path.write_text(json.dumps(data))
    (found,) = read_results(path).comparisons
    assert (found.check.state, found.check.possible_verdicts, found.reported) == (
        "unsettled",
        ("loss",),
        "not verified",
    )


def test_without_a_check_only_full_precision_is_verified(fakes: Fakes, tmp_path: Path) -> None:
    path, data = _old(fakes, tmp_path, quant="none")
    path.write_text(json.dumps(data))
    assert read_results(path).comparisons[0].verified
    path.write_text(json.dumps(data | {"precision": "q8_0"}))
    assert read_results(path).comparisons[0].check.state == "none"


@pytest.mark.parametrize("schema", [0, 3, "1", None, True, 1.0])
def test_other_schemas_are_refused(tmp_path: Path, schema: object) -> None:
    path = tmp_path / "results.json"
    path.write_text(json.dumps({"schema": schema}))
    with pytest.raises(InputError, match="expected a number from 1 to 2"):
        read_results(path)


@pytest.mark.parametrize(
    "comparisons", [None, 3, [None], [{"equivalence": 1}], [{"equivalence": {"medical": 1}}]]
)
def test_damaged_old_files_are_named(tmp_path: Path, comparisons: object) -> None:
    path = tmp_path / "results.json"
    path.write_text(json.dumps({"schema": 1, "comparisons": comparisons}))
    with pytest.raises(InputError, match="key '"):
        read_results(path)


@pytest.mark.parametrize(
    ("changes", "place", "problem"),
    [
        ({"verdict": "win"}, "verdict", "gives 'tie'"),
        ({"ci": [0.01, 0.02]}, "verdict", "gives 'win'"),
        ({"ci": [-0.02, -0.01]}, "verdict", "gives 'loss'"),
        ({"ci": [0.02, -0.02]}, "verdict", "is none"),
        ({"quantised": {"verdict": "loss"}}, "quantised.verdict", "gives 'tie'"),
        ({"check": {"checked": 1274}}, "check.of", "no fewer than the 1274"),
        ({"check": {"state": "full"}}, "check.of", "all are checked, but 240"),
        ({"check": {"possible_verdicts": ["tie", "win"]}}, "check", "one possible verdict, not 2"),
        ({"check": {"possible_verdicts": []}}, "check", "one possible verdict, not 0"),
        ({"check": {"possible_verdicts": ["win"]}}, "check", "gives 'win'.*verdict is 'tie'"),
        ({"check": {"against": "q6_k", "possible_verdicts": ["tie", "win"]}}, "check", "one possible"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused(
    tmp_path: Path, changes: dict[str, Any], place: str, problem: str
) -> None:
    path = tmp_path / "results.json"
    data = results([example(check=checked("confident", "tie"))]).to_dict()
    path.write_text(json.dumps(data))
    assert read_results(path).to_dict() == data
    found = data["comparisons"][0]
    for key, value in changes.items():
        found[key] = found[key] | value if isinstance(value, dict) else value
    path.write_text(json.dumps(data))
    with pytest.raises(InputError, match=rf"key 'comparisons\.0\.{place}'.*{problem}"):
        read_results(path)


@pytest.mark.parametrize("number", [2**53 + 1, 10**30])
def test_numbers_that_nothing_can_compute_with_are_refused(tmp_path: Path, number: int) -> None:
    data = json.loads(results([example()]).to_json())
    data["comparisons"][0]["n"] = number
    path = tmp_path / "results.json"
    path.write_text(json.dumps(data))
    with pytest.raises(InputError, match=r"key 'comparisons\.0\.n'.*less than or equal to 9007199254740992"):
        read_results(path)


def test_a_stand_in_may_give_another_verdict(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    written = results([example("medqa", "win", check=checked("full", "tie", against="q6_k"))])
    path.write_text(written.to_json())
    assert read_results(path) == written


def test_the_summary_is_that_of_the_comparisons(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    written = results([example()])
    data = written.to_dict()
    data["summary"] |= {"win_rate": 1.0, "tie_rate": 0.0}
    path.write_text(json.dumps(data))
    assert read_results(path) == written


def test_a_check_that_an_old_file_cannot_have_is_not_believed(fakes: Fakes, tmp_path: Path) -> None:
    path, data = _old(fakes, tmp_path)
    (found,) = data["comparisons"]
    _checked_on_some(found)
    path.write_text(json.dumps(data))
    honest = read_results(path)
    found["check"] = {"state": "full", "against": "full", "confidence": 1, "checked": 20, "of": 20}
    found["check"]["possible_verdicts"] = [found["verdict"]]
    found["quantised"] = None
    path.write_text(json.dumps(data))
    assert read_results(path) == honest


@pytest.mark.parametrize("depth", [400, 5000, 200_000])
def test_what_is_nested_without_end_is_named(tmp_path: Path, depth: int) -> None:
    path = tmp_path / "results.json"
    text = json.dumps(results([example()]).to_dict())
    nested = '{"a": ' * depth + "1" + "}" * depth
    assert '"protocol_content": null' in text
    path.write_text(text.replace('"protocol_content": null', f'"protocol_content": {nested}'))
    with pytest.raises(InputError) as caught:
        read_results(path)
    assert len(str(caught.value)) < 500


def test_half_a_character_is_refused_however_deep_it_lies(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    data = results([example()]).to_dict() | {"protocol_content": {"a": [{"b": "\ud800"}]}}
    path.write_text(json.dumps(data))
    with pytest.raises(InputError, match=r"protocol_content.*half a surrogate pair"):
        read_results(path)
