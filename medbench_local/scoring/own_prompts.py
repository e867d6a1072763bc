"""Prompts of a user's own: JSON Lines in, option log-probabilities out.

A request is ``{"id": ..., "prompt": ..., "options": [continuation, ...]}``; a result is ``{"id", "logprobs",
"tokens", "mass"}``. Options are scored by the rule `medbench_local.scoring.rules.label`: joint log-probability of
what each adds to the prompt, tokenised together with it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from medbench_local.engine.base import ROWS, Engine, ScoreRequest
from medbench_local.engine.packs import common_prefix, plan_packs
from medbench_local.errors import InputError
from medbench_local.files.atomic import disk_error, write_atomic
from medbench_local.files.json_objects import json_decoder
from medbench_local.files.readers import json_lines
from medbench_local.files.rows import SourceFile
from medbench_local.progress import Progress
from medbench_local.scoring.rules.label import label_requests

MOST_OPTIONS = 1000


@dataclass(frozen=True)
class UserRequest:
    """One line of a request file.

    Attributes:
        id: as given; a string or a whole number, unique in the file.
        prompt: exactly what the model sees.
        options: continuations, none empty.
        line: of the file, from 1; 0 if it is from none.
    """

    id: str | int
    prompt: str
    options: tuple[str, ...]
    line: int = field(default=0, compare=False)


def read_requests(path: Path) -> list[UserRequest]:
    """All requests of a file, in its order.

    Args:
        path: JSON Lines with ``id``, ``prompt`` and ``options`` (continuations).

    Raises:
        InputError: a line is not a request, or an id is given twice; the error names the line.
    """
    requests = []
    lines: dict[str | int, int] = {}
    for number, row in read_rows(path):
        request = _request(path, number, row)
        if request.id in lines:
            raise InputError(path, f"line {number}, key 'id'", f"already used on line {lines[request.id]}")
        lines[request.id] = number
        requests.append(request)
    if not requests:
        raise InputError(path, "", "there are no requests in it")
    return requests


def read_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a JSON Lines file with their line numbers, from 1; blank lines are skipped.

    Raises:
        InputError: a line is not a JSON object.
    """
    for row in json_lines(SourceFile(path), constants=False):
        yield int(row.where.removeprefix("line ")), dict(row.fields)


def score_on(
    engine: Engine,
    requests: Sequence[UserRequest],
    *,
    special: bool,
    label: str,
    progress: Progress,
    known: Sequence[dict[str, Any]] = (),
    source: Path | None = None,
) -> Iterator[list[dict[str, Any]]]:
    """Results, a list a pack; requests that share a long beginning are cheapest when they follow each other.

    Args:
        engine: the loaded model.
        requests: what to score.
        special: whether control-token text in prompts stands for control tokens.
        label: for the progress display.
        progress: listens.
        known: results of the first requests from an earlier attempt. Packs that they fill are not scored
            again; the packs are those of an undisturbed run, so that the results are, too.
        source: the file that the requests are from, for errors.

    Raises:
        InputError: a request is longer than the model's context; nothing has been scored then.
        EngineError: see `Engine.score`.
    """
    texts = [request.prompt for request in requests]
    tokenize = partial(engine.tokenize, special=special)
    prompts = tokenize(texts)
    score = label_requests(tokenize, texts, [request.options for request in requests])
    for request, asked in zip(requests, score, strict=True):
        _need_room(asked, request, engine.info.n_ctx_train, source)
    with progress.step(label, total=len(requests), unit="prompts") as advance:
        done = 0
        for pack in plan_packs(score, common_prefix([request.context for request in score])):
            if done + len(pack.requests) <= len(known):
                yield list(known[done : done + len(pack.requests)])
                done += len(pack.requests)
                advance(len(pack.requests), known=True)
                continue
            rows = []
            for result in engine.score(pack):
                rows.append(
                    {
                        "id": requests[done].id,
                        "logprobs": list(result.logprobs),
                        "tokens": len(prompts[done]),
                        "mass": result.mass,
                    }
                )
                done += 1
            advance(len(rows))
            yield rows


def digest(requests: Sequence[UserRequest]) -> str:
    """A hash of everything in ``requests``, in their order."""
    rows = [[request.id, request.prompt, request.options] for request in requests]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def _need_room(score: ScoreRequest, request: UserRequest, context: int, source: Path | None) -> None:
    """Refuse what the engine would refuse: options branch off together, up to `ROWS` predictions at once."""
    longest = max(map(len, score.continuations)) - 1
    together = sum(min(len(continuation), ROWS) - 1 for continuation in score.continuations)
    needed = len(score.context) + max(longest, min(together, ROWS - 1))
    if needed > context:
        place = f"line {request.line}, key 'prompt'" if request.line else f"id {request.id!r}"
        raise InputError(
            source or "requests",
            place,
            f"request {request.id!r} needs {needed:,} tokens with its options, "
            f"but the model's context holds {context:,}",
            advice="Shorten the prompt, or take the request out. Nothing has been scored.",
        )


