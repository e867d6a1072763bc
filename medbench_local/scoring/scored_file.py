"""Scores of one's own prompts into a file that an interrupted run resumes, or into a stream."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from medbench_local.progress import Progress
from medbench_local.scoring.opened import OpenedModel
from medbench_local.scoring.own_prompts import BLOCK, PartialResults, UserRequest, digest, score_on


def write_scores(
    opened: OpenedModel,
    requests: Sequence[UserRequest],
    output: Path | TextIO,
    *,
    special: bool,
    source: Path,
    progress: Progress,
) -> None:
    """Score ``requests`` and write one JSON line each.

    Args:
        opened: the loaded model.
        requests: what to score.
        output: a file, which holds all results or (beside it, in its part) those of an interrupted run; or a stream.
        special: whether control-token text in prompts stands for control tokens.
        source: the file that the requests are from, for errors.
        progress: listens.

    Raises:
        MedbenchError: of `score_on`; or the file cannot be written.
    """
    label = f"scoring with {opened.prepared.name}"
    if not isinstance(output, Path):
        packs = score_on(
            opened.engine,
            requests,
            special=special,
            label=label,
            progress=progress,
            source=source,
            shown=opened.shown,
        )
        for rows in packs:
            output.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            output.flush()
        return
    pictures = None if opened.shown is None else opened.shown.pictures
    numerics = opened.engine.info.numerics
    made_of: list[Any] = [
        digest(requests, pictures),
        opened.prepared.quantised.sha256,
        numerics,
        special,
    ]
    if (
        len(requests) > BLOCK and numerics.get("mode") == "fast"
    ):  # where results depend on what is asked together
        made_of.append(BLOCK)
    results = PartialResults(output, hashlib.sha256(json.dumps(made_of).encode()).hexdigest(), requests)
    for rows in score_on(
        opened.engine,
        requests,
        special=special,
        label=label,
        progress=progress,
        known=results.known,
        source=source,
        shown=opened.shown,
    ):
        results.append(rows)
    results.finish()
