"""The paired verdict of two files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from medbench_local.errors import InputError, UsageError
from medbench_local.reference.file_verdicts import FileVerdicts, verdicts_of_files
from medbench_local.statistics.paired import paired_bootstrap

ONLY_THE_ID = (
    "Nothing but the id shows that rows are the same question: give 'answer' or 'text_sha256' in both files, written "
    "alike, and they are compared."
)


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
    assert found.warnings == (ONLY_THE_ID,)
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


def _answered(letters: str, ids: Sequence[object] = (), **fields: object) -> list[dict[str, object]]:
    return [
        {"id": ids[i] if ids else i, "prediction": letter, "answer": "ABCD"[i % 4], **fields}
        for i, letter in enumerate(letters)
    ]


def test_rows_without_a_partner_are_said_and_left_out(tmp_path: Path) -> None:
    medical = [{"id": i, "correct": True} for i in range(12)]
    base = [{"id": i, "prediction": "A", "answer": "B"} for i in range(10)]
    found = verdicts_of_files(_write(tmp_path / "m", medical), _write(tmp_path / "b", [*base, base[0]]))
    assert (found.rows[0].n, found.rows[0].difference) == (10, 1.0)
    assert found.warnings == (
        f"{tmp_path / 'b'}: 1 row repeats an earlier one and counted once.",
        ONLY_THE_ID,
        f"{tmp_path / 'm'}: 2 questions are not in the other file and left out; the verdict is about 10 of 12 "
        "questions (83.3%) only.",
    )
    assert found.to_dict()["verdicts"][0]["verdict"] == "win"


def test_few_questions_in_common_are_said_of_the_file_and_of_each_task(tmp_path: Path) -> None:
    def rows(**tasks: int) -> list[dict[str, object]]:
        return [row | {"task": task} for task, n in tasks.items() for row in _answered("ABCD" * (n // 4))]

    path = _write(tmp_path / "m", rows(x=100, y=200))
    found = verdicts_of_files(path, _write(tmp_path / "b", rows(x=92, y=188)))
    assert f"{path}: 20 questions are not in the other file and left out." in found.warnings
    found = verdicts_of_files(path, _write(tmp_path / "b", rows(x=60, y=200)))
    (said,) = [text for text in found.warnings if "left out" in text]
    assert said.endswith(
        "left out; the verdict is about 260 of 300 questions (86.7%) and 60 of 100 questions of x (60.0%) only."
    )
    assert said in found.to_dict()["warnings"]


def test_other_settings_are_said(tmp_path: Path) -> None:
    one = _write(tmp_path / "m", _answered("ABCD" * 5, shots=0, scoring="constrained", prompt="p"))
    other = _write(tmp_path / "b", _answered("ABDC" * 5, shots=3, scoring="constrained", prompt="q"))
    first, second = verdicts_of_files(one, other).warnings
    assert first == (
        "'shots' differs on 20 of 20 questions (0 in the medical model's file, 3 in the base model's): the verdict may "
        "be about that."
    )
    assert second.startswith("The prompts differ on 20 of 20 questions")


def test_files_that_cannot_be_of_two_models_are_said(tmp_path: Path) -> None:
    one = _write(tmp_path / "m", _answered("ABCD" * 5, role="medical", model="x"))
    other = _write(tmp_path / "b", _answered("ABDC" * 5, role="base", model="y"))
    same = _write(tmp_path / "s", _answered("ABDC" * 5, model="x"))
    assert verdicts_of_files(one, other).warnings == ()
    for files, said in (
        ((one, one), "the same results"),
        ((other, one), "swapped"),
        ((one, same), "one model, x"),
    ):
        (warning,) = verdicts_of_files(*files).warnings
        assert said in warning


def test_how_a_file_was_read_is_said_on_the_result(tmp_path: Path) -> None:
    numbers = [row | {"prediction": "ABCD".index(str(row["prediction"]))} for row in _answered("ABCD" * 20)]
    base = _answered("ABCC" * 20)
    base[4]["prediction"], base[5]["prediction"] = None, "dunno"
    found = verdicts_of_files(_write(tmp_path / "m", numbers), _write(tmp_path / "b", base))
    assert (found.rows[0].accuracy_medical, found.rows[0].accuracy_base) == (1.0, 58 / 80)
    assert found.warnings == (
        f"{tmp_path / 'm'}: answers are labels and predictions numbers from 0, and were compared so.",
        f"{tmp_path / 'b'}: 1 prediction is empty and counted as wrong.",
        f"{tmp_path / 'b'}: 1 prediction is no option (the first: 'dunno', line 6) and counted as wrong.",
    )


def test_a_win_that_is_none_does_not_look_like_one(tmp_path: Path) -> None:
    def found(n: int, right: int, confidence: float = 0.95) -> FileVerdicts:
        files = []
        for name, most in (("m", right), ("b", 0)):
            golds = ["AB"[i % 2] for i in range(n)]
            rows = [
                {"id": i, "answer": gold, "prediction": gold if i < most else "C"}
                for i, gold in enumerate(golds)
            ]
            files.append(_write(tmp_path / name, rows))
        return verdicts_of_files(*files, confidence=confidence)

    one = found(1, 1)
    assert (one.rows[0].verdict, one.rows[0].doubt, one.rows[0].said) == (
        "win",
        "too few questions",
        "win (too few questions)",
    )
    assert one.to_dict()["verdicts"][0]["doubt"] == "too few questions"
    assert str(one).startswith("all: win (too few questions); 100.0% against 0.0% of 1 question,")
    five = found(100, 5)
    assert (five.rows[0].doubt, five.rows[0].said) == ("exact test", "win (p = 0.062)")
    assert five.warnings == (
        "all questions: the win rests on 5 of 100 questions (exact McNemar p = 0.062, above 0.05): too few to rely on.",
    )
    assert found(100, 6).rows[0].doubt is None
    assert found(100, 5, 0.9).warnings == ()
    assert found(5, 0).rows[0].said == "tie (too few questions)"
    assert found(100, 5, 0.9).to_dict()["confidence"] == 0.9


def test_no_common_question_is_an_error(tmp_path: Path) -> None:
    m = _write(tmp_path / "m", [{"id": 1, "correct": True}])
    b = _write(tmp_path / "b", [{"id": 2, "correct": True}])
    with pytest.raises(InputError):
        verdicts_of_files(m, b)


@pytest.mark.parametrize("confidence", [1.0, 0.4])
def test_options_out_of_range_are_refused_before_anything_is_read(confidence: float) -> None:
    with pytest.raises(UsageError, match="confidence"):
        verdicts_of_files(Path("absent"), Path("absent"), confidence=confidence)
