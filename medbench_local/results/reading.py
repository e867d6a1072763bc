"""Reading ``results.json``, also of earlier releases."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from medbench_local.catalog.load import in_words
from medbench_local.errors import InputError
from medbench_local.files.json_objects import read_json
from medbench_local.results.consistency import contradictions
from medbench_local.results.record import ROLES, VERDICTS
from medbench_local.results.schema import SCHEMA, Results
from medbench_local.results.summary import summary

_CONTRADICTS = (
    "Numbers of the file contradict each other. If it is of a run of your own, remove the file and run the same "
    "command again: scores are kept."
)


def read_results(path: Path) -> Results:
    """Read a ``results.json``; its summary is computed again from its comparisons.

    Args:
        path: the file, of this release or an earlier one.

    Raises:
        InputError: it is missing, damaged, of another schema, or contradicts itself.
    """
    data = read_json(path, constants=False)
    found = data.get("schema") if isinstance(data, dict) else type(data).__name__
    if type(found) is not int or not 1 <= found <= SCHEMA:
        raise InputError(path, "key 'schema'", f"expected a number from 1 to {SCHEMA}, found {found!r:.40}")
    data["schema_version"] = data.pop("schema")
    if found == 1:
        _add_checks(data)
    return checked_results(path, data, Results)


R = TypeVar("R", bound=Results)


def checked_results(path: Path, data: dict[str, Any], kind: type[R]) -> R:
    """What a file holds, each value and all of them together.

    Args:
        path: for errors.
        data: its content, without the number of its schema.
        kind: of results.

    Raises:
        InputError: a value is not what it should be, or one contradicts another.
    """
    try:
        results = kind.model_validate(data)
    except RecursionError as error:
        raise InputError(path, "", "it is nested too deeply") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        parts = first["loc"]
        if parts[:1] == ("protocol_content",):  # every other part says which kind of value was looked at
            parts = (parts[0], *parts[1::2])
        where = _shortened(".".join(map(str, parts)))
        raise InputError(path, f"key '{where}'" if where else "", in_words(error)) from error
    for key, problem in contradictions(results):
        raise InputError(path, f"key '{_shortened(key)}'", problem, advice=_CONTRADICTS)
    # The rates follow from the comparisons; those of schema 1 were counted by another rule.
    return results.model_copy(update={"schema_version": SCHEMA, "summary": summary(results.comparisons)})


def _shortened(key: str, most: int = 100) -> str:
    """A key for people: its beginning, where a damaged file nests thousands of them."""
    return key if len(key) <= most else f"{key[:most]}…"


def _add_checks(data: dict[str, Any]) -> None:
    """What schema 1 knew of the full-precision verdicts, in the terms of schema 2.

    It called a verdict verified when both precisions agreed on a random subset of the questions, which says little of
    the verdict on all of them: only a check of every question counts.
    """
    comparisons = data.get("comparisons")
    for comparison in comparisons if isinstance(comparisons, list) else ():
        if isinstance(comparison, dict):
            full = data.get("precision") == "full"
            # overwritten: schema 1 has neither key
            comparison["check"] = _check_of(comparison, full=full)
            comparison["quantised"] = None
            if not full:
                numbers = ("accuracy", "difference", "ci", "verdict", "discordant")
                scored = {name: comparison.get(name) for name in numbers}
                comparison["quantised"] = scored | {"precision": data.get("precision")}


def _check_of(comparison: dict[str, Any], *, full: bool) -> dict[str, Any]:
    asked, verdict, equivalence = (comparison.get(key) for key in ("n", "verdict", "equivalence"))
    check: dict[str, Any] = {
        "state": "full" if full else "none",
        "against": "full",
        "confidence": 1 if full else None,
        "checked": asked if full else 0,
        "of": asked,
        "possible_verdicts": [verdict] if full else list(VERDICTS),
    }
    sides = [equivalence.get(role) for role in ROLES] if isinstance(equivalence, dict) else []
    checked = [side for side in sides if isinstance(side, dict)]
    if not checked or not isinstance(equivalence, dict):
        return check
    everything = all(side.get("n") == asked for side in checked)
    at_full = equivalence.get("verdict_full_precision")
    check |= {
        # the numbers are those of the quantised models, so that this is less than the state "full"
        "state": "certain" if everything and at_full == verdict else "unsettled",
        "against": checked[0].get("reference_precision"),
        "confidence": 1 if everything and at_full == verdict else None,
        "checked": checked[0].get("n"),
        "possible_verdicts": [at_full] if everything else list(VERDICTS),
    }
    return check
