"""A notebook is run in a kernel, as people run it: progress, a table, the samples, and what an interrupt says."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

import medbench_local

ASKED = 'tasks="demo-anatomy", limit=5, shots=[0]'
CELLS = (
    f"""
from medbench_local import compare
run = compare("demo-med", "demo-base", {ASKED}, output="run")
run
""",
    "print(run)",
    "run",
    "len(run.samples()), run.to_pandas()[['task', 'verdict']]",
    """
import _thread, pathlib, threading, time
def stop():
    while not pathlib.Path("all/scores.sqlite").exists():
        time.sleep(0.1)
    _thread.interrupt_main()
threading.Thread(target=stop, daemon=True).start()
compare("demo-med", "demo-base", output="all", protocol="emnlp2024")
""",
    'compare("demo-med", "demo-base", taks="demo-anatomy")',
)


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory, demo_home: Path) -> list[list[Any]]:
    """What each cell shows."""
    folder = tmp_path_factory.mktemp("notebook")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    client = NotebookClient(
        notebook,
        timeout=240,
        kernel_name="python3",
        allow_errors=True,
        resources={"metadata": {"path": str(folder)}},
    )
    client.execute(
        env=os.environ
        | {
            "MEDBENCH_HOME": str(demo_home),
            "PYTHONPATH": str(Path(medbench_local.__file__).parents[1]),
            "IPYTHONDIR": str(folder / "ipython"),
        }
    )
    return [cell.outputs for cell in notebook.cells]


def _texts(outputs: list[Any]) -> str:
    return "".join(output.text for output in outputs if output.output_type == "stream")


def _shown(outputs: list[Any]) -> Any:
    return next(output.data for output in outputs if output.output_type == "execute_result")


def test_a_comparison_shows_progress_and_a_table(cells: list[list[Any]]) -> None:
    progress = [output for output in cells[0] if output.output_type == "display_data"]
    assert len(progress) == 1, "one line, written anew"
    table = _shown(cells[0])
    assert "<td>demo-anatomy</td>" in table["text/html"]
    assert table["text/plain"].startswith("<Run: demo-med against demo-base: ")
    assert len(table["text/plain"]) < 100


def test_printed_it_is_a_table_without_escape_sequences(cells: list[list[Any]]) -> None:
    assert [output.output_type for output in cells[1]] == ["stream"]
    lines = _texts(cells[1]).splitlines()
    assert any(line.split()[:2] == ["demo-anatomy", "5"] for line in lines)
    assert not any("\x1b" in str(output) for outputs in cells[:4] for output in outputs)


def test_samples_and_a_data_frame(cells: list[list[Any]]) -> None:
    shown = _shown(cells[3])["text/plain"]
    assert shown.startswith("(10,")
    assert "demo-anatomy" in shown


def test_an_interrupt_says_how_it_goes_on(cells: list[list[Any]]) -> None:
    assert "the same call goes on where this one stopped" in _texts(cells[4])
    assert [output.ename for output in cells[4] if output.output_type == "error"] == ["KeyboardInterrupt"]


def test_a_slip_says_what_may_be_meant(cells: list[list[Any]]) -> None:
    (error,) = (output for output in cells[5] if output.output_type == "error")
    assert error.evalue.endswith("Did you mean 'tasks'?")
