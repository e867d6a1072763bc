"""Prompts of a user's own: JSON Lines in, option log-probabilities out.

A request is ``{"id": ..., "prompt": ..., "options": [continuation, ...]}``; a result is ``{"id", "logprobs",
"tokens", "mass"}``. Options are scored by the `label` rule: joint log-probability of what each adds to the
prompt, tokenised together with it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medbench_local.catalog.load import read_text
from medbench_local.engine.base import Engine
from medbench_local.engine.packs import common_prefix, plan_packs
from medbench_local.engine.requests import continued, continued_alone
from medbench_local.errors import InputError
from medbench_local.progress import Progress
from medbench_local.store.files import disk_error, write_atomic

MOST_OPTIONS = 1000


@dataclass(frozen=True)
class UserRequest:
    """One line of a request file.

    Attributes:
        id: as given; a string or a whole number, unique in the file.
        prompt: exactly what the model sees.
        options: continuations, none empty.
    """

    id: str | int
    prompt: str
    options: tuple[str, ...]


def read_requests(path: Path) -> list[UserRequest]:
    """All requests of a file, in its order.

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
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise InputError(path, f"line {number}", f"not valid JSON: {error}") from error
        if not isinstance(row, dict):
            raise InputError(path, f"line {number}", f"expected an object, not {type(row).__name__}")
        yield number, row


def score_on(
    engine: Engine,
    requests: Sequence[UserRequest],
    *,
    special: bool,
    label: str,
    progress: Progress,
    known: Sequence[dict[str, Any]] = (),
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
    """
    texts = [request.prompt + option for request in requests for option in request.options]
    tokenised = iter(engine.tokenize(texts, special=special))
    prompts = engine.tokenize([request.prompt for request in requests], special=special)
    score = []
    for request, prompt in zip(requests, prompts, strict=True):
        ends = [next(tokenised) for _ in request.options]
        score.append(continued(ends) if len(ends) > 1 else continued_alone(prompt, ends[0]))
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
    for key, texts in (("prompt", [row["prompt"]]), ("options", options)):
        if any("\ud800" <= letter <= "\udfff" for text in texts for letter in text):
            raise fail(key, "holds half a surrogate pair, which is no character")
    return UserRequest(row["id"], row["prompt"], tuple(options))


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


class PartialResults:
    """Results on their way to a file: appended to ``<file>.part``, which becomes the file when all are there.

    The first line of the part names what the results depend on, so that an interrupted run goes on only with
    the same requests and the same model.

    Args:
        path: the file in the end.
        key: a hash of the requests, the model and the settings.
    """

    def __init__(self, path: Path, key: str) -> None:
        self.path = path
        self._part = path.with_name(path.name + ".part")
        self._key = key
        self._rows: list[dict[str, Any]] = []
        self._open = False
        self.known = self._read()

    def _read(self) -> list[dict[str, Any]]:
        """Complete lines of an earlier part with the same key; a line that was cut short is dropped."""
        if not self._part.is_file():
            return []
        header, *lines = read_text(self._part).split("\n")[:-1] or [""]
        if header + "\n" != self._text([self._header_row()]):
            return []
        try:
            return [json.loads(line) for line in lines]
        except ValueError:  # not what this class writes: better computed again
            return []

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
