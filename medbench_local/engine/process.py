"""Processes that touch llama.cpp or run what came with a model: all are started here, and only here.

llama.cpp answers misuse with abort(), and the system kills whoever takes too much memory: only such a process ends
then. `medbench_local.engine.channel` is the other end.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO, Any, Literal

Work = Literal["engine.worker", "engine.quantise_worker", "engine.picture_worker", "prompts.template_worker"]
"""Modules of the package that such a process can run."""

Process = subprocess.Popen[bytes]
"""One of these processes."""

_NEEDED = (
    "PATH",
    "SYSTEMROOT",
    "WINDIR",
    "TEMP",
    "TMP",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "PYTHONHOME",
)
"""What Python needs of the environment; what runs a program from outside gets no more, and so no token."""

_WAITING = {"OMP_WAIT_POLICY": "passive", "OPENBLAS_NUM_THREADS": "1"}
"""Threads that wait sleep, or are not there, unless the environment says otherwise.

Those of llama.cpp would spin, and when other programs use the cores too, they spin while the one that they wait for
cannot run: four times the processor and four times the wall time (docs/speed.md). Those of numpy are not needed.
"""


_START = """
import sys
sys.path[:] = [place for place in sys.path if place]
from importlib import import_module
import_module(sys.argv[1]).main()
"""
"""What such a process runs: Python itself looks for modules in the working folder first, perhaps a model's."""


def start_process(work: Work, errors: IO[bytes] | None, *, trusted: bool = True) -> Process:
    """Start a process that a Ctrl-C in the terminal does not reach, and that ends when this one does.

    Args:
        work: what it runs.
        errors: a file that gets what it and llama.cpp print; None if nobody wants it.
        trusted: whether it gets the environment of this process, which may hold a token of the hub.

    Returns:
        The process; its standard input and output are pipes. To be ended with `end_process`.
    """
    own_group: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        own_group = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    # The package must be found however this process found it.
    root = str(Path(__file__).resolve().parents[2])
    paths = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    given = os.environ if trusted else {name: os.environ[name] for name in _NEEDED if name in os.environ}
    return subprocess.Popen(
        [sys.executable, "-c", _START, f"medbench_local.{work}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL if errors is None else errors,
        env={**_WAITING, **given, "PYTHONPATH": paths},
        **own_group,
    )


def end_process(process: Process, *, patience: float = 0) -> None:
    """End it, whatever it does, and close its pipes; safe to call twice.

    Args:
        process: from `start_process`.
        patience: seconds for it to end by itself, which it does when its pipe is closed; then it is killed.
    """
    if not patience:  # before the pipes are closed, for which one that nobody serves any more would be waited
        process.kill()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None and not pipe.closed:
            with contextlib.suppress(OSError):  # what is still unwritten cannot be delivered any more
                pipe.close()
    if patience:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience)
    process.kill()
    process.wait()


_ENDINGS = {0xC000001D: "SIGILL", 0xC0000005: "SIGSEGV", 0xC0000094: "SIGFPE", 0xC0000409: "SIGABRT"}
"""What Windows ends a program with, by the name of the signal that means the same."""


def signal_of(code: int) -> str:
    """The name of the signal that ended a process; "" if it ended otherwise.

    Args:
        code: its return code; on Windows a status.
    """
    if code >= 0:
        return _ENDINGS.get(code, "")
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