def _request(path: Path, number: int, row: dict[str, Any]) -> UserRequest:
    def fail(key: str, problem: str) -> InputError:
        return InputError(path, f"line {number}, key '{key}'", problem)

    for key in ("id", "prompt", "options"):
        if key not in row:
            raise fail(key, "this key is required")
    unknown = sorted(set(row) - {"id", "prompt", "options"})
    if unknown:
        raise fail(unknown[0], "unknown key; known are id, prompt, options")
    if not isinstance(row["id"], str | int) or isinstance(row["id"], bool):
        raise fail("id", "expected a string or a whole number")
    if not isinstance(row["prompt"], str) or not row["prompt"]:
        raise fail("prompt", "expected a text that is not empty")
    options = row["options"]
    if not isinstance(options, list) or not options or not all(isinstance(o, str) and o for o in options):
        raise fail("options", "expected a list of texts, none empty")
    if len(options) > MOST_OPTIONS:
        raise fail("options", f"at most {MOST_OPTIONS} options, not {len(options)}")
    for key, texts in (("id", [str(row["id"])]), ("prompt", [row["prompt"]]), ("options", options)):
        if any("\ud800" <= letter <= "\udfff" for text in texts for letter in text):
            raise fail(key, "holds half a surrogate pair, which is no character")
    return UserRequest(row["id"], row["prompt"], tuple(options), number)


def part_of(path: Path) -> Path:
    """Where results on their way to ``path`` lie."""
    return path.with_name(path.name + ".part")


def _result(line: bytes, request: UserRequest) -> dict[str, Any] | None:
    """The row that ``line`` is, or None if it is no result of ``request``."""
    try:
        row = json_decoder(constants=False).decode(line.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict) or list(row) != ["id", "logprobs", "tokens", "mass"]:
        return None
    logprobs, tokens = row["logprobs"], row["tokens"]
    fits = (
        type(row["id"]) is type(request.id)
        and row["id"] == request.id
        and isinstance(logprobs, list)
        and len(logprobs) == len(request.options)
        and all(isinstance(x, float) and math.isfinite(x) for x in [*logprobs, row["mass"]])
        and type(tokens) is int
        and tokens >= 0
    )
    return row if fits else None


class PartialResults:
    """Results on their way to a file: appended to ``<file>.part``, which becomes the file when all are there.

    The first line of the part names what the results depend on, so that an interrupted run goes on only with
    the same requests and the same model.

    Args:
        path: the file in the end.
        key: a hash of the requests, the model and the settings.
        requests: what is scored.
    """

    def __init__(self, path: Path, key: str, requests: Sequence[UserRequest]) -> None:
        self.path = path
        self._part = part_of(path)
        self._key = key
        self._requests = requests
        self._rows: list[dict[str, Any]] = []
        self._open = False
        self.known = self._read()

    def _read(self) -> list[dict[str, Any]]:
        """The first rows of an earlier part with the same key, as far as they are results of the requests.

        What follows a line that was cut short or is anything else is better computed again.
        """
        if not self._part.is_file():
            return []
        try:
            header, *lines = self._part.read_bytes().split(b"\n")[:-1] or [b""]
        except OSError as error:
            raise disk_error(self._part, error) from error
        if header + b"\n" != self._text([self._header_row()]).encode():
            return []
        rows = []
        for request, line in zip(self._requests, lines, strict=False):
            row = _result(line, request)
            if row is None:
                break
            rows.append(row)
        return rows

    def append(self, rows: Sequence[dict[str, Any]]) -> None:
        """Keep ``rows``, even if the process ends now; what an earlier attempt left is kept until it is reached."""
        self._rows.extend(rows)
        if len(self._rows) <= len(self.known):
            return
        try:
            if not self._open:  # with what was known, so that no line that was cut short stays in between
                write_atomic(self._part, self._text([self._header_row(), *self._rows]))
                self._open = True
                return
            with self._part.open("a", encoding="utf-8", newline="\n") as file:
                file.write(self._text(rows))
        except OSError as error:
            raise disk_error(self._part, error) from error

    def finish(self) -> None:
        """Write the file itself and remove the part."""
        write_atomic(self.path, self._text(self._rows))
        self._part.unlink(missing_ok=True)

    def _header_row(self) -> dict[str, Any]:
        return {"key": self._key}

    @staticmethod
    def _text(rows: Sequence[dict[str, Any]]) -> str:
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
