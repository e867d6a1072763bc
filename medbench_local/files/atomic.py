"""Files that are either whole or not there: the one way in which files are written."""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, cast

from medbench_local.errors import SYSTEM_ADVICE, TOO_MANY_FILES, DiskFullError, StoreError, UsageError
from medbench_local.files.space import is_disk_full
from medbench_local.paths import existing

_RUN_FILES = ("manifest.json", "results.json", "scores.sqlite")
"""What makes a folder a run's; see `medbench_local.results.folder`."""

_UNFINISHED = re.compile(r"\..+\.[0-9a-f]{16}\.part")
"""What `_temporary` makes of a name."""


def output_file(path: Path, *, inputs: Iterable[Path] = ()) -> Path:
    """The file that ``output=path`` will write, or replace as a whole: what symbolic links lead to.

    Nothing is written. To be asked before the work, so that nothing is lost to a typo.

    Args:
        path: as given by the user; it need not exist, nor its folder.
        inputs: files and folders that the command reads; those that do not exist do not matter.

    Raises:
        UsageError: it is a folder, a device or a pipe; an input, in an input's folder, or what a run consists of; or
            its name is too long.
        StoreError: it cannot be looked at.
    """
    target = _replaceable(path)
    for source in inputs:
        if _same(target, source):
            raise _refusal(path, "is what this command reads, and would be lost")
        if any(_same(folder, source) for folder in target.parents):
            raise _refusal(path, f"lies in {source}, which this command reads")
    name = target.name.lower()
    if name in _RUN_FILES and any((target.parent / n).exists() for n in _RUN_FILES if n != name):
        raise _refusal(path, f"belongs to the run in {target.parent}, which would be lost")
    return target


def output_folder(path: Path, *, inputs: Iterable[Path] = ()) -> Path:
    """The folder that ``output=path`` will write into: what symbolic links lead to; see `output_file`.

    Args:
        path: as given by the user; it need not exist.
        inputs: files and folders that the command reads; those that do not exist do not matter.

    Raises:
        UsageError: it is no folder; an input or in an input's folder, or the folder of one; or its name is too long.
        StoreError: it cannot be looked at.
    """
    try:
        is_other = path.exists() and not path.is_dir()
    except OSError as error:
        raise _unreachable(path, error) from error
    if is_other:
        raise _refusal(path, "is a file, not a folder")
    target = Path(os.path.realpath(path))
    for source in inputs:
        if _same(target, source):
            raise _refusal(path, "is what this command reads")
        if any(_same(folder, source) for folder in target.parents):
            raise _refusal(path, f"lies in {source}, which this command reads")
    return target


