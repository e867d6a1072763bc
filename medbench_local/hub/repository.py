"""Files from the hub: a commit first, then only what is needed, checked, in the ordinary hub cache."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

from huggingface_hub import HfApi, constants, get_token, hf_hub_download, hf_hub_url

from medbench_local.errors import AcquireError, NotFoundError, UnreachableError, UsageError
from medbench_local.files.atomic import write_atomic
from medbench_local.files.hashes import FileRecord, file_sha256, git_hash_file, remember_sha256
from medbench_local.files.lock import alone
from medbench_local.files.space import DiskNeed, check_room
from medbench_local.hub.errors import explained, not_cached, redact
from medbench_local.hub.transfer import Patience, RemoteFile, fetch_blob, matches, partial_of, patiently
from medbench_local.paths import user_path
from medbench_local.progress import Advance, Progress
from medbench_local.settings import ADDRESS_ADVICE, hub_address_problem, network_obstacle, token_obstacle

Kind = Literal["model", "dataset"]

_COMMIT = re.compile(r"[0-9a-f]{40}")
_BLOB = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_TIMEOUT = 30.0
PATIENCE = Patience()
"""How often a hub that does not answer is asked again, unless told otherwise."""


@dataclass(frozen=True)
class Hub:
    """How the hub is reached and where its files are kept.

    Attributes:
        endpoint: address of the server, without a slash at the end; it may hold a password.
        cache: the hub cache's folder.
        token: sent with every request, or None; never shown.
        patience: how often a hub that does not answer is asked again.
    """

    endpoint: str = field(repr=False)
    cache: Path
    token: str | None = field(default=None, repr=False)
    patience: Patience = field(default_factory=Patience)


def hub_from_environment() -> Hub:
    """HF_ENDPOINT, HF_HUB_CACHE or HF_HOME, HF_TOKEN or the token of ``hf auth login``, as they are now.

    Raises:
        UsageError: one of them makes no sense.
    """
    cache = os.environ.get("HF_HUB_CACHE")
    if not cache:
        home = os.environ.get("HF_HOME")
        cache = str(Path(home) / "hub") if home else constants.HF_HUB_CACHE
    endpoint = os.environ.get("HF_ENDPOINT") or constants.ENDPOINT
    if problem := hub_address_problem(endpoint):
        raise UsageError(problem, advice=ADDRESS_ADVICE)
    return Hub(endpoint.rstrip("/"), user_path(os.path.expandvars(cache)), _token(), PATIENCE)


def _token() -> str | None:
    try:
        return get_token()
    except (OSError, ValueError) as error:
        raise UsageError(
            f"The token in {constants.HF_TOKEN_PATH} cannot be read: {error}.",
            advice="Run `hf auth login` again, or set HF_TOKEN.",
        ) from error


def _refuse_obstacles(hub: Hub) -> None:
    """Say what in the environment would make every question to the hub fail, before one is asked."""
    obstacle = network_obstacle() or token_obstacle(hub.token, constants.HF_TOKEN_PATH)
    if obstacle is not None:
        raise UsageError(obstacle.problem, advice=obstacle.advice)


@dataclass(frozen=True)
class Repository:
    """A repository at one commit.

    Attributes:
        hub: where it is.
        name: "owner/name".
        kind: of models or of data sets.
        revision: the branch, tag or commit that was asked for.
        commit: what that was, 40 hexadecimal digits.
        files: every file of the commit by its path; None if only the cache could be asked.
    """

    hub: Hub
    name: str
    kind: Kind
    revision: str
    commit: str
    files: dict[str, RemoteFile] | None

    @property
    def cache(self) -> Path:
        """Where the hub cache keeps this repository."""
        return _cache_of(self.hub, self.name, self.kind)

    @property
    def folder(self) -> Path:
        """Where the files of this commit lie, once they are fetched."""
        return self.cache / "snapshots" / self.commit

    @property
    def page(self) -> str:
        """Its page, for people."""
        prefix = "datasets/" if self.kind == "dataset" else ""
        return f"{redact(self.hub.endpoint)}/{prefix}{self.name}"

    def size_of(self, path: str) -> int:
        """Bytes of a file.

        Raises:
            AcquireError: there is no such file.
        """
        if self.files is None:
            return _size(self.folder / path)
        return _listed(self, path).size


def open_repository(
    name: str, revision: str, *, kind: Kind = "model", offline: bool, hub: Hub, progress: Progress
) -> Repository:
    """Find the commit that ``revision`` stands for now, and its files.

    If the hub cannot be reached, the commit it stood for last time is taken, with a note.

    Raises:
        GatedError, NotFoundError, OfflineError, UnreachableError: as they say; offline and not in the cache.
        AcquireError: refused for another reason.
        UsageError: the environment names a proxy, certificates or a token that cannot work.
    """
    cached = _commit_in_cache(hub, name, kind, revision)
    if offline or constants.is_offline_mode():
        if cached is None:
            raise not_cached(name, revision)
        return Repository(hub, name, kind, revision, cached, None)
    _refuse_obstacles(hub)
    try:
        return _ask(name, revision, kind, hub, progress)
    except UnreachableError as error:
        if cached is None:
            raise
        progress.note(f"{error.message} Going on with commit {cached[:12]} of {name}, which is in the cache.")
        return Repository(hub, name, kind, revision, cached, None)


def fetch_files(
    repository: Repository,
    paths: Sequence[str],
    *,
    home: Path,
    progress: Progress,
    also_needed: Sequence[DiskNeed] = (),
) -> tuple[FileRecord, ...]:
    """Have all of ``paths`` in the repository's folder, complete and with the hashes that the hub lists.

    Args:
        repository: from `open_repository`.
        paths: relative to the repository.
        home: where the hashes of files are remembered.
        progress: sees one step for all files together.
        also_needed: room that what comes afterwards will take.

    Raises:
        AcquireError: a file is not there or damaged, there is not enough room, the hub refuses or fails.
    """
    if repository.files is None:
        return _cached_files(repository, paths, home, progress)
    wanted = [_listed(repository, path) for path in paths]
    missing = [file for file in wanted if not _is_here(repository, file, home, progress)]
    room = sum(_missing(repository, file) for file in missing)
    check_room([DiskNeed(repository.cache, room, "the download"), *also_needed])
    if missing:
        label = f"fetching {repository.name} ({len(missing)} file{'s' * (len(missing) > 1)})"
        with (
            progress.step(label, total=sum(file.size for file in missing), unit="B") as advance,
            _explained(repository),
        ):
            for file in missing:
                _fetch(repository, file, home, advance, progress)
    _remember_revision(repository)
    return tuple(
        FileRecord(file.path, file.size, _sha256(repository, file, home, progress)) for file in wanted
    )


def still_to_fetch(repository: Repository, paths: Sequence[str]) -> int:
    """Bytes of ``paths`` that are not on this machine yet, unfinished files counted by what they lack."""
    if repository.files is None:
        return 0
    files = [_listed(repository, path) for path in paths]
    return sum(_missing(repository, file) for file in files if not (repository.folder / file.path).is_file())


def _missing(repository: Repository, file: RemoteFile) -> int:
    return file.size - _size(partial_of(_blob(repository, file)))


def _ask(name: str, revision: str, kind: Kind, hub: Hub, progress: Progress) -> Repository:
    api = HfApi(endpoint=hub.endpoint, token=hub.token or False)
    known_by = Repository(hub, name, kind, revision, "", None)
    with _explained(known_by):
        ask = api.dataset_info if kind == "dataset" else api.model_info
        info = patiently(
            lambda: ask(name, revision=revision, files_metadata=True, timeout=_TIMEOUT),
            Patience(min(hub.patience.retries, 2), hub.patience.wait),
            progress,
        )
        commit = str(info.sha)
        if not _COMMIT.fullmatch(commit):
            raise ValueError(f"no commit in the answer about {name}")
        files = {}
        for sibling in info.siblings or ():
            sha256 = sibling.lfs.sha256 if sibling.lfs else ""
            size = sibling.lfs.size if sibling.lfs else sibling.size
            file = RemoteFile(sibling.rfilename, int(size or 0), sha256, sibling.blob_id or "")
            files[file.path] = file
    return Repository(hub, name, kind, revision, commit, files)


def _listed(repository: Repository, path: str) -> RemoteFile:
    file = (repository.files or {}).get(path)
    if file is None:
        raise NotFoundError(
            f"{repository.name} has no file {path} at commit {repository.commit[:12]}.",
            advice=f"Its files: {repository.page}/tree/{repository.commit}.",
        )
    if PurePosixPath(path).is_absolute() or {"..", ""} & set(path.split("/")) or set(path) & set("\\:"):
        raise AcquireError(f"The hub lists a file that would lie outside {repository.name}: {path!r}.")
    if not _BLOB.fullmatch(file.blob) or file.size < 0:
        raise AcquireError(f"The hub's listing of {repository.name} gives no hash of {path}.")
    return file


def _fetch(
    repository: Repository, file: RemoteFile, home: Path, advance: Advance, progress: Progress
) -> None:
    """Bring the content to the hub cache's blobs, then let huggingface_hub put it into the snapshot."""
    hub = repository.hub
    url = hf_hub_url(
        repository.name,
        file.path,
        repo_type=repository.kind,
        revision=repository.commit,
        endpoint=hub.endpoint,
    )
    blob = _blob(repository, file)
    lock = hub.cache / ".locks" / repository.cache.name / f"{file.blob}.lock"
    with alone(lock, f"fetching {file.path}", progress):
        if blob.exists() and matches(blob, file):
            advance(file.size, known=True)
        else:
            fetch_blob(
                url, file, blob, token=hub.token, patience=hub.patience, advance=advance, progress=progress
            )
    patiently(lambda: _put_in_place(repository, file), hub.patience, progress)
    if not (repository.folder / file.path).is_symlink():
        blob.unlink(missing_ok=True)  # where there are no links the snapshot has a copy
    if file.sha256:
        remember_sha256(repository.folder / file.path, home, file.sha256)


