"""Logs of lm-evaluation-harness 0.4: one metric and one filter, chosen by the user where there are several."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from medbench_local.errors import InputError, UsageError
from medbench_local.files.hashes import prompt_sha256, text_sha256
from medbench_local.reference.file_verdicts import verdicts_of_files
from medbench_local.reference.outcomes import read_results
from medbench_local.reference.readers.record import Selection
from medbench_local.reference.rows import read_rows
from tests.reference.written import log_line, write_lines

NAME = "samples_mmlu_anatomy_2025-03-01T10-11-12.345678.jsonl"


def generated(doc_id: int, filtered: str, name: str, right: float, **changes: Any) -> dict[str, Any]:
    """A line of a generation task, as version 0.4.13 writes it."""
    return {
        "doc_id": doc_id,
        "doc": {"problem": f"Problem {doc_id}"},
        "target": "ABCD"[doc_id % 4],
        "arguments": {"gen_args_0": {"arg_0": f"Problem {doc_id}\nAnswer:", "arg_1": {"until": ["\n"]}}},
        "resps": [["I say C"]],
        "filtered_resps": [filtered],
        "filter": name,
        "metrics": ["exact_match"],
        "doc_hash": f"{doc_id:064}",
        "prompt_hash": "0" * 64,
        "target_hash": "0" * 64,
        "exact_match": right,
    } | changes


def generation_log(path: Path) -> Path:
    strict = [generated(i, "[invalid]", "strict-match", 0.0) for i in range(3)]
    flexible = [generated(i, "C", "flexible-extract", float(i == 2)) for i in range(3)]
    return write_lines(path, [*strict, *flexible])


def test_a_log_of_option_likelihoods(tmp_path: Path) -> None:
    doc = {"question": "Which?", "choices": ["w", "x", "y", "z"], "answer": 2}
    lines = [log_line(doc_id=0, doc=doc), log_line(doc_id=1, target="1", acc=0.0)]
    found = read_results(write_lines(tmp_path / NAME, lines))
    assert [*found.results] == [("mmlu-anatomy", "0"), ("mmlu-anatomy", "1")]
    right, wrong = found.results.values()
    assert (right.correct, wrong.correct) == (True, False)
    assert right.gold is not None
    assert (right.gold.place, right.gold.text) == (2, "y")
    assert right.text_sha256 == text_sha256("Which?", ["w", "x", "y", "z"])
    assert right.prompt == prompt_sha256("Which?\nAnswer:")
    assert right.settings == {"scoring": "acc"}
    assert found.notes == ()


def test_a_metric_is_chosen_where_there_are_several(tmp_path: Path) -> None:
    lines = [log_line(metrics=["acc", "acc_norm", "f1"], acc_norm=0.0, f1=[2, 2])]
    path = write_lines(tmp_path / NAME, lines)
    with pytest.raises(
        InputError, match=r"metrics of one number there: acc, acc_norm Choose one, as in `metric=.acc.`"
    ):
        read_results(path)
    for metric, right in (("acc", True), ("acc_norm", False)):
        (result,) = read_results(path, Selection(metric=metric)).results.values()
        assert (result.correct, result.settings["scoring"]) == (right, metric)
    with pytest.raises(InputError, match="key 'f1': expected 1"):
        read_results(path, Selection(metric="f1"))
    for name in ("exact_match", "doc_hash"):
        with pytest.raises(InputError, match=f"no metric '{name}'"):
            read_results(path, Selection(metric=name))
    # Log-likelihoods decide for validate, and acc follows them.
    assert read_rows(path) == read_rows(path, metric="acc")
    with pytest.raises(InputError, match="key 'acc_norm': this metric does not follow"):
        read_rows(path, metric="acc_norm")


def test_logs_that_do_not_list_their_metrics(tmp_path: Path) -> None:
    line = log_line()
    del line["metrics"], line["filter"]
    (result,) = read_results(write_lines(tmp_path / "log.jsonl", [line])).results.values()
    assert (result.correct, result.settings) == (True, {"scoring": "acc"})


@pytest.mark.parametrize("value", [0.5, 2, "1", None, [1]])
def test_a_metric_that_is_neither_right_nor_wrong_is_refused(tmp_path: Path, value: object) -> None:
    path = write_lines(tmp_path / "log.jsonl", [log_line(), log_line(doc_id=1, acc=value)])
    with pytest.raises(InputError, match="line 2, key 'acc'"):
        read_results(path)


def test_filters_are_never_mixed(tmp_path: Path) -> None:
    path = generation_log(tmp_path / "samples_mine_2025-03-01T10-11-12.345678.jsonl")
    with pytest.raises(InputError, match="none is chosen: strict-match, flexible-extract Choose one"):
        read_results(path)
    with pytest.raises(
        InputError, match="no line of the filter 'none'; filters there: strict-match, flexible"
    ):
        read_results(path, Selection(filter="none"))
    for name, right in (("strict-match", 0), ("flexible-extract", 1)):
        found = read_results(path, Selection(filter=name))
        assert [*found.results] == [("mine", "0"), ("mine", "1"), ("mine", "2")]
        assert sum(result.correct for result in found.results.values()) == right
        assert found.results["mine", "2"].settings == {"scoring": f"exact_match of {name}"}
        assert found.results["mine", "2"].document_sha256 == f"{2:064}"


def test_generated_answers_cannot_be_validated(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="multiple-choice"):
        read_rows(generation_log(tmp_path / "log.jsonl"), filter="strict-match")


def test_the_verdict_of_two_logs(tmp_path: Path) -> None:
    medical, base = (
        write_lines(
            tmp_path / f"{name}.jsonl", [generated(i, "x", "none", float(i < most)) for i in range(60)]
        )
        for name, most in (("medical", 40), ("base", 20))
    )
    found = verdicts_of_files(medical, base, task="mine")
    assert (found.rows[0].task, found.rows[0].verdict, found.rows[0].medical_only) == ("mine", "win", 20)
    assert found.warnings == ()
    other = write_lines(
        tmp_path / "other.jsonl", [generated(i, "x", "none", 1.0, doc_hash="0" * 64) for i in range(60)]
    )
    with pytest.raises(InputError, match="the data set's record is another one"):
        verdicts_of_files(medical, other)


def test_acc_that_contradicts_its_own_line_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="key 'acc': it contradicts"):
        read_results(write_lines(tmp_path / "log.jsonl", [log_line(acc=0.0)]))
    several = log_line(
        target="[0, 2]", acc=1.0
    )  # a question with several correct options: only the metric can tell
    (result,) = read_results(write_lines(tmp_path / "log.jsonl", [several])).results.values()
    assert (result.correct, result.gold) == (True, None)


def test_metric_and_filter_need_a_log(tmp_path: Path) -> None:
    rows = write_lines(tmp_path / "rows.jsonl", [{"id": 1, "correct": True}])
    log = write_lines(tmp_path / "log.jsonl", [log_line(doc_id=1)])
    for chosen in ({"metric": "acc"}, {"filter": "none"}):
        with pytest.raises(UsageError, match="choose from logs"):
            verdicts_of_files(rows, rows, **chosen)  # type: ignore[arg-type]
    assert verdicts_of_files(rows, log, metric="acc").rows[0].n == 1


def test_a_file_of_another_task_is_said(tmp_path: Path) -> None:
    one = write_lines(tmp_path / NAME, [log_line()])
    other = write_lines(tmp_path / "renamed.jsonl", [log_line()])
    with pytest.raises(InputError, match=r"other tasks: none here, mmlu-anatomy there\. Rows .* `task=`\."):
        verdicts_of_files(one, other)
    assert verdicts_of_files(one, other, task="mmlu-anatomy").rows[0].n == 1
