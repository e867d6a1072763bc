import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from medbench_local.errors import StoreError
from medbench_local.files.atomic import write_atomic
from medbench_local.files.lock import only_process, only_writer

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
