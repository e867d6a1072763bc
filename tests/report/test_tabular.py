from __future__ import annotations

import csv
import io

import pytest

from medbench_local.report.tabular import as_csv, columns
from medbench_local.results.schema import Thinking, ThinkingOfBoth
from tests.report.examples import CASES, EMOJI, RIGHT_TO_LEFT, comparison, results


@pytest.mark.parametrize("case", CASES)
def test_every_number_comes_back_exactly(case: str) -> None:
    found = CASES[case]
    rows = list(csv.DictReader(io.StringIO(as_csv(found))))
    assert len(rows) == len(found.comparisons)
    for row, wanted in zip(rows, found.comparisons, strict=True):
        assert None not in row
        assert None not in row.values()
        assert float(row["difference"]) == wanted.difference
        assert (float(row["ci_low"]), float(row["ci_high"])) == wanted.ci
        assert float(row["accuracy_medical"]) == wanted.accuracy.medical
        assert int(row["discordant_base_only"]) == wanted.discordant.base_only
        assert row["reported"] == wanted.reported
        assert row["verdict"] == wanted.verdict
        assert row["prompt_base_format"] == str(wanted.prompt.base.format)
        check = wanted.equivalence
        assert row["equivalence_verified"] == ("" if check is None else str(check.verified).lower())
        if check is not None and check.medical is not None:
            assert float(row["equivalence_medical_flip_ci_high"]) == check.medical.flip_ci[1]


def test_the_columns_do_not_depend_on_what_was_checked() -> None:
    headings = {as_csv(found).splitlines()[0] for found in CASES.values()}
    assert headings == {",".join(columns())}
    assert len(set(columns())) == len(columns())


def test_every_scalar_of_results_json_has_a_column() -> None:
    thought = Thinking(questions=1, truncated=0, ended=0, loops=0, median_tokens=7)
    both = ThinkingOfBoth(medical=thought, base=thought)
    found = comparison(ablation=True).model_copy(update={"thinking": both})
    flat: list[str] = []

    def walk(value: object, prefix: str) -> None:
        if isinstance(value, dict):
            for name, part in value.items():
                walk(part, f"{prefix}_{name}".strip("_"))
        elif not isinstance(value, list | tuple):
            flat.append(prefix)

    walk(found.model_dump(mode="json"), "")
    assert set(flat) <= set(columns())


def test_names_of_other_scripts_survive() -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv(CASES["other scripts"]))))
    assert [row["task"] for row in rows] == [RIGHT_TO_LEFT, EMOJI]


def test_a_name_is_no_formula() -> None:
    (row,) = csv.DictReader(io.StringIO(as_csv(results([comparison("=1+1")], medical="@SUM(A1)"))))
    assert (row["task"], row["medical"]) == ("'=1+1", "'@SUM(A1)")
    assert float(row["difference"]) == comparison().difference
    for name in ("\n=1+1", "\t@A1", "\uff1d1"):
        (row,) = csv.DictReader(io.StringIO(as_csv(results([comparison(name)]))))
        assert row["task"].startswith("'")
