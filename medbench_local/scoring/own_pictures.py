"""Pictures in prompts of a user's own: files beside the requests, each shown where its prompt says ``<image>``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from medbench_local.errors import InputError
from medbench_local.files.hashes import hash_file
from medbench_local.progress import Silent
from medbench_local.prompts.prompt import Parts, Shown
from medbench_local.tasks.picture import TAG, Picture


def pictures_at(images: Iterable[tuple[Path, str]], source: Path | None) -> dict[Path, Picture]:
    """The pictures that files hold, each read once, by their paths.

    Args:
        images: files, and the place where each is named, for errors.
        source: the file that names them, for errors.

    Raises:
        InputError: one cannot be read.
    """
    found: dict[Path, Picture] = {}
    for path, place in images:
        if path not in found:
            try:
                found[path] = Picture(hash_file(path, Silent()), path.name, path)
            except OSError as error:
                problem = f"the picture {path} cannot be read: {error.strerror or error}"
                raise InputError(source or "requests", place, problem) from error
    return found


def parts_of(prompt: str, images: Sequence[Path], pictures: Mapping[Path, Picture]) -> Parts:
    """A prompt's parts: each ``<image>`` is the next picture; without pictures all of it is text.

    Args:
        prompt: with as many ``<image>`` as there are images, if there are any.
        images: one for each.
        pictures: what the files hold.
    """
    if not images:
        return (prompt,)
    first, *rest = prompt.split(TAG)
    parts: list[str | Shown] = [first] if first else []
    for path, text in zip(images, rest, strict=True):
        parts += [Shown((pictures[path],)), *([text] if text else [])]
    return tuple(parts)


def places_missing(prompt: str, images: Sequence[object]) -> str:
    """What is wrong with the number of pictures of a prompt; "" if nothing is."""
    places = prompt.count(TAG)
    if places == len(images):
        return ""
    given = "1 picture is" if len(images) == 1 else f"{len(images)} pictures are"
    return f"{given} given, but the prompt says {TAG} {places} time{'' if places == 1 else 's'}"
