"""What a shell offers: asked as a shell asks, in a process of its own, and what that loads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import medbench_local
from tests.cli.test_imports import MAIN, RUN, SLOW


def _offered(*asked: str, heavy: tuple[str, ...] = (*SLOW, "numpy", "sqlite3")) -> list[list[str]]:
    """What bash is offered behind each of the words, asked of one process; the last one is what was typed of the next.

    What is loaded for one is seen for all.
    """
    ended = subprocess.run(
        [sys.executable, "-c", RUN.format(what=EACH, heavy=heavy), *asked],
        capture_output=True,
        text=True,
        env=os.environ
        | {
            "PYTHONPATH": str(Path(medbench_local.__file__).parents[1]),
            "_MEDBENCH_LOCAL_COMPLETE": "complete_bash",
        },
    )
    assert ended.returncode == 0, ended.stderr
    assert json.loads(Path("loaded.json").read_text(encoding="utf-8")) == []
    *found, rest = ended.stdout.split(END)
    assert (len(found), rest.strip()) == (len(asked), "")
    return [one.split() for one in found]


END = "<that was all>"
EACH = f"""
    import os
    for words in sys.argv[1:]:
        os.environ |= {{"COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}}
        try:
            from medbench_local.cli.main import main; main([])
        except SystemExit as ended:
            assert not ended.code, ended.code
        print("{END}")
""".strip()
"""Completes behind each of the words, as `MAIN` does behind one."""

OFFERED = {
    "medbench-local compare meditron-7": "meditron-7b",
    "medbench-local compare meditron-7b demo-b": "demo-base",
    "medbench-local compare a b --tasks pubm": "pubmedqa",
    "medbench-local compare a b --tasks medqa,pubm": "medqa,pubmedqa",
    "medbench-local compare a b --quant q4_k": "q4_k_m",
    "medbench-local compare a b --protocol em": "emnlp2024",
    "medbench-local tasks show mmm": "mmmu",
    "medbench-local report one": "one-vs-other-12345678",
    "medbench-local runs rm one": "one-vs-other-12345678",
    "medbench-local runs rm check-": "check-demo-med-q8_0-12345678",
    "medbench-local runs show both/": "both/01",
    "medbench-local report one-vs-other-12345678 --format h": "html",
    "medbench-local sweep meditron-7b-": "meditron-7b-vs-llama-2-7b",
    "medbench-local compare a b --scoring cl": "cloze",
    "medbench-local compare a b --mode r": "reproducible",
    "medbench-local compare a b --check n": "none",
    "medbench-local models rm my": "my-model",
}


def test_names_are_offered(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = home / "runs" / "one-vs-other-12345678"
    run.mkdir(parents=True)
    (run / "manifest.json").write_text("{}")
    for name, file in (("both/01", "manifest.json"), ("check-demo-med-q8_0-12345678", "checks.json")):
        (home / "runs" / name).mkdir(parents=True)
        (home / "runs" / name / file).write_text("{}")
    (home / "own" / "models" / ("my-model-" + "0" * 16)).mkdir(parents=True)
    monkeypatch.setenv("MEDBENCH_HOME", str(home / "own"))
    for (words, offered), found in zip(OFFERED.items(), _offered(*OFFERED), strict=True):
        assert offered in found, words
        assert all(name.startswith(words.rpartition(" ")[2]) for name in found), words


def test_partners_of_the_medical_model_are_offered_alone(home: Path) -> None:
    partners, typed, medical = _offered(
        "medbench-local compare meditron-7b ",
        "medbench-local compare meditron-7b llama-3-",
        "medbench-local sweep ",
    )
    assert partners == ["llama-2-7b"]
    assert "llama-3-8b" in typed, "others when they are typed"
    assert "meditron-7b" in medical
    assert "llama-2-7b" not in medical, "nothing's medical model"


def _asked(shell: str, typed: str, **more: str) -> subprocess.CompletedProcess[str]:
    """What the program answers where a shell asks as typer's script for it does."""
    return subprocess.run(
        [sys.executable, "-c", f"import sys; sys.argv[0] = 'medbench-local'; {MAIN}"],
        capture_output=True,
        text=True,
        env=os.environ
        | {
            "PYTHONPATH": str(Path(medbench_local.__file__).parents[1]),
            "_MEDBENCH_LOCAL_COMPLETE": f"complete_{shell}",
            "_TYPER_COMPLETE_ARGS": typed,
            **more,
        },
    )


@pytest.mark.parametrize(
    ("shell", "more"), [("zsh", {}), ("fish", {"_TYPER_COMPLETE_FISH_ACTION": "get-args"})]
)
def test_other_shells_are_answered(home: Path, shell: str, more: dict[str, str]) -> None:
    ended = _asked(shell, "medbench-local compare meditron-7b ", **more)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "llama-2-7b" in ended.stdout
    assert "meditron" not in ended.stdout


def test_a_shell_is_never_told_of_errors(home: Path) -> None:
    nobody = {"MEDBENCH_HOME": "~nobody-of-this-name/x"}
    for shell, more in (("bash", {}), ("zsh", nobody), ("fish", nobody)):
        ended = _asked(shell, "medbench-local models rm ", **more)
        assert ended.stderr == "", shell
        assert "error" not in ended.stdout
