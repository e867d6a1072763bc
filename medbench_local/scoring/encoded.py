"""Features of the pictures that a model is shown, computed before its language model is loaded."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from medbench_local.acquire.prepare import PreparedModel
from medbench_local.progress import Progress
from medbench_local.tasks.picture import Picture


def encoded(
    model: PreparedModel, pictures: Iterable[Picture], home: Path, progress: Progress
) -> dict[Picture, Path]:
    """The file with the features of each picture; what is known is not encoded again.

    Args:
        model: one that has what looks at pictures.
        pictures: any may be there more than once.
        home: MEDBENCH_HOME.
        progress: told of the step.

    Raises:
        InputError: a picture cannot be shown.
        StoreError, DiskFullError: features cannot be kept.
    """
    from medbench_local.vision.features import encode_pictures  # slow to import

    assert model.vision is not None
    unique = tuple(dict.fromkeys(pictures))
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
