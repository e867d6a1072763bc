"""Exported prompts to compute, and the results that an earlier, interrupted run left behind."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from medbench_local.errors import InputError, UsageError
from medbench_local.files.hashes import prompt_sha256
from medbench_local.files.readers import json_lines
from medbench_local.files.rows import Row, SourceFile
from medbench_local.reference.shown import Places, places_of, prompt_with_pictures_sha256

Key = tuple[object, ...]

THINKING = "thinking"
"""The scoring of models that think first."""

SCORES_TEXTS: Mapping[str, bool] = {"constrained": False, "cloze": True, THINKING: False}
"""The scoring rules that are computed on this side too, by code of its own: whether the options' texts are scored, or
their bare letters."""

DEFAULT = "constrained"
"""The one that is meant where a row names none."""

READINGS = ("constrained", "label")
"""How options are scored behind what was thought: their bare letters, or their labels as the format writes them."""

_IDENTITY = ("model", "task", "split", "item", "id", "shots", "format", "demonstrations", "special")


@dataclass(frozen=True)
class ToThink:
    """How the model thinks before its options are scored; see `medbench_local.prompts.export.ExportedThinking`.

    Attributes:
        close: texts that end the thinking.
        forced: closes it where the model has not.
        budget: most tokens of thinking.
        reading: one of `READINGS`.
        lead: what begins the answer.
        endings: how each option goes on.
    """

    close: tuple[str, ...]
    forced: str
    budget: int
    reading: str
    lead: str
    endings: tuple[str, ...]


@dataclass(frozen=True)
class PromptRequest:
    """One exported prompt.

    Attributes:
        row: the row as it was read; it is repeated in the result.
        where: its place in the file.
        prompt: the text; trailing blanks count.
        scoring: how its options are scored.
        gap: what stands between the prompt and an option's text; "" where labels are scored.
        special: whether control-token text in it stands for control tokens; None if the row does not say.
        options: labels of the options, or where these are scored their texts; 2 to 26.
        answer: index of the correct option, or None.
        think: how the model thinks first, where the scoring lets it.
        places: the pictures at each "<image>" of the prompt; empty where it shows none, and "<image>" is text.
    """

    row: Mapping[str, Any]
    where: str
    prompt: str
    scoring: str
    gap: str
    special: bool | None
    options: tuple[str, ...]
    answer: int | None
    think: ToThink | None = None
    places: Places = ()

    @property
    def sha256(self) -> str:
        """Hash of what the model sees, pictures included, as in samples."""
        found = prompt_with_pictures_sha256(self.prompt, self.places) if self.places else None
        return found or prompt_sha256(self.prompt)

    @property
    def scores_texts(self) -> bool:
        """Whether the options' texts are scored, and not their letters."""
        return SCORES_TEXTS[self.scoring]

    @property
    def key(self) -> Key:
        """What tells this prompt from every other one."""
        return _key(self.row, self.sha256)


def read_requests(path: Path, *, model: str | None = None) -> tuple[PromptRequest, ...]:
    """Read rows of ``prompts export``; rows that are repeated are read once.

    Args:
        path: JSON Lines with at least ``prompt`` and ``options``; ``special`` says whether control-token text
            in the prompt stands for control tokens, as in chat prompts; ``scoring`` is
            constrained if it is not given, and ``gap`` is what stands between prompt and option where texts are scored;
            ``images`` and ``image_sha256`` say what is shown at each ``<image>``.
        model: only the rows that name this model.

    Raises:
        InputError: a row is malformed, or none is left.
        UsageError: the rows name several models and ``model`` does not choose.
    """
    requests: dict[Key, PromptRequest] = {}
    models = set()
    for row in json_lines(SourceFile(path)):
        name = row.fields.get("model")
        if model is not None and name != model:
            continue
        models.add(name)
        request = _request(row)
        requests.setdefault(request.key, request)
    if not requests:
        wanted = f" of the model {model!r}" if model else ""
        raise InputError(path, "", f"no prompts{wanted}", advice="`export_prompts()` makes the file.")
    if len(models) > 1:
        names = ", ".join(sorted(map(str, models)))
        raise UsageError(
            f"{path} holds prompts of several models: {names}.", advice="Choose one with `model=`."
        )
    return tuple(requests.values())


