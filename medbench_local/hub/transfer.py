"""One file from the hub, over as many connections as it takes, checked against its hash.

huggingface_hub starts a file anew when the process that fetched it was ended; weights are single files of up
to 15 GB, so here an unfinished file stays and the next run asks for the rest.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from huggingface_hub import get_session
from huggingface_hub.utils import build_hf_headers, hf_raise_for_status  # type: ignore[attr-defined]

from medbench_local.errors import AcquireError
from medbench_local.files.atomic import appended
from medbench_local.files.hashes import git_hash_file, hash_file
from medbench_local.hub.errors import TransportError, is_passing, redact, wait_asked_for
from medbench_local.progress import Advance, Progress, Silent

Result = TypeVar("Result")

_TIMEOUT = 30.0
_LONGEST_WAIT = 120.0
_AGAIN = "Run the same command again; if it stays so, a proxy or mirror (HF_ENDPOINT) changes files."


@dataclass(frozen=True)
class RemoteFile:
    """A file as the hub lists it.

    Attributes:
        path: relative to the repository, with forward slashes.
        size: bytes.
        sha256: of the content, for large files; "" where the hub does not say.
        git_id: git's own hash of a small file.
    """

    path: str
    size: int
    sha256: str
    git_id: str

    @property
    def blob(self) -> str:
        """The file's name in the hub cache."""
        return self.sha256 or self.git_id


@dataclass(frozen=True)
class Patience:
    """How often a question without answer is asked again.

    Attributes:
        retries: failures in a row, without a byte in between, that are borne.
        wait: seconds before the first repetition; doubled each time.
    """

    retries: int = 5
    wait: float = 1.0


def patiently(
    action: Callable[[], Result],
    patience: Patience,
    progress: Progress,
    *,
    done: Callable[[], int] = lambda: 0,
) -> Result:
    """What ``action`` returns, after as many failures that may pass as ``patience`` bears.

    Args:
        action: tried again from the start after each such failure.
        patience: how often.
        progress: told of every repetition.
        done: amount done so far; growth counts as success, so that only a hub that gives nothing ends it.
    """
    failures, before = 0, done()
    while True:
        try:
            return action()
        except Exception as error:
            now = done()
            failures, before = (0 if now > before else failures), now
            if not is_passing(error) or failures >= patience.retries:
                raise
            wait = patience.wait * 2**failures
            wait = min(max(wait, wait_asked_for(error) or 0.0), _LONGEST_WAIT)
            failures += 1
            progress.note(
                f"the hub gave no answer ({redact(_first_line(error))}); trying again in {wait:.0f} s"
            )
            time.sleep(wait)


def partial_of(blob: Path) -> Path:
    """Where the bytes of ``blob`` are kept until all have come."""
    return blob.with_name(f"{blob.name}.partial")


def fetch_blob(
    url: str,
    file: RemoteFile,
    blob: Path,
    *,
    token: str | None,
    patience: Patience,
    advance: Advance,
    progress: Progress,
) -> None:
    """Bring ``file`` to ``blob``, going on where an earlier try stopped.

    Args:
        url: where it is served.
        file: what is expected.
        blob: the path it gets, once it is complete and its hash is right.
        token: sent along, or None.
        patience: how often a failing connection is tried again.
        advance: called with the number of new bytes; those of earlier tries are known.
        progress: told of repetitions.

    Raises:
        AcquireError: what came is not what the hub's listing promised; nothing of it is kept.
        Exception: what the hub's client raises; see `hub_errors.explained`.
    """
    partial = partial_of(blob)
    partial.parent.mkdir(parents=True, exist_ok=True)
    if partial.is_symlink() or (partial.exists() and partial.stat().st_size > file.size):
        partial.unlink()  # a link is not followed
    transfer = _Transfer(url, file, partial, token, advance)
    advance(transfer.have(), known=True)
    patiently(transfer.go_on, patience, progress, done=transfer.have)
    if not matches(partial, file):
        partial.unlink()
        raise AcquireError(
            f"{file.path} arrived damaged: its hash is not the one that the hub lists.",
            advice=_AGAIN,
        )
    partial.replace(blob)


def matches(path: Path, file: RemoteFile) -> bool:
    """Whether the content has the size and the hash that the hub lists."""
    if path.stat().st_size != file.size:
        return False
    found = hash_file(path, Silent()) if file.sha256 else git_hash_file(path)
    return found == file.blob


class _Transfer:
    """The bytes of one file, appended to ``partial`` as they come."""

    def __init__(
        self, url: str, file: RemoteFile, partial: Path, token: str | None, advance: Advance
    ) -> None:
        self._url, self._file, self._partial, self._advance = url, file, partial, advance
        self._token = token

    def have(self) -> int:
        return self._partial.stat().st_size if self._partial.exists() else 0

    def go_on(self) -> None:
        """One connection: ask for what is missing, write what comes.

        Raises:
            TransportError: the connection ended early.
            AcquireError: the hub says that it has fewer or more bytes than it listed.
        """
        have = self.have()
        if have == self._file.size and self._partial.exists():
            return
        headers = {**build_hf_headers(token=self._token or False), "Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
        with get_session().stream("GET", self._url, headers=headers, timeout=_TIMEOUT) as response:
            if response.status_code == 416:
                raise self._wrong_size(have)
            hf_raise_for_status(response)
            if have and not self._continues(
                response.headers.get("Content-Range", ""), response.status_code, have
            ):
                self._advance(-have, known=True)
                have = 0
            self._append(response, have)

    def _append(self, response: Any, have: int) -> None:
        with appended(self._partial) as out:
            out.truncate(have)
            for block in response.iter_bytes():
                have += len(block)
                if have > self._file.size:
                    raise self._wrong_size(have)
                out.write(block)
                self._advance(len(block))
        if have < self._file.size:
            promised = response.headers.get("Content-Length", "")
            if promised.isdigit():
                raise self._wrong_size(have)
            raise TransportError("the connection ended early")

    def _continues(self, content_range: str, status: int, have: int) -> bool:
        return bool(status == 206 and content_range.startswith(f"bytes {have}-"))

    def _wrong_size(self, have: int) -> AcquireError:
        self._partial.unlink(missing_ok=True)
        return AcquireError(
            f"{self._file.path} has another size than listed: {have:,} bytes, not {self._file.size:,}.",
            advice=_AGAIN,
        )


def _first_line(error: Exception) -> str:
    response = getattr(error, "response", None)
    if response is not None:
        return f"answer {response.status_code}"
    return str(error).strip().split("\n", 1)[0] or type(error).__name__
