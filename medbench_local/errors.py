"""Every exception the package raises on purpose.

* MedbenchError           (exit code 2)
  * UsageError            a command-line value or a combination of options that makes no sense
  * InputError            a file from outside is not what it should be: file, place, expectation
  * AcquireError          a model or data set cannot be had: hub, disk, unsupported architecture
  * EngineError           llama.cpp could not load, decode or stay alive
    * WorkerDied          the worker process ended; carries what it was doing
  * StoreError            the score store or run folder cannot be used (locked, full disk, damaged)

Each carries one line that says what happened and one that says what to do about it. They name arguments and functions
as Python does, in backquotes: `limit=`, `scoring="label"`, `force=True`, `convert()`. The command line writes these as
flags and commands; no message of the library has either.
"""

from __future__ import annotations

from pathlib import Path


class MedbenchError(Exception):
    """An error whose text is meant for the person at the keyboard.

    Args:
        message: one line, what happened, with the names and numbers involved.
        advice: one line, what to do about it; empty if nothing can be said.
    """

    def __init__(self, message: str, *, advice: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.advice = advice

    def __str__(self) -> str:
        return f"{self.message} {self.advice}".rstrip()


class UsageError(MedbenchError):
    """A command-line value or a combination of options makes no sense."""


class InputError(MedbenchError):
    """A file from outside is malformed.

    Args:
        path: the file.
        where: line, key, row, tensor or byte offset ("line 12", "key 'shots'"); empty if the whole file.
        problem: what was found and what was expected.
        advice: what to do about it.
    """

    def __init__(self, path: str | Path, where: str, problem: str, *, advice: str = "") -> None:
        place = f"{path}, {where}" if where else str(path)
        super().__init__(f"{place}: {problem}", advice=advice)
        self.path = str(path)
        self.where = where
        self.problem = problem


class AcquireError(MedbenchError):
    """A model or data set cannot be had."""


class EngineError(MedbenchError):
    """llama.cpp could not load, decode or stay alive."""


class WorkerDied(EngineError):
    """The engine's worker process ended while it was needed."""


class StoreError(MedbenchError):
    """The score store or the run folder cannot be used."""
