"""A hub on loopback: enough of its protocol for the real client, and failures on demand.

    with HubServer() as hub:
        hub.add("owner/name", folder)
        hub.fail(Fault("model.safetensors", drop_after=1000))
        ...  # HF_ENDPOINT=hub.endpoint

Small files are served in place; large ones, as on the real hub, by redirect to a second server with another
origin, which must never see a token.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Literal
from urllib.parse import parse_qs, unquote, urlsplit

Kind = Literal["model", "dataset"]
PAGE = 3
LARGE = (".safetensors", ".bin", ".gguf", ".parquet", ".zip", ".model")


@dataclass
class Fault:
    """A failure of the next ``times`` answers about paths that contain ``about``.

    Attributes:
        about: part of the request's path ("/api/models/" for questions about repositories of models).
        status: answer this instead.
        headers: sent with ``status``.
        drop_after: close the connection after so many bytes of the content.
        short: claim to have, and send, only so many bytes.
        corrupt: flip the bits of the content's last byte.
        ignore_range: send everything although a part was asked for.
        hang_after: send so many bytes, then nothing until the server ends.
        times: how many answers fail.
    """

    about: str
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    drop_after: int | None = None
    short: int | None = None
    corrupt: bool = False
    ignore_range: bool = False
    hang_after: int | None = None
    times: int = 1


@dataclass(frozen=True)
class Request:
    """What a client asked, and of which of the two servers."""

    method: str
    path: str
    range: str
    token: str
    origin: Literal["hub", "cdn"]


@dataclass
class _Hosted:
    folder: Path
    commit: str
    revisions: set[str]
    gated: bool
    private: bool

    def files(self) -> list[str]:
        return sorted(p.relative_to(self.folder).as_posix() for p in self.folder.rglob("*") if p.is_file())


class HubServer:
    """Serves folders as repositories.

    Attributes:
        endpoint: for HF_ENDPOINT.
        requests: everything that was asked, in order.
        tokens: known tokens and the gated or private repositories each may read.
        listed_too: by repository, a path that its listing has although there is no such file.
    """

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.tokens: dict[str, set[str]] = {}
        self.listed_too: dict[str, str] = {}
        self.released = threading.Event()
        self.sent_to_hanging = threading.Event()
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        self._repositories: dict[tuple[Kind, str], list[_Hosted]] = {}
        self._servers = [self._serve("hub"), self._serve("cdn")]
        self.endpoint, self.cdn = (f"http://127.0.0.1:{server.server_port}" for server in self._servers)

    def _serve(self, origin: Literal["hub", "cdn"]) -> ThreadingHTTPServer:
        handler = type("Handler", (_Handler,), {"hub": self, "origin": origin})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return server

    def __enter__(self) -> HubServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.released.set()
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def add(
        self,
        name: str,
        folder: Path,
        *,
        kind: Kind = "model",
        revisions: tuple[str, ...] = ("main",),
        gated: bool = False,
        private: bool = False,
    ) -> str:
        """Host ``folder`` and return its commit; a second call moves the revisions to another folder."""
        digest = hashlib.sha1()
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
        hosted = _Hosted(folder, digest.hexdigest(), set(revisions), gated, private)
        others = self._repositories.setdefault((kind, name), [])
        for other in others:
            other.revisions -= hosted.revisions
        others.append(hosted)
        return hosted.commit

    def fail(self, fault: Fault) -> None:
        """Fail as told, soon."""
        with self._lock:
            self._faults.append(fault)

    def contents(self) -> list[str]:
        """Names of the files whose content was asked for, in order."""
        asked = [r.path for r in self.requests if r.method == "GET" and "/resolve/" in r.path]
        return [path.rsplit("/", 1)[-1] for path in asked]

    def find(self, kind: Kind, name: str, revision: str) -> _Hosted | None:
        """The folder hosted at a branch, tag or commit."""
        for hosted in self._repositories.get((kind, name), []):
            if revision in hosted.revisions or revision == hosted.commit:
                return hosted
        return None

    def has(self, kind: Kind, name: str) -> list[_Hosted]:
        """Everything hosted under the name."""
        return self._repositories.get((kind, name), [])

    def take_fault(self, path: str, wanted: Callable[[Fault], bool]) -> Fault | None:
        """The next failure for a request, which is then used up once."""
        with self._lock:
            for fault in self._faults:
                if fault.about in path and fault.times > 0 and wanted(fault):
                    fault.times -= 1
                    return fault
        return None


def git_id(content: bytes) -> str:
    """Git's hash of a file."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer
    origin: Literal["hub", "cdn"]
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        url = urlsplit(self.path)
        path = unquote(url.path)
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        self.hub.requests.append(
            Request(self.command, path, self.headers.get("Range", ""), token, self.origin)
        )
        try:
            if self.origin == "cdn":
                self._cdn(path, token)
                return
            fault = self.hub.take_fault(path, lambda fault: fault.status != 0)
            if fault is not None:
                self._refuse(fault.status, "on demand", headers=fault.headers)
            elif path.startswith("/api/"):
                self._api(url.path, parse_qs(url.query), token)
            else:
                self._resolve(url.path, token)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    # --- who may see what

    def _find(self, kind: Kind, name: str, revision: str, token: str, *, content: bool) -> _Hosted | None:
        """The repository, or None after having answered why not."""
        if token and token not in self.hub.tokens:
            self._refuse(401, "Invalid credentials in Authorization header")
            return None
        hosted = self.hub.has(kind, name)
        granted = name in self.hub.tokens.get(token, ())
        if not hosted or (hosted[-1].private and not granted):
            self._refuse(404 if token else 401, "Repository not found", code="RepoNotFound")
            return None
        if content and hosted[-1].gated and not granted:
            self._refuse(403 if token else 401, f"Access to {name} is restricted", code="GatedRepo")
            return None
        found = self.hub.find(kind, name, revision)
        if found is None:
            self._refuse(404, f"Invalid rev id: {revision}", code="RevisionNotFound")
        return found

    # --- questions about repositories

    def _api(self, raw: str, query: dict[str, list[str]], token: str) -> None:
        parts = [unquote(part) for part in raw.strip("/").split("/")]
        kinds: dict[str, Kind] = {"models": "model", "datasets": "dataset"}
        if len(parts) < 4 or parts[1] not in kinds:
            self._refuse(404, "no such question")
            return
        kind, name = kinds[parts[1]], "/".join(parts[2:4])
        action, revision = (parts[4], parts[5]) if len(parts) > 5 else ("", "main")
        hosted = self._find(kind, name, revision, token, content=False)
        if hosted is None:
            return
        if action in ("", "revision"):
            blobs = query.get("blobs", [""])[0].lower() == "true"
            self._json(self._info(name, hosted, blobs=blobs))
        elif action == "tree":
            self._tree(raw, hosted, query)
        elif action == "paths-info":
            body = parse_qs(self.rfile.read(int(self.headers.get("Content-Length", 0))).decode())
            self._json([self._entry(hosted, f) for f in hosted.files() if f in body.get("paths", [])])
        else:
            self._refuse(404, "no such question")

    def _info(self, name: str, hosted: _Hosted, *, blobs: bool) -> dict[str, Any]:
        siblings = []
        for file in hosted.files():
            sibling: dict[str, Any] = {"rfilename": file}
            if blobs:
                entry = self._entry(hosted, file)
                sibling.update(size=entry["size"], blobId=entry["oid"])
                if "lfs" in entry:
                    lfs = entry["lfs"]
                    sibling["lfs"] = {"sha256": lfs["oid"], "size": lfs["size"], "pointerSize": 130}
            siblings.append(sibling)
        if name in self.hub.listed_too:
            lfs = {"sha256": "0" * 64, "size": 7, "pointerSize": 130}
            siblings.append(
                {"rfilename": self.hub.listed_too[name], "size": 7, "blobId": "0" * 40, "lfs": lfs}
            )
        gated = "manual" if hosted.gated else False
        return {
            "_id": "0" * 24,
            "id": name,
            "sha": hosted.commit,
            "private": hosted.private,
            "gated": gated,
            "disabled": False,
            "tags": [],
            "downloads": 0,
            "siblings": siblings,
        }

    def _entry(self, hosted: _Hosted, file: str) -> dict[str, Any]:
        content = (hosted.folder / file).read_bytes()
        entry: dict[str, Any] = {"type": "file", "path": file, "size": len(content), "oid": git_id(content)}
        if file.endswith(LARGE):
            entry["oid"] = git_id(b"pointer to " + file.encode())
            entry["lfs"] = {
                "oid": hashlib.sha256(content).hexdigest(),
                "size": len(content),
                "pointerSize": 130,
            }
        return entry

    def _tree(self, raw: str, hosted: _Hosted, query: dict[str, list[str]]) -> None:
        start = int(query.get("cursor", ["0"])[0])
        files = hosted.files()
        headers = {}
        if start + PAGE < len(files):
            kept = "&".join(f"{key}={values[0]}" for key, values in query.items() if key != "cursor")
            url = f"{self.hub.endpoint}{raw}?{kept}&cursor={start + PAGE}"
            headers["Link"] = f'<{url}>; rel="next"'
        self._json([self._entry(hosted, file) for file in files[start : start + PAGE]], headers)

    # --- content

    def _resolve(self, raw: str, token: str) -> None:
        parts = [unquote(part) for part in raw.strip("/").split("/")]
        kind: Kind = "model"
        if parts[0] == "datasets":
            kind, parts = "dataset", parts[1:]
        if len(parts) < 5 or parts[2] != "resolve":
            self._refuse(404, "no such page")
            return
        name, revision, file = "/".join(parts[:2]), parts[3], "/".join(parts[4:])
        hosted = self._find(kind, name, revision, token, content=True)
        if hosted is None:
            return
        if file not in hosted.files():
            self._refuse(
                404, "Entry not found", code="EntryNotFound", headers={"X-Repo-Commit": hosted.commit}
            )
            return
        content = (hosted.folder / file).read_bytes()
        headers = {"X-Repo-Commit": hosted.commit, "ETag": f'"{git_id(content)}"'}
        if not file.endswith(LARGE):
            self._content(content, headers, f"/{name}/{file}")
            return
        sha256 = hashlib.sha256(content).hexdigest()
        headers |= {
            "ETag": f'"{git_id(b"pointer to " + file.encode())}"',
            "X-Linked-Etag": f'"{sha256}"',
            "X-Linked-Size": str(len(content)),
            "X-Xet-Hash": sha256,
            "X-Xet-Refresh-Route": f"{self.hub.endpoint}/api/no-xet-here",
            "Location": f"{self.hub.cdn}/{kind}/{name}/{hosted.commit}/{file}",
        }
        self._send(302, b"", headers)

    def _cdn(self, path: str, token: str) -> None:
        if token:
            self._refuse(400, "a token was sent to the content server")
            return
        kind, owner, name, commit, file = path.strip("/").split("/", 4)
        hosted = self.hub.find("dataset" if kind == "dataset" else "model", f"{owner}/{name}", commit)
        if hosted is None:
            self._refuse(404, "gone")
            return
        self._content((hosted.folder / file).read_bytes(), {}, path)

    def _content(self, content: bytes, headers: dict[str, str], path: str) -> None:
        fault = Fault("")
        if self.command == "GET":
            fault = self.hub.take_fault(path, lambda fault: fault.status == 0) or fault
        if fault.short is not None:
            content = content[: fault.short]
        if fault.corrupt:
            content = content[:-1] + bytes([content[-1] ^ 0xFF])
        asked = self.headers.get("Range", "")
        status, start = 200, 0
        if asked.startswith("bytes=") and not fault.ignore_range:
            start = int(asked.removeprefix("bytes=").split("-")[0])
            if start >= len(content):
                self._send(416, b"", {"Content-Range": f"bytes */{len(content)}"})
                return
            status = 206
            headers = {**headers, "Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
        part = content[start:]
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(part)), "Accept-Ranges": "bytes"}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        stop = fault.drop_after if fault.drop_after is not None else fault.hang_after
        self.wfile.write(part if stop is None else part[:stop])
        self.wfile.flush()
        if fault.hang_after is not None:
            self.hub.sent_to_hanging.set()
            self.hub.released.wait()
        if stop is not None:
            self.close_connection = True

    # --- the wire

    def _json(self, answer: Any, headers: dict[str, str] | None = None) -> None:
        self._send(200, json.dumps(answer).encode(), {"Content-Type": "application/json", **(headers or {})})

    def _refuse(
        self, status: int, message: str, *, code: str = "", headers: dict[str, str] | None = None
    ) -> None:
        said = {"X-Error-Message": message, **({"X-Error-Code": code} if code else {}), **(headers or {})}
        body = json.dumps({"error": message}).encode()
        self._send(status, body, {"Content-Type": "application/json", **said})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
