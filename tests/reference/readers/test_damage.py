"""Whatever a file holds, it is read or refused with its place: never another error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medbench_local.errors import InputError
from medbench_local.reference.outcomes import read_results
from medbench_local.reference.rows import read_rows
from tests.reference.readers.logs import log, sample, write_eval, write_json
from tests.reference.written import log_line

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 30) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
OURS = {"id": 1, "prediction": "A", "answer": "A", "question": "Q", "options": ["x", "y"], "correct": True}
REDUCTION = {
    "scorer": "choice",
    "reducer": "mode",
    "samples": [{"value": "C", "answer": "A", "sample_id": "q0"}],
}


def damaged(data: st.DataObject, fields: dict[str, Any]) -> dict[str, Any]:
    names = data.draw(st.lists(st.sampled_from(sorted(fields)), max_size=3, unique=True))
    return {**fields, **{name: data.draw(VALUES) for name in names}}


@pytest.mark.parametrize("ending", [".jsonl", ".json", ".csv", ".eval", "inspect.json"])
@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_any_damage_is_refused_or_read(tmp_path: Path, ending: str, data: st.DataObject) -> None:
    path = tmp_path / f"file{ending}"
    if ending in (".eval", "inspect.json"):
        samples = [damaged(data, sample(0)), sample(0, epoch=2)]
        content = damaged(data, log(samples, reductions=[damaged(data, REDUCTION)]))
        if ending == ".eval":
            write_eval(
                path,
                content | {"samples": [each | {"id": "q0", "epoch": i} for i, each in enumerate(samples)]},
            )
        else:
            write_json(path, content)
    else:
        rows = [damaged(data, row) for row in (OURS, log_line(), {"predicted_answer": 1, "ground_truth": 1})]
        if ending == ".json":
            path.write_text(
                json.dumps(data.draw(st.sampled_from([rows, {"rows": rows}, rows[:1]]))), encoding="utf-8"
            )
        elif ending == ".jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        else:
            cells = [[*OURS], [*map(str, rows[0].values())], [*map(json.dumps, rows[0].values())]]
            lines = [",".join('"' + cell.replace('"', '""') + '"' for cell in line) for line in cells]
            path.write_text("\n".join(lines), encoding="utf-8", errors="replace")
    refusals = []
    for read in (read_results, read_rows):
        try:
            read(path)
        except InputError as error:
            refusals.append(str(error))
    assert all(path.name in refusal for refusal in refusals)
