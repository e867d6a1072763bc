"""The paired verdict of two files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from medbench_local.errors import InputError, UsageError
from medbench_local.reference.file_verdicts import verdicts_of_files
from medbench_local.statistics.paired import paired_bootstrap


def _write(path: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_tasks_are_paired_by_id_whatever_the_order(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    right = {(task, i): generator.random(2) < (0.8, 0.4) for task in ("x", "y") for i in range(60)}
    medical = [{"task": t, "id": i, "correct": bool(c[0])} for (t, i), c in right.items()]
    base = [{"task": t, "id": i, "correct": bool(c[1])} for (t, i), c in reversed(right.items())]
    found = verdicts_of_files(_write(tmp_path / "m", medical), _write(tmp_path / "b", base))
    assert [row.task for row in found.rows] == ["x", "y"]
    assert found.warnings == ()
    for row in found.rows:
        m, b = np.array([c for (t, _), c in right.items() if t == row.task]).T
        direct = paired_bootstrap(m, b)
        assert (row.difference, row.ci, row.verdict) == (
            direct.difference,
            (direct.low, direct.high),
            direct.verdict,
        )
        only = int((m & ~b).sum()), int((b & ~m).sum())
        assert (row.medical_only, row.base_only) == only
        assert row.mcnemar_p == pytest.approx(binomtest(only[0], sum(only)).pvalue)
        assert row.holm_p >= row.mcnemar_p
    assert "x: win;" in str(found)


def test_rows_without_a_partner_are_said_and_left_out(tmp_path: Path) -> None:
    medical = [{"id": i, "correct": True} for i in range(12)]
    base = [{"id": i, "prediction": "A", "answer": "B"} for i in range(10)]
    found = verdicts_of_files(_write(tmp_path / "m", medical), _write(tmp_path / "b", [*base, base[0]]))
    assert (found.rows[0].n, found.rows[0].difference) == (10, 1.0)
    assert len(found.warnings) == 2
    assert "2 questions are not in the other file" in found.warnings[0]
    assert "1 rows repeat" in found.warnings[1]
    assert found.to_dict()["verdicts"][0]["verdict"] == "win"


def test_no_common_question_is_an_error(tmp_path: Path) -> None:
    m = _write(tmp_path / "m", [{"id": 1, "correct": True}])
    b = _write(tmp_path / "b", [{"id": 2, "correct": True}])
    with pytest.raises(InputError):
        verdicts_of_files(m, b)


@pytest.mark.parametrize(("option", "value"), [("confidence", 1.0), ("confidence", 0.4)])
def test_options_out_of_range_are_refused_before_anything_is_read(option: str, value: float) -> None:
    with pytest.raises(UsageError, match=f"--{option}"):
        verdicts_of_files(Path("absent"), Path("absent"), **{option: value})
