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
from medbench_local.statistics.clusters import cluster_bootstrap
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


# Twelve questions about two pictures, which only the medical model answers, and sixty that share nothing.
TOGETHER = [(True, False, place // 6) for place in range(12)] + [
    (place % 2 == 0, place % 2 == 0, 100 + place) for place in range(60)
]


def _sharing(tmp_path: Path, medical: str | None, base: str | None) -> FileVerdicts:
    """The verdict of `TOGETHER`, each file with its clusters under a name, or without them."""
    files = []
    for name, side, key in (("m", 0, medical), ("b", 1, base)):
        rows: list[dict[str, object]] = []
        for place, row in enumerate(TOGETHER):
            shared: object = f"{name}-{row[2]}" if key == "image" else row[2]
            rows.append(
                {"id": place, "correct": row[side]}
                | ({} if key is None else {key: [f"x{shared}.jpg"] if key == "images" else shared})
            )
        files.append(_write(tmp_path / name, rows))
    return verdicts_of_files(*files)


@pytest.mark.parametrize(
    ("medical", "base", "by"),
    [
        ("cluster", "cluster", "cluster"),
        ("image", "image", "picture"),
        ("images", None, "picture"),
        (None, "image", "picture"),
        ("images", "cluster", "cluster"),
    ],
)
def test_questions_that_share_something_have_an_interval_over_it(
    tmp_path: Path, medical: str | None, base: str | None, by: str
) -> None:
    found = _sharing(tmp_path, medical, base)
    (row,) = found.rows
    direct = cluster_bootstrap(
        [one for one, _, _ in TOGETHER],
        [other for _, other, _ in TOGETHER],
        [name for _, _, name in TOGETHER],
    )
    beside = row.clusters
    assert beside is not None
    assert (beside.by, beside.n, beside.ci, beside.verdict) == (by, 62, (direct.low, direct.high), "tie")
    assert (row.verdict, row.doubt, row.unlike_clusters) == ("win", None, True)
    assert row.said == f"win (tie over 62 {by}s)"
    assert found.to_dict()["verdicts"][0]["clusters"]["verdict"] == "tie"
    assert found.warnings[-1].startswith(f"all questions: win over questions, but tie over 62 {by}s [0.0, ")


def test_without_shared_questions_nothing_stands_beside(tmp_path: Path) -> None:
    found = _sharing(tmp_path, None, None)
    assert found.rows[0].clusters is None
    assert "clusters" not in found.to_dict()["verdicts"][0]
    rows = [{"id": i, "correct": i % 2, "image": f"{i}.jpg"} for i in range(20)]
    found = verdicts_of_files(_write(tmp_path / "m", rows), _write(tmp_path / "b", rows[::-1]))
    assert found.rows[0].clusters is None


def test_files_that_group_questions_differently_are_said(tmp_path: Path) -> None:
    rows = [{"id": i, "correct": i % 2, "cluster": i // 2} for i in range(20)]
    other = [row | {"cluster": i // 4} for i, row in enumerate(rows)]
    found = verdicts_of_files(_write(tmp_path / "m", rows), _write(tmp_path / "b", other))
    assert found.rows[0].clusters is None
    assert any(
        text.startswith("all questions: by one file other questions share a cluster")
        for text in found.warnings
    )


def test_a_win_of_few_clusters_is_said(tmp_path: Path) -> None:
    rows = [{"id": i, "correct": 1, "cluster": "ab"[i % 2]} for i in range(40)]
    other = [row | {"correct": 0} for row in rows]
    found = verdicts_of_files(_write(tmp_path / "m", rows), _write(tmp_path / "b", other))
    assert found.rows[0].said == "win (2 clusters only)"
    assert found.warnings[-1].endswith("about 2 clusters, which are too few to show a difference.")


def test_clusters_of_a_csv_file_and_of_rows_with_several_pictures(tmp_path: Path) -> None:
    lines = ["id,correct,images"]
    lines += [f'{i},{i % 2},"[""p{i}"", ""p{i + i % 2}""]"' for i in range(8)]
    path = tmp_path / "m.csv"
    path.write_text("\n".join(lines) + "\n")
    found = verdicts_of_files(path, path)
    beside = found.rows[0].clusters
    assert beside is not None
    assert (beside.by, beside.n) == ("picture", 5)  # 0, 1 and 2, 3 and 4, 5 and 6, 7


def test_a_cluster_that_is_no_name_is_refused_and_a_picture_itself_is_none(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"id": i, "correct": True, "image": {"bytes": "AAAA"}} for i in range(8)]
    path = _write(tmp_path / "m", rows)
    assert verdicts_of_files(path, path).rows[0].clusters is None
    rows[3]["cluster"] = [1]
    with pytest.raises(InputError, match="line 4, key 'cluster'"):
        verdicts_of_files(_write(path, rows), path)
