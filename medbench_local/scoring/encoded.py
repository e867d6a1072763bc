"""Features of the pictures that a model is shown, computed before its language model is loaded."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from medbench_local.acquire.picture_parts import ProjectorFiles
from medbench_local.acquire.prepare import PreparedModel
from medbench_local.engine.base import EngineOptions
from medbench_local.progress import Progress
from medbench_local.tasks.picture import Picture


def encoded(
    model: PreparedModel, pictures: Iterable[Picture], home: Path, options: EngineOptions, progress: Progress
) -> dict[Picture, Path]:
    """The file with the features of each picture; what is known is not encoded again.

    Args:
        model: one that has what looks at pictures.
        pictures: any may be there more than once.
        home: MEDBENCH_HOME.
        options: threads and layers on the GPU count where llama.cpp looks at pictures.
        progress: told of the step.

    Raises:
        InputError: a picture cannot be shown.
        EngineError: llama.cpp cannot look at it.
        StoreError, DiskFullError: features cannot be kept.
    """
    assert model.vision is not None
    unique = tuple(dict.fromkeys(pictures))
    if isinstance(model.vision, ProjectorFiles):
        from medbench_local.engine.picture_encoding import encode_with_llama_cpp  # slow to import

        rows = encode_with_llama_cpp(
            model.vision.vision, model.quantised.path, unique, home, progress, options
        )
        return {picture: rows[picture.sha256] for picture in unique}
    from medbench_local.vision.features import encode_pictures  # slow to import

    found: dict[Picture, Path] = {}
    for own_colours in (False, True):
        alike = [picture for picture in unique if picture.own_colours == own_colours]
        if alike:
            files = encode_pictures(
                model.vision.tower,
                model.vision.parts,
                alike,
                home,
                progress,
                own_colours=own_colours,
            )
            found |= {picture: files[picture.sha256] for picture in alike}
    return found
