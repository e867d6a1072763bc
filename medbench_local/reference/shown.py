"""What rows of results and exported prompts say of pictures."""

from __future__ import annotations

from medbench_local.files.hashes import parts_sha256
from medbench_local.files.rows import Row
from medbench_local.tasks.picture import TAG, Picture

Places = tuple[tuple[Picture, ...], ...]
"""The pictures at each place of a prompt: usually one; none where the place is only written; several that the text
behind looks at alike."""


def places_of(row: Row) -> Places | None:
    """The pictures at the places of an exported prompt, with the names and hashes that the row has for them.

    Returns:
        None for a row that does not say which pictures are shown, by their hashes.

    Raises:
        InputError: it says it in no form that an export has.
    """
    hashes, names = row.fields.get("image_sha256"), row.fields.get("images")
    if not hashes or isinstance(hashes, str):  # tables hold texts only
        return None
    if not isinstance(hashes, list):
        raise row.error("expected a list: what is shown at each place", name="image_sha256")
    if names is None:
        names = [[""] * len(_texts(row, one, "image_sha256")) for one in hashes]
    if not isinstance(names, list) or len(names) != len(hashes):
        raise row.error(f"expected {len(hashes)} entries, as 'image_sha256' has", name="images")
    return tuple(_place(row, *pair) for pair in zip(names, hashes, strict=True))


def _place(row: Row, named: object, hashed: object) -> tuple[Picture, ...]:
    names, hashes = _texts(row, named, "images"), _texts(row, hashed, "image_sha256")
    if len(names) != len(hashes):
        raise row.error("another number of pictures at a place than in 'image_sha256'", name="images")
    try:
        return tuple(Picture(sha256, name) for name, sha256 in zip(names, hashes, strict=True))
    except ValueError as error:
        raise row.error(str(error), name="image_sha256") from error


def _texts(row: Row, value: object, key: str) -> list[str]:
    values = [] if value is None else value if isinstance(value, list) else [value]
    texts = [text for text in values if isinstance(text, str)]
    if len(texts) < len(values):
        raise row.error("expected for each place a text, a list of texts, or null", name=key)
    return texts


def prompt_with_pictures_sha256(prompt: str, places: Places) -> str | None:
    """Hash of a prompt with pictures at its places, as samples have it; None if it has not as many "<image>"."""
    first, *rest = prompt.split(TAG)
    if len(rest) != len(places):
        return None
    parts: list[str | list[str]] = [first]
    for pictures, text in zip(places, rest, strict=True):
        parts += [[picture.sha256 for picture in pictures], text]
    return parts_sha256(parts)