@contextmanager
def whole_file(path: Path, *, nbytes: int = 0) -> Iterator[Path]:
    """Give a temporary name beside ``path``; move it into place if the block ends well, else remove it.

    Args:
        path: the file to make; an existing one is replaced at the very end, and so is a symbolic link: what that
            leads to is somebody else's. What a user names is asked for with `output_file` first, which follows it.
        nbytes: how large it will be about; checked against the free space before anything is written.

    Raises:
        DiskFullError: the disk is too small, or became full.
        StoreError: the folder cannot be written to.
        UsageError: ``path`` is a folder, a device or a pipe, which a file must not take the place of.
    """
    path = _replaceable(path, follow=False)
    temporary = path.parent / _temporary(path.name, secrets.token_hex(8))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if nbytes and (free := shutil.disk_usage(path.parent).free) < nbytes:
            raise DiskFullError(
                f"{path} needs {nbytes / 1e9:.1f} GB, the disk has {free / 1e9:.1f} GB left.",
                advice="Free space, or choose another disk (MEDBENCH_HOME for the tool's own files).",
            )
        yield temporary
        temporary.replace(path)
    except OSError as error:
        read = _another(error, (temporary, path, *path.parents))
        raise (StoreError(f"{read}: {error.strerror}.") if read else disk_error(path, error)) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_atomic(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` as UTF-8: to a temporary name beside it, flushed, then moved into place.

    Raises:
        StoreError, UsageError: as `whole_file`; an older ``path`` is left as it was.
    """
    write_lines(path, (text,))


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """`write_atomic` of texts that are written one after the other, as they come.

    Raises:
        StoreError, UsageError: as `whole_file`; an older ``path`` is left as it was.
    """
    with whole_file(path) as temporary, temporary.open("x", encoding="utf-8", newline="\n") as file:
        file.writelines(lines)
        file.flush()
        os.fsync(file.fileno())


def remove_tree(path: Path) -> None:
    """Remove a folder with all that is in it, or the link to one: what that leads to is somebody else's.

    Raises:
        StoreError: it cannot be removed.
    """
    try:
        if path.is_symlink():
            path.unlink()
        elif path.is_dir():
            shutil.rmtree(path)
    except OSError as error:
        raise disk_error(path, error) from error


def own_folder(path: Path) -> Path:
    """``path`` itself, a folder of the tool's own: a link in its place is removed, not followed.

    Raises:
        StoreError: the link cannot be removed.
    """
    try:
        if path.is_symlink():
            path.unlink()
    except OSError as error:
        raise disk_error(path, error) from error
    return path


@contextmanager
def appended(path: Path) -> Iterator[BinaryIO]:
    """``path``, a file of the tool's own, to be written on at its end; made if it is absent.

    A link in its place is removed, not followed; of what else is no file nothing is waited for.

    Raises:
        OSError: it cannot be opened.
    """
    if path.is_symlink():
        path.unlink()
    with open(path, "ab", opener=_not_followed) as file:
        yield cast("BinaryIO", file)


def _not_followed(name: str, flags: int) -> int:
    """For `open`: what stands there itself, if it is a file."""
    descriptor = os.open(name, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0), 0o666)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EEXIST, "it is a device or a pipe, not a file", name)
    return descriptor


def remove_unfinished(folder: Path) -> None:
    """Remove the temporary files that a process left in ``folder`` which was killed while it wrote them.

    To be called by the only process that writes there.

    Raises:
        StoreError: one cannot be removed.
    """
    try:
        for path in sorted(folder.glob(".*.part")):
            if _UNFINISHED.fullmatch(path.name):
                path.unlink(missing_ok=True)
    except OSError as error:
        raise disk_error(folder, error) from error


def need_place(folder: Path) -> None:
    """Find out before hours of work whether ``folder``, which need not exist yet, can be written to.

    Raises:
        StoreError: it cannot.
    """
    try:
        with tempfile.TemporaryFile(dir=existing(folder)):
            pass
    except OSError as error:
        raise disk_error(folder, error) from error


def disk_error(path: Path, error: OSError) -> StoreError:
    """``error`` while writing ``path``, in words, with what to do about it."""
    if is_disk_full(error):
        return DiskFullError(
            f"{path}: the disk is full.",
            advice="Make space and run the same command again; everything computed so far is kept.",
        )
    return StoreError(
        f"{path}: cannot be written ({error.strerror or error}).",
        advice=_ADVICE.get(
            error.errno or 0, "Check the folder's permissions, or choose another with `output=`."
        ),
    )


_ADVICE = {number: SYSTEM_ADVICE[number] for number in (*TOO_MANY_FILES, errno.EROFS, errno.EIO)}


def _another(error: OSError, written: Sequence[Path]) -> Path | None:
    """The file that the system did not give, if it is none of those ``written``: one that was read meanwhile."""
    name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else ""
    return Path(name) if name and Path(name) not in written else None


def _replaceable(path: Path, *, follow: bool = True) -> Path:
    """Where a file written to ``path`` lies in the end, once it is sure that only a file, or a link, is there."""
    try:
        # Not of the resolved path: what /dev/stdout stands for may have no name.
        mode = path.stat().st_mode if follow else path.lstat().st_mode
    except FileNotFoundError:
        mode = None
    except OSError as error:
        raise _unreachable(path, error) from error
    if mode is not None and not stat.S_ISREG(mode) and not stat.S_ISLNK(mode):
        problem = "is a folder, not a file" if stat.S_ISDIR(mode) else "is a device or a pipe, not a file"
        if follow:
            raise _refusal(path, problem)
        raise UsageError(f"{path} {problem}.", advice="Remove it, or choose another place with `output=`.")
    target = Path(os.path.realpath(path)) if follow else path
    try:
        (existing(target.parent) / _temporary(target.name, "0" * 16)).lstat()
    except FileNotFoundError:
        pass
    except OSError as error:
        raise _unreachable(path, error) from error
    return target


def _temporary(name: str, mark: str) -> str:
    return f".{name}.{mark}.part"


def _same(first: Path, second: Path) -> bool:
    """Whether both exist and are one file or folder, however it is spelled."""
    try:
        return first.samefile(second)
    except OSError:
        return False


def _refusal(path: Path, problem: str) -> UsageError:
    return UsageError(
        f"`output=` {path} {problem}.", advice="Choose the name of another file with `output=`."
    )


def _unreachable(path: Path, error: OSError) -> UsageError | StoreError:
    if error.errno == errno.ENAMETOOLONG:
        return _refusal(path, "is a longer name than the file system takes")
    return disk_error(path, error)
