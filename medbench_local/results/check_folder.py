"""A check's folder: which checks were begun in it, and what they found."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from medbench_local.errors import InputError
from medbench_local.files.atomic import write_atomic
from medbench_local.files.json_objects import read_json_object
from medbench_local.results.folder import CHECKS, SCORES, Folder
from medbench_local.results.model_check import ModelCheck


@dataclass(frozen=True)
class FoundCheck:
    """What a check found.

    Attributes:
        date: when it ended, ISO 8601 in UTC.
        check: without the rows of answers.
    """

    date: str
    check: ModelCheck


@dataclass(frozen=True)
class CheckFolder(Folder):
    """The files of the checks that are kept in one folder."""

    @property
    def checks_file(self) -> Path:
        """Which checks were begun, and what they found; no score is in it."""
        return self.path / CHECKS

    @property
    def scores_file(self) -> Path:
        """Every scored prompt."""
        return self.path / SCORES

    def begun(self) -> list[str]:
        """The identities of the checks that were begun here.

        Raises:
            InputError: the file is damaged.
        """
        found = self._content().get("identities", [])
        if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
            raise self._damaged("key 'identities'", "expected a list of texts")
        return found

    def found(self) -> list[FoundCheck]:
        """What the finished checks found, the latest last.

        Raises:
            InputError: the file is damaged.
        """
        known = self._content().get("found", {})
        if not isinstance(known, Mapping):
            raise self._damaged("key 'found'", "expected an object")
        checks = []
        for identity, one in known.items():
            try:
                checks.append(FoundCheck(str(one["date"]), ModelCheck.from_dict(one)))
            except (KeyError, TypeError, ValueError) as error:  # pydantic's error is a ValueError
                raise self._damaged(f"key 'found', {identity!r}", "is not what a check found") from error
        return sorted(checks, key=lambda one: one.date)

    def note_begun(self, identity: str) -> None:
        """Write down that a check was begun."""
        known = self.begun()
        if identity not in known:
            self._write({"identities": [*known, identity]})

    def note_found(self, identity: str, check: ModelCheck, ended: datetime) -> None:
        """Write down what a check found."""
        known = self._content().get("found", {})
        date = ended.isoformat(timespec="seconds")
        self._write({"found": {**known, identity: {"date": date, **check.to_dict()}}})

    def _content(self) -> dict[str, Any]:
        return read_json_object(self.checks_file) if self.checks_file.is_file() else {}

    def _write(self, changed: Mapping[str, Any]) -> None:
        content = {**self._content(), **changed}
        write_atomic(self.checks_file, json.dumps(content, indent=1, ensure_ascii=False) + "\n")

    def _damaged(self, where: str, problem: str) -> InputError:
        return InputError(self.checks_file, where, problem, advice="Remove it: no score is in it.")
