"""The command in a manifest: a shell reads it as the options that were given."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from medbench_local import Protocol, load_protocol
from medbench_local.study.command import command_of, quoted
from medbench_local.study.options import CompareOptions, SweepOptions, resolve

ODD = [
    "plain",
    "two words",
    "it's",
    'say "so"',
    "$HOME `x` \\n",
    "a\nb\tc",
    "é中",
    "-x",
    "~other",
    "",
    "#!*?",
    "a'b\nc\\d",
]


def typed(**options: Any) -> str:
    return command_of("a med", "base", resolve(CompareOptions(**options)))


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize("word", ODD)
def test_a_shell_reads_every_word_back(word: str) -> None:
    line = quoted(word)
    assert "\n" not in line
    script = "import sys; print(ascii(sys.argv[1:]))"
    done = subprocess.run(
        ["bash", "-c", f'"$0" -c "$1" {line}', sys.executable, script],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == ascii([word])


def test_options_are_written_as_they_are_typed(tmp_path: Path) -> None:
    assert typed() == "medbench-local compare 'a med' base"
    assert typed(tasks=["medqa", "./my task"], shots=[0, 3]).endswith("--tasks 'medqa,./my task' --shots 0,3")
    assert typed(ablation=False, questions=False, force=True).endswith("--no-ablation --no-questions --force")
    assert typed(system_prompt={"medical": "Be brief.", "base": ""}).endswith(
        "--system-prompt 'medical=Be brief.' --system-prompt base="
    )
    assert typed(data_dir=Path("data"), limit=5, quant="q4_0").endswith(
        "--quant q4_0 --limit 5 --data-dir data"
    )


def test_the_home_folder_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv("USERPROFILE", "/home/somebody")
    if Path.home() != Path("/home/somebody"):
        pytest.skip("paths are written otherwise here")
    line = typed(output=Path("/home/somebody/my runs/one"), tasks=["/home/somebody/q.csv"])
    assert line.endswith("--tasks ~/q.csv --output ~/'my runs/one'")
    assert quoted("/home/somebody-else/x") == "/home/somebody-else/x"


def test_a_chosen_precision_is_named_and_a_sweep_is_typed_as_comparisons() -> None:
    assert command_of("m", "b", resolve(CompareOptions()), quant="q8_0").endswith("m b --quant q8_0")
    line = command_of("m", "b", resolve(SweepOptions()))
    assert line == "medbench-local compare m b --protocol laptop --ablation"


def test_a_protocol_that_is_in_no_file_cannot_be_typed() -> None:
    assert typed(protocol=load_protocol("emnlp2024")).endswith("--protocol emnlp2024")
    own: Protocol = load_protocol("laptop").model_copy(update={"shots": (7,)})
    assert typed(protocol=own) == ""