def _put_in_place(repository: Repository, file: RemoteFile) -> None:
    hf_hub_download(
        repository.name,
        file.path,
        repo_type=repository.kind,
        revision=repository.commit,
        cache_dir=repository.hub.cache,
        endpoint=repository.hub.endpoint,
        token=repository.hub.token or False,
        etag_timeout=_TIMEOUT,
    )


def _is_here(repository: Repository, file: RemoteFile, home: Path, progress: Progress) -> bool:
    path = repository.folder / file.path
    if not path.is_file():
        return False
    if file.sha256 and path.stat().st_size == file.size:
        good = file_sha256(path, home, progress) == file.sha256
    else:
        good = matches(path, file)
    if not good:
        progress.note(f"{file.path} in the hub cache is damaged; fetching it again")
        _blob(repository, file).unlink(missing_ok=True)
        path.unlink(missing_ok=True)
    return good


def _sha256(repository: Repository, file: RemoteFile, home: Path, progress: Progress) -> str:
    return file.sha256 or file_sha256(repository.folder / file.path, home, progress)


def _cached_files(
    repository: Repository, paths: Sequence[str], home: Path, progress: Progress
) -> tuple[FileRecord, ...]:
    found = []
    for path in paths:
        place = repository.folder / path
        if not place.is_file():
            raise not_cached(repository.name, repository.revision)
        record = FileRecord(path, _size(place), file_sha256(place, home, progress))
        named = place.resolve().name  # the hub's client names content by its hash
        if _BLOB.fullmatch(named) and named != (record.sha256 if len(named) == 64 else git_hash_file(place)):
            raise AcquireError(
                f"{place} is damaged: it does not hold what its hash in the cache says.",
                advice="Run once with a network, which fetches it again.",
            )
        found.append(record)
    return tuple(found)


