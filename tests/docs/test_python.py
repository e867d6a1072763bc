"""The examples of docs/python.md run as they stand, and say what the document says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

TEXT = (Path(__file__).parents[2] / "docs" / "python.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)


def test_there_are_three() -> None:
    assert len(EXAMPLES) == 3


@pytest.mark.parametrize("number", range(3))
def test_an_example_runs(
    number: int,
    demo_home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MEDBENCH_HOME", str(demo_home))
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(compile(EXAMPLES[number], f"example {number}", "exec"), names)  # noqa: S102
    written = capsys.readouterr()
    assert written.err == "", "nothing is a terminal here"
    if number == 0:
        assert re.search(r"^demo-anatomy (win|tie|loss) ", written.out)
    elif number == 1:
        assert len(names["rows"]) == 2 * 20
        both = {row["id"] for row in names["rows"]}
        assert names["right"]["medical"] | names["right"]["base"] <= both
    else:
        assert names["found"].outcome in written.out
        assert f"{names['found'].overall.flips} answers differ" in written.out
