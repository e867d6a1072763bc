"""Commands of a page are run in a folder of its own, one after the other, so that it reads as a tutorial."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from medbench_local.catalog.model import models
from medbench_local.cli.main import main
from tests.docs.pages import ShellCommand, blocks, shell_commands

PLACEHOLDER = re.compile(r"^(?=.*[A-Z]{2})[A-Z0-9_]+(=[A-Z0-9_]+)?$|[…<]|\.\.\.")
"""What a reader replaces: RUN, MODEL, FILE, …"""

_FILE = re.compile(r"^(\.{0,2}/|~|@).+|.+\.(jsonl|json|csv|xlsx|yaml|yml|gguf|gz|eval|jinja|txt)$")
_MADE = {"--output", "--folder"}
_CHANGES_WHAT_IS_SHARED = {("models", "rm"), ("runs", "rm"), ("cache",), ("doctor",)}
_NEED_MODELS = {"compare", "sweep", "check", "convert", "quantize", "score", "reference"}
_EMBEDDED = {name for name, model in models().items() if model.embedded}


def why_not_run(command: ShellCommand, folder: Path) -> str | None:
    """Why a command is parsed only; None if it can be run in ``folder``, where the earlier ones of its page were.

    RUN stands for the run of the embedded pair, which is there.
    """
    words = command.words[1:]
    if reason := command.said.get("needs"):
        return reason
    if command.inline:
        return "within a sentence"
    if command.words[0] != "medbench-local":
        return "another program"
    if command.piped:
        return "belongs to a pipe"
    if found := [word for word in words if PLACEHOLDER.search(word) and word != "RUN"]:
        return f"{found[0]} stands for something"
    if any(words[: len(one)] == one for one in _CHANGES_WHAT_IS_SHARED):
        return "is about what the tests share, or about this machine"
    if {"--help", "-h", "--version", "--install-completion"} & set(words):
        return "prints help"
    named = [word for word in words if word in models() and word not in _EMBEDDED]
    if named or any(word.startswith(("hf:", "gguf:")) for word in words):
        return "needs the weights of a model"
    inputs = [word for before, word in zip(("", *words), words, strict=False) if before not in _MADE]
    for word in inputs:
        name = word.rpartition("=")[2].removeprefix("@")
        if _FILE.match(word) and not (folder / name).exists():
            return f"there is no {word}"
    if words[0] in _NEED_MODELS and not any("demo-" in word or _FILE.match(word) for word in words):
        return "needs the weights of a model"
    return None


@dataclass
class Tutorial:
    """A page whose commands are run in their order, each once.

    Attributes:
        page: its file.
        folder: where they are run; the files that the page shows lie there.
        run: of the embedded pair, the folder in which it lies.
        done: what became of each command so far: what it wrote to stdout, or None where it was not run.
    """

    page: Path
    folder: Path
    run: Path
    done: dict[int, str | None] = field(default_factory=dict)
    reasons: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir()
        shutil.copytree(self.run.parent, self.folder / "runs")
        for block in blocks(self.page):
            if name := block.said.get("file"):
                (self.folder / name).write_text(block.text, encoding="utf-8", newline="")

    def reach(self, number: int) -> str | None:
        """Run the commands up to ``number``; what this one wrote, None where it cannot be run here."""
        commands = list(shell_commands(self.page))
        for at in range(len(self.done), number + 1):
            command = commands[at]
            reason = why_not_run(command, self.folder)
            if reason is None:
                self.done[at] = self._run(command)
            else:
                self.done[at], self.reasons[at] = None, reason
        return self.done[number]

    def _run(self, command: ShellCommand) -> str:
        words = [re.sub(r"(^|/)RUN$", rf"\g<1>{self.run.name}", word) for word in command.words[1:]]
        code, out, err = in_folder(words, self.folder)
        assert code == int(command.said.get("exits", 0)), f"{command}\nended with {code}:\n{err}{out}"
        return out


def in_folder(words: Sequence[str], folder: Path) -> tuple[int, str, str]:
    """Run our command line in ``folder``: its exit code, what it wrote to stdout, what to stderr."""
    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    with entered(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(list(words))
        except SystemExit as ended:
            code = ended.code
    assert "Traceback" not in err.getvalue()
    return int(code or 0) if isinstance(code, int | None) else 2, out.getvalue(), err.getvalue()


@contextlib.contextmanager
def entered(folder: Path) -> Iterator[None]:
    """Be in ``folder`` for a while."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