def _blob(repository: Repository, file: RemoteFile) -> Path:
    return repository.cache / "blobs" / file.blob


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _cache_of(hub: Hub, name: str, kind: Kind) -> Path:
    return hub.cache / "--".join([f"{kind}s", *name.split("/")])


def _commit_in_cache(hub: Hub, name: str, kind: Kind, revision: str) -> str | None:
    cache = _cache_of(hub, name, kind)
    commit = revision
    if not _COMMIT.fullmatch(revision):
        try:
            commit = _reference(cache, revision).read_text(encoding="utf-8").strip()
        except (OSError, ValueError):
            return None
    return commit if _COMMIT.fullmatch(commit) and (cache / "snapshots" / commit).is_dir() else None


def _remember_revision(repository: Repository) -> None:
    """Note the branch's commit where huggingface_hub looks for it when it is offline."""
    if _COMMIT.fullmatch(repository.revision):
        return
    reference = _reference(repository.cache, repository.revision)
    write_atomic(reference, repository.commit)


def _reference(cache: Path, revision: str) -> Path:
    if ".." in revision.split("/"):
        raise ValueError(f"no revision: {revision}")
    return cache / "refs" / revision


@contextmanager
def _explained(repository: Repository) -> Iterator[None]:
    """Errors of the hub's client as ours; its log lines, which would repeat them, not at all."""
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.ERROR)
    hub = repository.hub
    try:
        with explained(repository.name, repository.page, endpoint=hub.endpoint, token=hub.token):
            yield
    finally:
        logger.setLevel(level)
