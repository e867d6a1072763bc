import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from medbench_local.errors import StoreError
from medbench_local.files import lock
from medbench_local.files.atomic import write_atomic
from medbench_local.files.lock import alone, only_process, only_writer
from medbench_local.progress import Silent

HOLD = (
    "import sys, time; from pathlib import Path; from medbench_local.files.lock import only_process\n"
    "with only_process(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
)


def test_a_second_process_is_refused_and_told_which_one_holds_it(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline().strip() == b"held"
        with (
            pytest.raises(StoreError, match=rf"process {holder.pid} .* since \d{{4}}-"),
            only_process(tmp_path),
        ):
            pass
        holder.send_signal(signal.SIGKILL if os.name == "posix" else signal.SIGTERM)
        holder.wait()
    with only_process(tmp_path):  # the lock of a dead process is free
        pass


def test_a_file_is_replaced_whole_or_left_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.txt"
    write_atomic(path, "first\n")
    with pytest.raises(UnicodeEncodeError):
        write_atomic(path, "second \ud800")
    assert path.read_bytes() == b"first\n"
    write_atomic(path, "third\n")
    assert [p.name for p in path.parent.iterdir()] == ["file.txt"]
    assert path.read_bytes() == b"third\n"


def test_a_folder_that_cannot_be_written_is_an_error_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="cannot be written"):
        write_atomic(tmp_path / "file" / "below.txt", "text")


def test_a_second_writer_of_a_file_is_refused_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "out.jsonl"
    hold = HOLD.replace("only_process", "only_writer")
    with subprocess.Popen([sys.executable, "-c", hold, str(path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline().strip() == b"held"
        with (
            pytest.raises(StoreError, match=rf"out.jsonl: in use by process {holder.pid} .* another file"),
            only_writer(path),
        ):
            pass
        with only_writer(path.with_name("other.jsonl")):
            pass
        holder.send_signal(signal.SIGKILL if os.name == "posix" else signal.SIGTERM)
        holder.wait()
    with only_writer(path), pytest.raises(StoreError, match=f"process {os.getpid()} "), only_writer(path):
        pass
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("link", [".lock", ".lock.json"])
def test_no_lock_is_written_through_a_link(tmp_path: Path, link: str) -> None:
    precious, run, out = tmp_path / "precious", tmp_path / "run", tmp_path / "out.jsonl"
    precious.write_text("precious")
    run.mkdir()
    (run / link).symlink_to(precious)
    (tmp_path / f".out.jsonl{link}").symlink_to(precious)
    with only_process(run), only_writer(out):
        assert not any(path.is_symlink() for path in (*run.iterdir(), *tmp_path.iterdir()))
    assert precious.read_text() == "precious"
    (run / "unused.lock").symlink_to(precious)
    with alone(run / "unused.lock", "testing", Silent()):
        pass
    assert precious.read_text() == "precious"


@pytest.mark.skipif(os.name != "posix", reason="Windows keeps a folder whose files are open")
def test_a_folder_that_was_replaced_meanwhile_is_no_success(tmp_path: Path) -> None:
    def work() -> None:
        with only_process(tmp_path / "run"):
            (tmp_path / "run").rename(tmp_path / "moved")
            write_atomic(tmp_path / "run" / "results.json", "{}")

    with pytest.raises(StoreError, match="run is another one than before"):
        work()


def test_what_went_wrong_is_not_hidden_by_a_note_that_cannot_be_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(self: Path, missing_ok: bool = False) -> None:
        raise PermissionError(errno.EROFS, os.strerror(errno.EROFS), str(self))

    def work() -> None:
        with only_process(tmp_path):
            monkeypatch.setattr(Path, "unlink", refused)
            raise StoreError("what went wrong")

    with pytest.raises(StoreError, match="what went wrong"):
        work()
    with only_process(tmp_path / "other"):
        pass


@pytest.mark.skipif(os.name != "posix", reason="flock is POSIX's")
@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_where_files_cannot_be_locked_that_is_said_and_nobody_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    import fcntl

    def flock(file: object, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    for held in (
        only_process(tmp_path / "run"),
        only_writer(tmp_path / "out"),
        alone(tmp_path / "a.lock", "", Silent()),
    ):
        with pytest.raises(StoreError, match=r"cannot be locked.*MEDBENCH_HOME"), held:
            pass


@pytest.mark.skipif(os.name != "posix", reason="flock is POSIX's")
def test_who_waits_notices_when_locks_stop_to_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    monkeypatch.setattr(lock, "_LOOK_AGAIN", 0.05)
    flock, refused = fcntl.flock, threading.Event()

    class Waiting(Silent):
        def note(self, text: str) -> None:
            monkeypatch.setattr(fcntl, "flock", broken)

    def broken(file: object, operation: int) -> None:
        refused.set()
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    with alone(tmp_path / "a.lock", "", Silent()):
        with pytest.raises(StoreError, match=r"locked|No locks"), alone(tmp_path / "a.lock", "", Waiting()):
            pass
        monkeypatch.setattr(fcntl, "flock", flock)
    assert refused.is_set()
