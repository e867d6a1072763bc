"""Prompts of a user's own: JSON Lines in, option log-probabilities out.

A request is ``{"id": ..., "prompt": ..., "options": [continuation, ...]}``, with ``"images": [path, ...]`` where
pictures are shown, one for each ``<image>`` in the prompt; a result is ``{"id", "logprobs", "tokens", "mass"}``.
Options are scored by the rule `medbench_local.scoring.rules.label`: joint log-probability of what each adds to the
prompt, tokenised together with it. They are taken in blocks: tokens of one block are held at a time, and the first
prompt is scored after the first block.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from medbench_local.engine.base import ROWS, Engine, OptionScores, Pack, ScoreRequest, Tokens
from medbench_local.engine.packs import common_prefix, plan_packs
from medbench_local.engine.several import each
from medbench_local.errors import InputError
from medbench_local.files.atomic import appended, disk_error, whole_file, write_atomic
from medbench_local.files.compact import divided, joined, kept_as
from medbench_local.files.json_objects import json_decoder
from medbench_local.files.readers import json_lines
from medbench_local.files.rows import SourceFile
from medbench_local.progress import Progress
from medbench_local.prompts.prompt import Parts, text_of
from medbench_local.scoring.own_pictures import parts_of, pictures_at, places_missing
from medbench_local.scoring.pictures import PictureBook
from medbench_local.scoring.rules.label import label_requests
from medbench_local.tasks.picture import Picture
from medbench_local.text import is_whole

MOST_OPTIONS = 1000

LONGEST = 2 << 20
"""Most characters of a prompt, and of its options together: cutting ten million into tokens takes minutes."""

_LONG = 64 << 10
"""Characters of a prompt that is looked at alone before it is with its options."""

BLOCK = 5000
"""Most requests whose tokens are held at a time and share a prefix, where results depend on what is asked together."""

_HELD = 1000
"""The same where they do not: the first score comes the sooner."""

_TOGETHER = 200
"""Requests that are sent and tokenised in one go."""


@kept_as("options", joined, divided)
@dataclass(frozen=True)
class UserRequest:
    """One line of a request file.

    Attributes:
        id: as given; a string or a whole number, unique in the file.
        prompt: exactly what the model sees; with ``images``, each ``<image>`` in it is a picture, without, just text.
        options: continuations, none empty.
        line: of the file, from 1; 0 if it is from none.
        images: files of pictures, in the order of their places in the prompt; in a request file, paths from where that
            file lies.
    """

    id: str | int
    prompt: str
    options: tuple[str, ...]
    line: int = field(default=0, compare=False)
    images: tuple[Path, ...] = ()

    def place(self, key: str) -> str:
        """Where it stands, for errors."""
        return f"line {self.line}, key '{key}'" if self.line else f"id {self.id!r}"


def read_requests(path: Path) -> list[UserRequest]:
    """All requests of a file, in its order.

    Args:
        path: JSON Lines with ``id``, ``prompt`` and ``options`` (continuations), and ``images`` where pictures are
            shown.

    Raises:
        InputError: a line is not a request, has not as many pictures as places for them, or an id is given twice; the
            error names the line.
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
    for row in json_lines(SourceFile(path, pipe=True), constants=False):
        yield int(row.where.removeprefix("line ")), dict(row.fields)


def pictures_of(requests: Sequence[UserRequest], source: Path | None = None) -> dict[Path, Picture]:
    """The pictures that requests show, by their paths.

    Args:
        requests: any of them may show pictures.
        source: the file that the requests are from, for errors.

    Raises:
        InputError: one cannot be read, or a request has not as many pictures as places for them.
    """
    shown = [request for request in requests if request.images]
    for request in shown:
        _need_places(request, source)
    named = ((path, request.place("images")) for request in shown for path in request.images)
    return pictures_at(named, source)


def _need_places(request: UserRequest, source: Path | None) -> None:
    if request.images and (problem := places_missing(request.prompt, request.images)):
        raise InputError(
            source or "requests",
            request.place("images"),
            problem,
            advice="Give one picture for each <image> in the prompt, and a system prompt without it.",
        )


@dataclass(frozen=True)
class ShownPictures:
    """What is shown to a loaded model.

    Attributes:
        pictures: by their paths.
        book: which token ids stand for them.
    """

    pictures: Mapping[Path, Picture]
    book: PictureBook