def _request(row: Row) -> PromptRequest:
    options = row.texts("options")
    if not 2 <= len(options) <= 26:
        raise row.error(f"expected 2 to 26 options, found {len(options)}", name="options")
    scoring = _scoring(row)
    if SCORES_TEXTS[scoring] and "" in options:
        raise row.error("an option is empty: there is nothing to score", name="options")
    special = row.fields.get("special")
    if special is not None and not isinstance(special, bool):
        raise row.error("expected true or false", name="special")
    prompt = row.text("prompt")
    if not prompt:
        raise row.error("the prompt is empty", name="prompt")
    places = _places(row, prompt)
    if places and scoring == THINKING:
        raise row.error("the prompt shows pictures: thinking about them is not computed here", name="images")
    gap = row.text("gap") if row.fields.get("gap") is not None else ""
    answer = row.integer("answer", 0, len(options) - 1) if row.fields.get("answer") is not None else None
    think = _to_think(row, len(options)) if scoring == THINKING else None
    return PromptRequest(row.fields, row.where, prompt, scoring, gap, special, options, answer, think, places)


def _places(row: Row, prompt: str) -> Places:
    if not row.fields.get("images") and not row.fields.get("image_sha256"):
        return ()
    places = places_of(row)
    if places is None:
        raise row.error(
            "missing: the prompt shows pictures, and only their hashes say which; an export has them",
            name="image_sha256",
        )
    if prompt_with_pictures_sha256(prompt, places) is None:
        raise row.error(f"{len(places)} places, but the prompt does not say <image> so often", name="images")
    return places


def _to_think(row: Row, options: int) -> ToThink:
    found = row.fields.get("think")
    if not isinstance(found, dict):
        raise row.error(
            "expected an object: how the model thinks, as an export of a run says it", name="think"
        )
    inner = replace(row, fields=found)
    close = inner.texts("close")
    if "" in close:
        raise inner.error("an empty text ends nothing", name="close")
    reading = inner.text("reading")
    if reading not in READINGS:
        raise inner.error(f"expected {' or '.join(READINGS)}, found {reading!r:.40}", name="reading")
    endings = inner.texts("endings")
    if len(endings) != options or "" in endings:
        raise inner.error(f"expected {options} texts, one for each option", name="endings")
    return ToThink(
        close,
        inner.text("forced"),
        inner.integer("budget", 1, 65536),
        reading,
        inner.text("lead"),
        endings,
    )


def _scoring(row: Row) -> str:
    given = row.fields.get("scoring")
    if given is None:
        return DEFAULT
    if not isinstance(given, str) or given not in SCORES_TEXTS:
        raise row.error(
            f"expected {', '.join([*SCORES_TEXTS][:-1])} or {[*SCORES_TEXTS][-1]}, found {given!r:.40}: no other "
            "scoring is computed here",
            name="scoring",
        )
    return given


def _key(row: Mapping[str, Any], prompt: str) -> Key:
    scoring = str(row.get("scoring") or DEFAULT)
    texts = SCORES_TEXTS.get(scoring, False)
    asked: list[Any] = [scoring, row.get("gap"), row.get("options")] if texts else [scoring]
    if scoring == THINKING:
        asked.append(row.get("think"))
    return (prompt, json.dumps(asked), *(json.dumps(row.get(name)) for name in _IDENTITY))


def keep_finished(path: Path, made_by: Mapping[str, str]) -> set[Key]:
    """Keys of the results that ``path`` already holds; what a killed run left of a last line is cut off.

    Args:
        path: the output of `medbench_local.reference.run.run_reference`; it need not exist.
        made_by: checkpoint, precision and device of this run.

    Raises:
        InputError: it is not such an output.
        UsageError: its results were made by another checkpoint, in another precision or on another device.
    """
    if not path.exists():
        return set()
    _cut_partial_line(path)
    finished = set()
    for row in json_lines(SourceFile(path)):
        if row.fields.get("made_by") != dict(made_by):
            raise UsageError(
                f"{path} holds results that were made differently: {row.fields.get('made_by')}, not {dict(made_by)}.",
                advice="Choose another with `output=`, or remove that file.",
            )
        finished.add(_key(row.fields, row.text("prompt_sha256")))
    return finished


def _cut_partial_line(path: Path) -> None:
    with path.open("rb+") as file:
        size = file.seek(0, 2)
        end = size
        while end > 0:
            start = max(0, end - 65536)
            file.seek(start)
            found = file.read(end - start).rfind(b"\n")
            if found >= 0:
                end = start + found + 1
                break
            end = start
        if end < size:
            file.truncate(end)
