"""Every exception the package raises on purpose.

* MedbenchError                        (exit code 2)
  * UsageError                         a value or a combination of options that makes no sense
    * TooFewPicturesError              a prompt that the study's code cannot ask, in a protocol that does as it did
  * InputError                         a file from outside is not what it should be: file, place, expectation
    * QuestionsError                   rows of a table of questions are not what they should be: all of them
  * AcquireError                       a model or data set cannot be had
    * GatedError                       its authors ask who downloads it, and have not let this account in
    * NotFoundError                    the hub has no such repository, revision or file
    * OfflineError                     it is not on this machine, and the network may not be used
    * UnreachableError                 the hub gives no answer, or returns server errors; another day it may
    * UnsupportedArchitectureError     neither converted nor scored here (an EngineError, too)
    * DiskFullError                    no room for what is written (a StoreError, too)
  * EngineError                        llama.cpp could not load, decode or stay alive
    * DoesNotFitError                  more memory is needed than is free
    * WorkerDied                       the worker process ended; carries what it was doing
  * StoreError                         what is written cannot be: score store, run folder, output file
  * CancelledError                     the work was stopped on request; what was finished is kept

Each carries one line that says what happened and one that says what to do about it. They name arguments and functions
as Python does, in backquotes: `limit=`, `scoring="label"`, `force=True`, `convert()`. The command line writes these as
flags and commands; no message of the library has either.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
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
    """A value or a combination of options makes no sense."""


class TooFewPicturesError(UsageError):
    """A prompt has more places for pictures than the study's code hands over, and the protocol does as it did."""


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


class QuestionsError(InputError):
    """Rows of a table of questions are not what they should be.

    Attributes:
        defects: what is wrong with each, with its place and column.
    """

    SAID = 5
    """How many the message names."""
    defects: tuple[str, ...] = ()

    @classmethod
    def of(cls, path: str | Path, defects: Sequence[str]) -> QuestionsError:
        """The error of a file with these defects, at least one."""
        count = "1 defect" if len(defects) == 1 else f"{len(defects):,} defects"
        more = f"; and {len(defects) - cls.SAID:,} more" if len(defects) > cls.SAID else ""
        advice = "`import_questions()` lists all of them." if more else "Correct it, and read the file again."
        error = cls(path, "", f"{count}: {'; '.join(defects[: cls.SAID])}{more}.", advice=advice)
        error.defects = tuple(defects)
        return error


class AcquireError(MedbenchError):
    """A model or data set cannot be had."""


class GatedError(AcquireError):
    """The authors of a repository ask who downloads it, and this account has no access (yet)."""


class NotFoundError(AcquireError):
    """The hub has no such repository, revision or file."""


class OfflineError(AcquireError):
    """What is needed is not on this machine, and the network may not be used."""


class UnreachableError(AcquireError):
    """The hub gives no answer, or returns server errors; another day it may answer."""


class EngineError(MedbenchError):
    """llama.cpp could not load, decode or stay alive."""


class DoesNotFitError(EngineError):
    """More memory is needed than is free."""


class WorkerDied(EngineError):
    """The engine's worker process ended while it was needed.

    Args:
        message: one line, what happened.
        advice: one line, what to do about it.
        signal: name of the signal that ended it ("SIGILL"); empty if none did.
    """

    def __init__(self, message: str, *, advice: str = "", signal: str = "") -> None:
        super().__init__(message, advice=advice)
        self.signal = signal


class UnsupportedArchitectureError(AcquireError, EngineError):
    """A model of a kind that cannot be converted, or that llama.cpp or this program's scoring cannot handle."""


class StoreError(MedbenchError):
    """What is to be kept cannot be written or read: the score store, the run folder, an output file."""


class DiskFullError(AcquireError, StoreError):
    """There is no room for what is downloaded, converted, scored or reported."""


class CancelledError(MedbenchError):
    """The work was stopped on request before its end; what was finished is kept."""


TOO_MANY_FILES = (errno.EMFILE, errno.ENFILE)
"""Numbers of the system's errors where this process, or the whole machine, has too many files open."""

SYSTEM_ADVICE: Mapping[int, str] = {
    errno.ENAMETOOLONG: "Use a shorter name.",
    errno.ENOSPC: "Free space, then run the same command again.",
    errno.EDQUOT: "Free space, then run the same command again.",
    errno.EACCES: "Change its permissions, or name another place.",
    errno.EPERM: "Change its permissions, or name another place.",
    errno.EROFS: "Make the disk writable again, or name another place.",
    errno.ELOOP: "Its links lead in a circle.",
    errno.ENOTDIR: "Something in the path is not a folder.",
    errno.EISDIR: "Name a file.",
    errno.ENOENT: "Check the path.",
    errno.EEXIST: "Name another place.",
    errno.EIO: "The disk or the network drive does not answer as it should.",
    errno.EMFILE: "Allow more open files (`ulimit -n 4096`), and run the same command again.",
    errno.ENFILE: "Close other programs: the whole machine has too many files open.",
}
"""What to do about a file that the system does not give, by the number of its error."""