def score_on(
    engine: Engine,
    requests: Sequence[UserRequest],
    *,
    special: bool,
    label: str,
    progress: Progress,
    known: Sequence[dict[str, Any]] = (),
    source: Path | None = None,
    shown: ShownPictures | None = None,
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
        shown: the pictures of the requests; None if they have none.

    Raises:
        InputError: a request is longer than the model's context, or has not as many pictures as places for them;
            nothing has been scored then.
        EngineError: see `Engine.score`; or the text of a prompt with pictures would be taken for a control token.
    """
    for request in requests:
        _need_places(request, source)
    _refuse_too_long(engine, requests, special, source, shown)
    with progress.step(label, total=len(requests), unit="prompts") as advance:
        size = BLOCK if engine.info.numerics.get("mode") == "fast" else _HELD
        for start in range(0, len(requests), size):
            block = requests[start : start + size]
            for rows, scored in _score_block(engine, block, special, known[start : start + size], shown):
                advance(len(rows), known=not scored)
                yield rows


def _score_block(
    engine: Engine,
    requests: Sequence[UserRequest],
    special: bool,
    known: Sequence[dict[str, Any]],
    shown: ShownPictures | None,
) -> Iterator[tuple[list[dict[str, Any]], bool]]:
    """Results of one block, a list a pack, and whether they were computed."""
    tokenised = list(_tokenised(engine, requests, special, shown))
    score = [asked for asked, _ in tokenised]
    done = 0
    prefix = common_prefix([request.context for request in score])
    unknown: list[tuple[int, int, Pack]] = []
    for pack in plan_packs(score, prefix, engine.info.pack_tokens):
        end = done + len(pack.requests)
        if end <= len(known):
            yield list(known[done:end]), False
        else:
            if shown is not None:
                contexts = (asked.context for asked in score[done:end])
                pack = replace(pack, pictures=shown.book.shown_in(contexts))
            unknown.append((done, end, pack))
        done = end
    waiting: dict[int, list[OptionScores]] = {}
    following = iter(unknown)
    expected = next(following, None)
    for (start, _, _), scores in each(engine, lambda helper, item: helper.score(item[2]), unknown):
        waiting[start] = scores
        while expected is not None and expected[0] in waiting:  # in the order of the file, whoever is first
            start, end, _ = expected
            own = zip(requests[start:end], tokenised[start:end], waiting.pop(start), strict=True)
            yield (
                [
                    {"id": asked.id, "logprobs": list(found.logprobs), "tokens": tokens, "mass": found.mass}
                    for asked, (_, tokens), found in own
                ],
                True,
            )
            expected = next(following, None)


def _tokenised(
    engine: Engine, requests: Sequence[UserRequest], special: bool, shown: ShownPictures | None
) -> Iterator[tuple[ScoreRequest, int]]:
    """What is asked of the engine for each request, and the tokens of its prompt."""

    def tokenize(prompts: Sequence[Parts]) -> list[Tokens]:
        # Prompts without pictures are read as they are beside no pictures at all.
        texts = [all(isinstance(part, str) for part in parts) for parts in prompts]
        plain = [text_of(parts) for parts, text in zip(prompts, texts, strict=True) if text]
        found = iter(engine.tokenize(plain, special=special) if plain else ())
        if all(texts):
            return list(found)
        assert shown is not None
        seen = [shown.book.parts(parts) for parts, text in zip(prompts, texts, strict=True) if not text]
        others = iter(engine.tokenize_parts(seen, special=special))
        return [next(found if text else others) for text in texts]

    pictures = {} if shown is None else shown.pictures
    for start in range(0, len(requests), _TOGETHER):
        part = requests[start : start + _TOGETHER]
        prompts = [parts_of(request.prompt, request.images, pictures) for request in part]
        lengths = [len(tokens) for tokens in tokenize(prompts)]
        asked = label_requests(tokenize, prompts, [request.options for request in part])
        yield from zip(asked, lengths, strict=True)


def _refuse_too_long(
    engine: Engine,
    requests: Sequence[UserRequest],
    special: bool,
    source: Path | None,
    shown: ShownPictures | None,
) -> None:
    """Refuse requests that the engine would refuse, before anything is scored.

    Only those are tokenised that may be too long: a token stands for one byte at least, where a blank is a token; and
    a picture for its rows, between two tokens that may be the model's own or begin the text behind it.

    Raises:
        InputError: a request is longer than the model's context.
    """
    info = engine.info
    context = min(info.n_ctx_train, info.exact_up_to or info.n_ctx_train)
    reason = f": {info.limited_by}" if context < info.n_ctx_train else ""
    (blanks,) = engine.tokenize([" " * 64], special=False)
    bytes_at_most = context - ROWS - 2 if len(blanks) <= 66 else 0
    doubtful = [
        request
        for request in requests
        if len(request.prompt.encode())
        + max(len(option.encode()) for option in request.options)
        + len(request.images) * (info.picture_tokens + 2)
        > bytes_at_most
    ]
    for request in doubtful:
        # Cut into tokens with each option, a long prompt that does not even fit alone would take minutes.
        if len(request.prompt) > _LONG and not request.images:
            (tokens,) = engine.tokenize([request.prompt], special=special)
            if len(tokens) > context:
                raise _too_long(request, f"more than {len(tokens):,}", context, reason, source)
    for request, (asked, _) in zip(doubtful, _tokenised(engine, doubtful, special, shown), strict=True):
        _need_room(asked, request, context, reason, source)


def digest(requests: Sequence[UserRequest], pictures: Mapping[Path, Picture] | None = None) -> str:
    """A hash of everything in ``requests``, in their order; of ``pictures``, what their files hold."""
    found = hashlib.sha256(b"[")  # of the list of all of them as JSON, made piece by piece
    for number, request in enumerate(requests):
        seen = [[(pictures or {})[path].sha256 for path in request.images]] if request.images else []
        row = json.dumps([request.id, request.prompt, request.options, *seen])
        found.update(f"{', ' if number else ''}{row}".encode())
    found.update(b"]")
    return found.hexdigest()


def _need_room(
    score: ScoreRequest, request: UserRequest, context: int, reason: str, source: Path | None
) -> None:
    """Refuse what the engine would refuse: options branch off together, up to `ROWS` predictions at once."""
    longest = max(map(len, score.continuations)) - 1
    together = sum(min(len(continuation), ROWS) - 1 for continuation in score.continuations)
    needed = len(score.context) + max(longest, min(together, ROWS - 1))
    if needed > context:
        raise _too_long(request, f"{needed:,}", context, reason, source)


def _too_long(
    request: UserRequest, needed: str, context: int, reason: str, source: Path | None
) -> InputError:
    most = "the model is computed right up to" if reason else "the model's context holds"
    return InputError(
        source or "requests",
        request.place("prompt"),
        f"request {request.id!r} needs {needed} tokens with its options, but {most} {context:,}{reason}",
        advice="Shorten the prompt, or take the request out. Nothing has been scored.",
    )


def _request(path: Path, number: int, row: dict[str, Any]) -> UserRequest:
    def fail(key: str, problem: str) -> InputError:
        return InputError(path, f"line {number}, key '{key}'", problem)

    for key in ("id", "prompt", "options"):
        if key not in row:
            raise fail(key, "this key is required")
    unknown = sorted(set(row) - {"id", "prompt", "options", "images"})
    if unknown:
        raise fail(unknown[0], "unknown key; known are id, prompt, options, images")
    if not isinstance(row["id"], str | int) or isinstance(row["id"], bool):
        raise fail("id", "expected a string or a whole number")
    if not isinstance(row["prompt"], str) or not row["prompt"]:
        raise fail("prompt", "expected a text that is not empty")
    options = row["options"]
    if not isinstance(options, list) or not options or not all(isinstance(o, str) and o for o in options):
        raise fail("options", "expected a list of texts, none empty")
    if len(options) > MOST_OPTIONS:
        raise fail("options", f"at most {MOST_OPTIONS} options, not {len(options)}")
    for key, size in (("prompt", len(row["prompt"])), ("options", sum(map(len, options)))):
        if size > LONGEST:
            raise fail(
                key, f"{size:,} characters; at most {LONGEST:,} are read, which no model here can hold"
            )
    images = row.get("images", [])
    if not isinstance(images, list) or not all(isinstance(name, str) and name for name in images):
        raise fail("images", "expected a list of paths, one for each <image> in the prompt")
    if "images" in row and (problem := places_missing(row["prompt"], images)):
        raise fail("images", problem)
    for key, texts in (
        ("id", [str(row["id"])]),
        ("prompt", [row["prompt"]]),
        ("options", options),
        ("images", images),
    ):
        if not all(map(is_whole, texts)):
            raise fail(key, "holds half a surrogate pair, which is no character")
    if any("\0" in name for name in images):
        raise fail("images", "a path holds a NUL character")
    paths = tuple(path.parent / name for name in images)
    return UserRequest(row["id"], row["prompt"], tuple(options), number, paths)


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
        self._reached = 0
        self._open = False
        self.known = self._read()

    def _read(self) -> list[dict[str, Any]]:
        """The first rows of an earlier part with the same key, as far as they are results of the requests.

        What follows a line that was cut short or is anything else is better computed again.
        """
        if self._part.is_symlink() or not self._part.is_file():
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
        before, self._reached = self._reached, self._reached + len(rows)
        if self._reached <= len(self.known):
            return
        try:
            if not self._open:  # with what was known, so that no line that was cut short stays in between
                write_atomic(self._part, self._text([self._header_row(), *self.known[:before], *rows]))
                self._open = True
                return
            with appended(self._part) as file:
                file.write(self._text(rows).encode())
        except OSError as error:
            raise disk_error(self._part, error) from error

    def finish(self) -> None:
        """Write the file itself and remove the part."""
        if not self._open:  # everything was known
            write_atomic(self.path, self._text(self.known[: self._reached]))
        else:
            with (
                whole_file(self.path) as temporary,
                self._part.open("rb") as part,
                temporary.open("xb") as file,
            ):
                part.readline()  # the first line names what results depend on
                shutil.copyfileobj(part, file)
                file.flush()
                os.fsync(file.fileno())
        self._part.unlink(missing_ok=True)

    def _header_row(self) -> dict[str, Any]:
        return {"key": self._key}

    @staticmethod
    def _text(rows: Sequence[dict[str, Any]]) -> str:
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
